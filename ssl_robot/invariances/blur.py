"""Out of focus."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.invariances import Filter, strength

_RADII = 3  # a kernel reaches three standard deviations to either side


@dataclass(frozen=True)
class Blur(Filter):
    """Fine detail.

    Attributes:
        low: Smallest standard deviation, as a share of the frame's side; SimSiam blurs by .1 to 2 pixels of 224.
        high: Largest.
    """

    hides: ClassVar[str] = "fine detail"
    draws: ClassVar[int] = 1

    p: float = strength(0.5, 0, 1)
    low: float = strength(0.1 / 224, 0, 0.25)
    high: float = strength(2.0 / 224, 0, 0.25)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise InputError(f"blur.low is {self.low}, but must be at most blur.high, {self.high}.")

    def parameters(self, u: Tensor) -> Tensor:
        """Standard deviation as a share of the side, (b, 1)."""
        return self.low + (self.high - self.low) * u

    def neutral(self) -> Tensor:
        """No blur."""
        return torch.zeros(1)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """A Gaussian of each sample's own width."""
        side = min(images.shape[2:])
        width = min(2 * round(_RADII * self.high * side) + 1, 2 * ((side - 1) // 2) + 1)
        if width < 3:
            return images
        sigma = (parameters * side).clamp(min=0.01).expand(-1, 2)  # so narrow that it changes nothing
        return gaussian_blur2d(images, (width, width), sigma)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Five widths: a sample, not a group."""
        for step in torch.linspace(0, 1, 5).tolist():
            yield self.apply(images, torch.full((len(images), 1), self.low + (self.high - self.low) * step).to(images))
