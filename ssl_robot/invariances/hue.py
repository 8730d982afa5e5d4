"""Colours turned around the colour wheel."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Colour, strength

_ORBIT = 12
_LEAST = 1e-6  # of chroma: below it a pixel is grey and has no hue


@dataclass(frozen=True)
class Hue(Colour):
    """Which colour a thing has.

    Attributes:
        turn: Largest turn of the wheel either way, as a share of a whole turn; .5 reaches every colour.
    """

    hides: ClassVar[str] = "colour"
    draws: ClassVar[int] = 1
    circular: ClassVar[bool] = True
    together: ClassVar[str] = "jitter"

    turn: float = strength(0.5, 0, 0.5)

    def parameters(self, u: Tensor) -> Tensor:
        """The turn in radians, (b, 1)."""
        return (2 * u - 1) * self.turn * 2 * math.pi

    def neutral(self) -> Tensor:
        """No turn."""
        return torch.zeros(1)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Exact: the largest and smallest of a pixel's three numbers stay, as HSV has it, and the hue moves."""
        red, green, blue = images.unbind(1)
        value = images.amax(1)
        chroma = value - images.amin(1)
        share = 1 / chroma.clamp(min=_LEAST)
        sixths = torch.where(
            value == red,
            (green - blue) * share,
            torch.where(value == green, (blue - red) * share + 2, (red - green) * share + 4),
        )
        sixths = sixths + parameters[:, :, None] * (3 / math.pi)

        def channel(offset: int) -> Tensor:
            k = sixths + offset
            k = k - 6 * torch.floor(k / 6)
            return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)

        return torch.stack([channel(5), channel(3), channel(1)], 1)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Twelve turns of 30 degrees: a group."""
        for step in range(_ORBIT):
            angle = torch.full((len(images), 1), 2 * math.pi * step / _ORBIT, device=images.device)
            yield self.apply(images, angle)
