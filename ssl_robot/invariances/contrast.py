"""Stretched or squeezed about the frame's mean grey."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Colour, luma, strength


@dataclass(frozen=True)
class Contrast(Colour):
    """How far light and dark lie apart.

    Attributes:
        gain: Largest relative change either way.
    """

    hides: ClassVar[str] = "contrast"
    draws: ClassVar[int] = 1
    together: ClassVar[str] = "jitter"

    gain: float = strength(0.4, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """The factor, (b, 1)."""
        return 1 + (2 * u - 1) * self.gain

    def neutral(self) -> Tensor:
        """Factor one."""
        return torch.ones(1)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Blended with the mean grey of each image, clipped."""
        grey = luma(images).mean((1, 2, 3), keepdim=True)
        return torch.lerp(grey, images, parameters[:, :, None, None]).clamp(0, 1)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Five gains: a sample, not a group, since colours are clipped."""
        for step in torch.linspace(-1, 1, 5).tolist():
            yield self.apply(images, torch.full((len(images), 1), 1 + step * self.gain, device=images.device))
