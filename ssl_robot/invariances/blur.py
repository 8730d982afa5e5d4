"""Out of focus."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Filter, strength

_NARROWEST = 0.01  # pixels: so narrow that it changes nothing
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
        self._check_order("low", "high")

    def parameters(self, u: Tensor) -> Tensor:
        """Standard deviation as a share of the side, (b, 1)."""
        return self.low + (self.high - self.low) * u

    def neutral(self) -> Tensor:
        """No blur."""
        return torch.zeros(1)

    def padded(self, images: Tensor) -> Tensor:
        """A border as wide as the kernel reaches, the picture mirrored."""
        return F.pad(images, [self._reach(images)] * 4, mode="reflect")

    def filtered(self, images: Tensor, around: Tensor, parameters: Tensor) -> Tensor:
        """A Gaussian of each sample's own width: first down, then across."""
        reach, (height, width) = self._reach(images), images.shape[2:]
        sigma = (parameters * min(height, width)).clamp(min=_NARROWEST)
        taps = (torch.arange(-reach, reach + 1, device=images.device) / sigma).square().div(-2).exp()
        weights = (taps / taps.sum(1, keepdim=True))[:, :, None, None, None].unbind(1)
        down = weights[0] * around[:, :, :height]
        for i in range(1, len(weights)):
            down = down + weights[i] * around[:, :, i : i + height]
        across = weights[0] * down[..., :width]
        for i in range(1, len(weights)):
            across = across + weights[i] * down[..., i : i + width]
        return across

    def _reach(self, images: Tensor) -> int:
        side = min(images.shape[2:])
        return min(round(_RADII * self.high * side), side - 1)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Five widths: a sample, not a group."""
        for step in torch.linspace(0, 1, 5).tolist():
            yield self.apply(images, torch.full((len(images), 1), self.low + (self.high - self.low) * step).to(images))
