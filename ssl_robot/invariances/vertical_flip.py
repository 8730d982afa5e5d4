"""Up and down exchanged."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Geometry, matrices, strength


@dataclass(frozen=True)
class VerticalFlip(Geometry):
    """Up against down, and clockwise against anticlockwise."""

    hides: ClassVar[str] = "up and down"
    draws: ClassVar[int] = 0
    upright: ClassVar[bool] = True

    p: float = strength(0.5, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """-1 where flipped, (b, 1)."""
        return -torch.ones(len(u), 1, device=u.device)

    def neutral(self) -> Tensor:
        """Not flipped."""
        return torch.ones(1)

    def matrix(self, parameters: Tensor) -> Tensor:
        """The sign of y, (b, 3, 3)."""
        return matrices([[1.0, 0.0, 0.0], [0.0, parameters[:, 0], 0.0], [0.0, 0.0, 1.0]], parameters)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The image and its mirror image."""
        yield images
        yield images.flip(2)
