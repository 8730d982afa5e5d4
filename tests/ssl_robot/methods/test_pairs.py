"""Which view learns from which, where views differ in size or are more than two."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ssl_robot.errors import InputError
from ssl_robot.methods import Objective, pairs
from ssl_robot.methods.mocov2 import Mocov2

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


@pytest.mark.parametrize(
    ("sides", "symmetric", "expected"),
    [
        ([8, 8], True, [(0, 1), (1, 0)]),
        ([4, 8, 8], True, [(0, 1), (0, 2), (1, 2), (2, 1)]),
        ([8, 8, 4], False, [(0, 1)]),
        ([4, 8, 8], False, [(1, 2)]),
        ([8, 4, 8, 4], False, [(0, 2)]),
        ([8, 8, 8], False, [(0, 1)]),
    ],
)
def test_only_large_views_are_learnt_from(sides: list[int], symmetric: bool, expected: list[tuple[int, int]]) -> None:
    """Wherever they stand; without symmetry only large ones learn, too."""
    views = [torch.zeros(1, 3, side, side) for side in sides]
    assert pairs(views, symmetric) == expected


def test_a_single_large_view_has_no_partner() -> None:
    with pytest.raises(InputError, match="give the recipe at least two"):
        pairs([torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4)], symmetric=False)


@pytest.mark.parametrize("sides", [[4, 8, 8], [8, 4, 8]])
@pytest.mark.parametrize("symmetric", [True, False])
def test_moco_tells_views_apart_by_size_not_place(
    built: Build, pictures: Vectors, pooled: nn.Module, sides: list[int], symmetric: bool
) -> None:
    views = pictures(4, sides)
    first, other = (built(Mocov2(hidden=32, width=8, queue=16, symmetric=symmetric), 12, pooled) for _ in range(2))
    loss = first(views)
    expected = other(sorted(views, key=lambda view: -view.shape[-1]))
    torch.testing.assert_close(loss.total, expected.total)
    assert loss.embeddings.shape == (2, 4, 8)


def test_moco_hands_on_features_of_the_first_views_only(built: Build, pictures: Vectors, pooled: nn.Module) -> None:
    """Of four views the first and third ask: what remedies take for the second view's must not be the third's."""
    views = pictures(4, [8, 8, 8, 8])
    loss = built(Mocov2(hidden=32, width=8, queue=16, symmetric=False), 12, pooled)(views)
    assert len(loss.features) == 1
    torch.testing.assert_close(loss.features[0], pooled(views[0]))
