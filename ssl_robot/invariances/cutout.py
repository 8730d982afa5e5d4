"""A rectangle painted over (DeVries and Taylor 2017; in a random colour: RAD, Laskin 2020)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Filter, strength

_GREY = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Cutout(Filter):
    """Whatever can be seen in one place only.

    The colour is random: grey rectangles would be alike in both views of a frame, something to tell views by.

    Attributes:
        least: Smallest share of the frame's area that is painted over.
        most: Largest share.
        aspect: Largest ratio of width to height; its inverse is the smallest.
    """

    hides: ClassVar[str] = "any one part"
    draws: ClassVar[int] = 7

    least: float = strength(0.02, 0, 1)
    most: float = strength(0.2, 0, 1)
    aspect: float = strength(2.0, 1, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_order("least", "most")

    def parameters(self, u: Tensor) -> Tensor:
        """Half width, half height, centre x, centre y, in [-1, 1] of the view; red, green, blue, (b, 7)."""
        area = self.least + (self.most - self.least) * u[:, 0]
        most = -area.log().clamp(max=0)  # longer than the view it would lose area
        stretch = (((2 * u[:, 1] - 1) * math.log(self.aspect)).clamp(-most, most) / 2).exp()
        width, height = ((area.sqrt() * side).clamp(max=1.0) for side in (stretch, 1 / stretch))
        x, y = (2 * u[:, 2] - 1) * (1 - width), (2 * u[:, 3] - 1) * (1 - height)
        return torch.cat([torch.stack([width, height, x, y], 1), u[:, 4:]], 1)

    def neutral(self) -> Tensor:
        """No width and no height."""
        return torch.zeros(7)

    def filtered(self, images: Tensor, around: Tensor, parameters: Tensor) -> Tensor:
        """The colour in every pixel whose middle lies within the rectangle."""
        width, height, x, y = parameters[:, :4].unbind(1)
        rows, columns = _within(images.shape[2], y, height), _within(images.shape[3], x, width)
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(inside, parameters[:, 4:, None, None], images)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The whole, and grey squares of the middling size in nine places: a sample, not a group."""
        yield images
        side = math.sqrt((self.least + self.most) / 2)
        for x, y in product((-1, 0, 1), repeat=2):
            drawn = torch.tensor([[side, side, x * (1 - side), y * (1 - side), *_GREY]], device=images.device)
            yield self.apply(images, drawn.expand(len(images), 7))


def _within(pixels: int, centre: Tensor, half: Tensor) -> Tensor:
    """Which of a side's pixels lie within half a width of the centre, (b, pixels)."""
    middles = (2 * torch.arange(pixels, device=centre.device) + 1) / pixels - 1
    return (middles - centre[:, None]).abs() < half[:, None]
