"""A gain on all colours."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Colour, strength


@dataclass(frozen=True)
class Brightness(Colour):
    """How light the scene is.

    Attributes:
        gain: Largest relative change either way.
    """

    hides: ClassVar[str] = "lighting"
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
        """Multiplied and clipped."""
        return (images * parameters[:, :, None, None]).clamp(0, 1)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Five gains: a sample, not a group, since white stays white."""
        for step in torch.linspace(-1, 1, 5).tolist():
            yield (images * (1 + step * self.gain)).clamp(0, 1)
