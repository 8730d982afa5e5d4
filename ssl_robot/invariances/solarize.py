"""Light made dark, as of a film that was exposed again (BYOL, Grill 2020)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Colour, strength

_NEVER = 2.0  # a threshold that no pixel reaches, white ones and rounding included


@dataclass(frozen=True)
class Solarize(Colour):
    """Which of the light tones are lighter.

    Attributes:
        threshold: Numbers from this one on are inverted; 1 inverts nothing.
    """

    hides: ClassVar[str] = "light against dark"
    draws: ClassVar[int] = 0

    p: float = strength(0.2, 0, 1)
    threshold: float = strength(0.5, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """The threshold, (b, 1)."""
        return torch.full((len(u), 1), self.threshold if self.threshold < 1 else _NEVER, device=u.device)

    def neutral(self) -> Tensor:
        """A threshold that is never reached."""
        return torch.tensor([_NEVER])

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """One minus the number, in each channel where it reaches the threshold; faster than ``where``."""
        return (images - (images >= parameters[:, :, None, None]).to(images.dtype)).abs()

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Solarized once and twice: solarizing these gives the same two again, so that the average is exact."""
        threshold = self.parameters(torch.zeros(len(images), 0, device=images.device))
        once = self.apply(images, threshold)
        yield once
        yield self.apply(once, threshold)
