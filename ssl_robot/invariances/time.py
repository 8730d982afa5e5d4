"""A later frame of the same episode (CVRL, Qian 2021; Feichtenhofer 2021, https://arxiv.org/abs/2104.14558)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.invariances import Place, Source, strength


@dataclass(frozen=True)
class Time(Source):
    """What changes from one moment to the next: the second view shows the scene later.

    Gaps are as likely as each other (``slope`` 0), or become linearly rarer with their length, down to none (1, as in
    CVRL). Where the episode ends before, its last frame is shown.

    Attributes:
        nearest: Smallest gap in frames.
        furthest: Largest; equal to the smallest for a fixed gap.
        slope: How much rarer long gaps are.
    """

    hides: ClassVar[str] = "what moves"
    draws: ClassVar[int] = 1

    nearest: float = strength(0, 0, 100_000)
    furthest: float = strength(8, 0, 100_000)
    slope: float = strength(1.0, 0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("nearest", "furthest"):
            if getattr(self, name) != int(getattr(self, name)):
                raise InputError(f"time.{name} is {getattr(self, name)}, but must be a whole number of frames.")
        self._check_order("nearest", "furthest")

    def parameters(self, u: Tensor) -> Tensor:
        """The gap in frames, whole, (b, 1)."""
        share = u * (2 - self.slope) / (1 + (1 - self.slope * (2 - self.slope) * u).sqrt())
        gaps = self.furthest - self.nearest + 1
        return (self.nearest + (share * gaps).floor().clamp(max=gaps - 1)).round()

    def neutral(self) -> Tensor:
        """No gap."""
        return torch.zeros(1)

    def elsewhere(self, parameters: Tensor, place: Place) -> Place:
        """Later, but in the same episode."""
        return replace(place, rows=torch.minimum(place.rows + parameters[:, 0].long(), place.last))

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The images alone: other moments are not to be had from them."""
        yield images
