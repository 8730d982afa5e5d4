"""A few pixels up, down, left or right, with the border repeated (DrQ, Kostrikov 2020; RAD, Laskin 2020)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Geometry, matrices, strength


@dataclass(frozen=True)
class Shift(Geometry):
    """Where things are, to within the shift.

    Attributes:
        reach: Largest shift as a share of the frame's side; DrQ moves by 4 pixels of 84.
    """

    hides: ClassVar[str] = "place"
    upright: ClassVar[bool] = True
    draws: ClassVar[int] = 2

    reach: float = strength(4 / 84, 0, 0.5)

    def parameters(self, u: Tensor) -> Tensor:
        """Shift in x and y, in [-1, 1] of the frame, (b, 2)."""
        return (2 * u - 1) * 2 * self.reach

    def neutral(self) -> Tensor:
        """No shift."""
        return torch.zeros(2)

    def matrix(self, parameters: Tensor) -> Tensor:
        """A translation, (b, 3, 3)."""
        x, y = parameters.unbind(1)
        return matrices([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]], parameters)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Nine shifts by the whole reach, to the pixel: a sample, not a group, since the border repeats."""
        pixels = round(self.reach * images.shape[3])
        padded = F.pad(images, [pixels] * 4, mode="replicate")
        height, width = images.shape[2:]
        for x, y in product((0, pixels, 2 * pixels), repeat=2):
            yield padded[:, :, y : y + height, x : x + width]
