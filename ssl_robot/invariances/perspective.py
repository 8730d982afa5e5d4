"""The frame seen at a slant: its corners move inwards, each by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Geometry, strength

_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))  # clockwise from the left upper one
_SIDES = ((0, 1), (1, 2), (2, 3), (3, 0))  # upper, right, lower, left


@dataclass(frozen=True)
class Perspective(Geometry):
    """From which side the scene is seen, and how large things are.

    Attributes:
        distortion: Farthest that a corner moves in x and in y, as a share of half the frame's side; torchvision's
            default is .5. Beyond that the horizon could cross the view.
    """

    hides: ClassVar[str] = "viewpoint"
    draws: ClassVar[int] = 8
    projective: ClassVar[bool] = True

    p: float = strength(0.5, 0, 1)
    distortion: float = strength(0.5, 0, 0.5)

    def parameters(self, u: Tensor) -> Tensor:
        """How far each corner moves inwards, x then y, clockwise from the left upper one; 1 is the middle, (b, 8)."""
        return u * self.distortion

    def neutral(self) -> Tensor:
        """Every corner stays."""
        return torch.zeros(8)

    def matrix(self, parameters: Tensor) -> Tensor:
        """From the four corners in the view to those of the frame, (b, 3, 3)."""
        return _inverse(_from_square(_corners(parameters)))

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The frame, and it leaning back over each of its four sides: a sample, not a group."""
        yield images
        for side, corners in enumerate(_SIDES):
            moved = torch.zeros(4, 2)
            moved[list(corners), side % 2] = self.distortion
            yield _seen(images, self.matrix(moved.reshape(1, 8).to(images)))


def _corners(moved: Tensor) -> list[Tensor]:
    """The places (x, y, 1) of the four corners in the view, (b, 3) each."""
    share = 1 - moved
    one = torch.ones_like(share[:, 0])
    return [torch.stack([x * share[:, 2 * i], y * share[:, 2 * i + 1], one], 1) for i, (x, y) in enumerate(_CORNERS)]


def _from_square(corners: list[Tensor]) -> Tensor:
    """The projection of the square [-1, 1] x [-1, 1] onto four corners, (b, 3, 3).

    In homogeneous numbers it is linear in x and y if each corner is weighed by the triangle of the other three: then
    opposite corners have the same sum.
    """
    a, b, c, d = corners
    a, b, c, d = a * _area(b, c, d), b * _area(a, c, d), c * _area(a, b, d), d * _area(a, b, c)
    return torch.stack([b + c - a - d, c + d - a - b, a + b + c + d], 2) / 4


def _area(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Twice the area of a triangle, (b, 1)."""
    area: Tensor = (a * torch.linalg.cross(b, c)).sum(1, keepdim=True)
    return area


def _inverse(matrix: Tensor) -> Tensor:
    """The inverse of projections, scaled to 1 in the last entry, (b, 3, 3)."""
    x, y, origin = matrix.unbind(2)
    cofactors = [torch.linalg.cross(y, origin), torch.linalg.cross(origin, x), torch.linalg.cross(x, y)]
    inverse = torch.stack(cofactors, 1)
    return inverse / inverse[:, 2:, 2:]


def _seen(images: Tensor, matrix: Tensor) -> Tensor:
    """Images through a (1, 3, 3) matrix; beyond the border the edge goes on."""
    plain = torch.eye(2, 3, device=images.device)[None]
    places = F.pad(F.affine_grid(plain, [1, *images.shape[1:]], align_corners=False), (0, 1), value=1.0)
    x, y, depth = (places @ matrix.mT).unbind(-1)
    grid = torch.stack([x / depth, y / depth], -1).expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
