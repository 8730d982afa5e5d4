"""Colours turned around the colour wheel."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from kornia.color import hsv_to_rgb, rgb_to_hsv
from torch import Tensor

from ssl_robot.invariances import Colour

_ORBIT = 12


@dataclass(frozen=True)
class Hue(Colour):
    """Which colour a thing has.

    Attributes:
        turn: Largest turn of the wheel either way, as a share of a whole turn; .5 reaches every colour.
    """

    hides: ClassVar[str] = "colour"
    draws: ClassVar[int] = 1

    turn: float = 0.5

    def parameters(self, u: Tensor) -> Tensor:
        """The turn in radians, (b, 1)."""
        return (2 * u - 1) * self.turn * 2 * math.pi

    def neutral(self) -> Tensor:
        """No turn."""
        return torch.zeros(1)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Exact, through HSV."""
        hue, saturation, value = rgb_to_hsv(images).unbind(1)
        turned = torch.remainder(hue + parameters[:, :, None], 2 * math.pi)
        return hsv_to_rgb(torch.stack([turned, saturation, value], 1))

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Twelve turns of 30 degrees: a group."""
        for step in range(_ORBIT):
            angle = torch.full((len(images), 1), 2 * math.pi * step / _ORBIT, device=images.device)
            yield self.apply(images, angle)
