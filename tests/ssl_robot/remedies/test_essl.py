import math

import pytest
import torch
from torch import Tensor, nn

from ssl_robot.errors import InputError
from ssl_robot.recipes import Recipe
from ssl_robot.remedies import Task
from ssl_robot.remedies.essl import Essl

# Where a picture's upper left corner comes to lie, turn by turn anticlockwise: down, right, up.
CORNERS = [(0, 0), (-1, 0), (-1, -1), (0, -1)]


def task(width: int = 4) -> Task:
    return Essl(hidden=16).build(width, Recipe.named("simsiam"))


class Corners(nn.Module):
    """A backbone that sees which corner is lit."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return torch.stack([images[:, 0, row, column] for row, column in CORNERS], 1)


def lit(b: int) -> Tensor:
    """Pictures that are bright in the upper left corner, and otherwise all different."""
    images = torch.rand(b, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    images[:, :, 0, 0] = 1
    return images


@pytest.mark.parametrize("b", [16, 18])
def test_a_head_that_sees_the_corner_is_right_about_every_turn(b: int) -> None:
    made, corners = task(), Corners()
    made.head = nn.Sequential(nn.Identity(), _Times(100))
    assert float(made(corners, [lit(b)], [], [])) < 1e-6


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


@pytest.mark.parametrize(("b", "each"), [(16, [4, 4, 4, 4]), (18, [5, 5, 4, 4])])
def test_every_view_is_turned_once_and_each_way_as_often(b: int, each: list[int]) -> None:
    made, corners, images = task(), Corners(), lit(b)
    made(corners, [images], [], [])
    ways = corners(corners.seen).argmax(1)
    assert ways.bincount(minlength=4).tolist() == each
    back = torch.stack([turned.rot90(-int(way), (1, 2)) for turned, way in zip(corners.seen, ways, strict=True)])
    assert len(back) == b
    nearest = torch.cdist(back.flatten(1), images.flatten(1)).min(0)
    assert float(nearest.values.max()) == 0
    assert sorted(nearest.indices.tolist()) == list(range(b))


@pytest.mark.parametrize("b", [16, 18])
def test_a_head_that_knows_nothing_costs_the_logarithm_of_four(b: int) -> None:
    made = task()
    made.head = _Times(0)
    assert float(made(Corners(), [lit(b)], [], [])) == pytest.approx(math.log(4))


def test_only_the_first_view_is_turned_whatever_the_method_made() -> None:
    made, corners, images = task(), Corners(), lit(8)
    loss = made(corners, [images], [], [])
    again = made(corners, [images, torch.rand(8, 3, 8, 8)], [torch.rand(8, 4)], [])
    assert len(corners.seen) == 8
    torch.testing.assert_close(again, loss)


def test_gradients_reach_the_head_and_the_backbone() -> None:
    made = task(5)
    backbone = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made(backbone, [lit(16)], [], []).backward()
    for parameter in [*made.parameters(), *backbone.parameters()]:
        assert parameter.grad is not None
        assert bool(parameter.grad.any())


@pytest.mark.parametrize(("name", "degrees"), [("quarter_turn", None), ("rotation", 180), ("rotation", 90)])
def test_views_that_were_turned_too_far_are_refused(name: str, degrees: float | None) -> None:
    recipe = Recipe.named("crop").having(name, **({} if degrees is None else {"degrees": degrees}))
    with pytest.raises(InputError, match=f"--without {name}"):
        Essl().build(16, recipe)


def test_views_that_were_turned_a_little_may_be_asked_about() -> None:
    Essl().build(16, Recipe.named("crop").having("rotation", degrees=30))
