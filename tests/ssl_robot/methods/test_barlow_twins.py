from collections.abc import Callable

import pytest
import torch
from lightly.loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.barlow_twins import BarlowTwins, twins

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


@pytest.mark.parametrize(("redundancy", "scale"), [(0.005, 0.025), (0.5, 1.0)])
def test_loss_and_gradients_are_lightlys(
    built: Build, vectors: Vectors, same: Callable[..., None], redundancy: float, scale: float
) -> None:
    """Times our scale, which is that of the authors' code."""
    objective = built(BarlowTwins(32, 8, redundancy, scale), 16)
    views = vectors(12, 16)
    expected = scale * BarlowTwinsLoss(redundancy)(*(objective.projector(view) for view in views))
    same(objective(views).total, expected, [*views, *objective.parameters()])


def test_equal_and_independent_channels_cost_nothing() -> None:
    """Orthogonal columns of mean 0: the correlation matrix is the identity."""
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(twins(rows, rows, 0.005)) == pytest.approx(0, abs=1e-6)
    assert float(twins(rows, -rows, 0.005)) == pytest.approx(2 * 4, abs=1e-3)
    assert float(twins(rows, rows.flip(1), 0.5)) == pytest.approx(2 + 0.5 * 2, abs=1e-3)


def test_head_has_the_papers_size(built: Build, count: Callable[[nn.Module], int]) -> None:
    """2048-8192-8192-8192; without the memory for it."""
    with torch.device("meta"):
        projector = built(BarlowTwins.made("paper", {}), 2048).projector
        theirs = BarlowTwinsProjectionHead(2048, 8192, 8192)
    by_hand = 2048 * 8192 + 8192 * 8192 + 2 * 2 * 8192 + 8192 * 8192 + 8192
    assert count(projector) == by_hand == count(theirs)


def test_head_computes_what_lightlys_computes(built: Build, vectors: Vectors) -> None:
    ours, theirs = built(BarlowTwins(hidden=32, width=8), 16).projector, BarlowTwinsProjectionHead(16, 32, 8)
    theirs.layers.load_state_dict(ours.state_dict())
    view = vectors(12, 16)[0]
    torch.testing.assert_close(ours(view), theirs(view), atol=1e-6, rtol=0)
