"""Rotation about the middle of the frame."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Geometry, matrices, strength


@dataclass(frozen=True)
class Rotation(Geometry):
    """Which way things point, and the direction in which they lie from the middle.

    Attributes:
        degrees: Largest angle either way.
    """

    hides: ClassVar[str] = "orientation"
    draws: ClassVar[int] = 1
    circular: ClassVar[bool] = True

    degrees: float = strength(180.0, 0, 180)

    def parameters(self, u: Tensor) -> Tensor:
        """The angle in radians, (b, 1)."""
        return (2 * u - 1) * math.radians(self.degrees)

    def neutral(self) -> Tensor:
        """No angle."""
        return torch.zeros(1)

    def matrix(self, parameters: Tensor) -> Tensor:
        """A rotation matrix, (b, 3, 3)."""
        cos, sin = parameters[:, 0].cos(), parameters[:, 0].sin()
        return matrices([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], parameters)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Quarter turns: a group that maps pixels to pixels."""
        for turns in range(4):
            yield images.rot90(turns, (2, 3))
