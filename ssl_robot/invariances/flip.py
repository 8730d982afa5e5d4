"""Left and right exchanged."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Geometry, matrices, strength


@dataclass(frozen=True)
class Flip(Geometry):
    """Left against right, and clockwise against anticlockwise."""

    hides: ClassVar[str] = "left and right"
    upright: ClassVar[bool] = True
    draws: ClassVar[int] = 0

    p: float = strength(0.5, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """-1 where flipped, (b, 1)."""
        return -torch.ones(len(u), 1, device=u.device)

    def neutral(self) -> Tensor:
        """Not flipped."""
        return torch.ones(1)

    def matrix(self, parameters: Tensor) -> Tensor:
        """The sign of x, (b, 3, 3)."""
        return matrices([[parameters[:, 0], 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], parameters)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The image and its mirror image."""
        yield images
        yield images.flip(3)
