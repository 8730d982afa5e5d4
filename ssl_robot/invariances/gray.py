"""No colour at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Colour, luma, strength


@dataclass(frozen=True)
class Gray(Colour):
    """Colour, leaving light and dark."""

    hides: ClassVar[str] = "colour"
    draws: ClassVar[int] = 0

    p: float = strength(0.2, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """Share of colour that stays: none, (b, 1)."""
        return torch.zeros(len(u), 1, device=u.device)

    def neutral(self) -> Tensor:
        """All colour stays."""
        return torch.ones(1)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Each pixel's grey where the parameter is 0."""
        return torch.lerp(luma(images).expand_as(images), images, parameters[:, :, None, None])

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The grey image: turning grey twice changes nothing more."""
        yield luma(images).expand_as(images)
