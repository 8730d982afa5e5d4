"""Rotation by a right angle, two or three: whole pixels move, so that nothing is blurred or lost at the corners."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Geometry, matrices, strength


@dataclass(frozen=True)
class QuarterTurn(Geometry):
    """Which side of the frame is up.

    Attributes:
        p: Share of the views that are turned; three in four make the four orientations equally likely.
    """

    hides: ClassVar[str] = "which side is up"
    draws: ClassVar[int] = 1

    p: float = strength(0.75, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """Anticlockwise quarter turns: 1, 2 or 3, (b, 1)."""
        return 1 + (3 * u).floor()

    def neutral(self) -> Tensor:
        """No turn."""
        return torch.zeros(1)

    def matrix(self, parameters: Tensor) -> Tensor:
        """A rotation matrix, (b, 3, 3); cosine and sine of 0 to 3 quarter turns are whole numbers."""
        turns = parameters[:, 0]
        cos, sin = (turns - 2).abs() - 1, 1 - (turns - 1).abs()
        return matrices([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], parameters)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The four orientations: a group that maps pixels to pixels."""
        for turns in range(4):
            yield images.rot90(turns, (2, 3))
