"""A random part of the frame, stretched to the view's size."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Geometry, matrices, strength

_TRIES = 8


@dataclass(frozen=True)
class Crop(Geometry):
    """Where things are in the frame, and how large.

    Attributes:
        scale: Smallest share of the frame's area that is kept.
        largest: Largest share.
        aspect: Largest ratio of width to height, each as a share of the frame's; its inverse is the smallest.
    """

    hides: ClassVar[str] = "place and size"
    upright: ClassVar[bool] = True
    draws: ClassVar[int] = 2 + 2 * _TRIES

    scale: float = strength(0.2, 0.01, 1)
    largest: float = strength(1.0, 0.01, 1)
    aspect: float = strength(4 / 3, 1, 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_order("scale", "largest")

    def parameters(self, u: Tensor) -> Tensor:
        """Half width, half height, centre x, centre y of the part, in [-1, 1] of the frame, (b, 4).

        As torchvision does, areas and shapes are drawn until a part fits into the frame; where none of eight does, the
        last keeps its area and is drawn no longer than the frame.
        """
        areas = self.scale + (self.largest - self.scale) * u[:, 2 : 2 + _TRIES]
        turns = (2 * u[:, 2 + _TRIES :] - 1) * math.log(self.aspect)  # logarithms of width over height
        most = -areas.log().clamp(max=0)
        fits = turns.abs() <= most
        chosen = torch.where(fits.any(1), fits.int().argmax(1), _TRIES - 1)[:, None]
        area, turn, limit = (part.gather(1, chosen)[:, 0] for part in (areas, turns, most))
        stretch = (turn.clamp(-limit, limit) / 2).exp()
        width, height = ((area.sqrt() * side).clamp(max=1.0) for side in (stretch, 1 / stretch))
        x, y = (2 * u[:, 0] - 1) * (1 - width), (2 * u[:, 1] - 1) * (1 - height)
        return torch.stack([width, height, x, y], 1)

    def neutral(self) -> Tensor:
        """The whole frame."""
        return torch.tensor([1.0, 1.0, 0.0, 0.0])

    def matrix(self, parameters: Tensor) -> Tensor:
        """Scale and shift, (b, 3, 3)."""
        width, height, x, y = parameters.unbind(1)
        return matrices([[width, 0.0, x], [0.0, height, y], [0.0, 0.0, 1.0]], parameters)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The whole and nine parts of the middling size: a sample of the crops, not a group."""
        yield images
        side = math.sqrt((self.largest + self.scale) / 2)
        for x, y in product((-1, 0, 1), repeat=2):
            part = torch.tensor([[side, side, x * (1 - side), y * (1 - side)]], device=images.device)
            matrix = self.matrix(part).expand(len(images), 3, 3)[:, :2]
            grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
            yield F.grid_sample(images, grid, padding_mode="border", align_corners=False)
