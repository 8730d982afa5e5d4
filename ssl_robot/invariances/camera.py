"""Another camera's picture of the same moment (time-contrastive networks, Sermanet 2018)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Place, Source


@dataclass(frozen=True)
class Camera(Source):
    """From where the scene is seen: the second view is another camera's, all of them equally likely."""

    hides: ClassVar[str] = "viewpoint"
    draws: ClassVar[int] = 1

    def parameters(self, u: Tensor) -> Tensor:
        """Which of the other cameras, as a share of them, in [0, 1), (b, 1)."""
        return u

    def neutral(self) -> Tensor:
        """None of them."""
        return -torch.ones(1)

    def elsewhere(self, parameters: Tensor, place: Place) -> Place:
        """Through another camera."""
        others = place.count - 1
        chosen = 1 + (parameters[:, 0] * others).long().clamp(max=others - 1)
        return replace(place, cameras=torch.where(parameters[:, 0] < 0, place.cameras, chosen))

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The images alone: other viewpoints are not to be had from them."""
        yield images
