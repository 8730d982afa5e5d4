from collections.abc import Callable

import numpy as np
import pytest
import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.vicreg import Vicreg

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


def embedded(objective: Objective, views: list[Tensor]) -> list[Tensor]:
    return [objective.projector(view) for view in views]


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 2.0, 3.0)])
def test_loss_and_gradients_are_lightlys(
    built: Build, vectors: Vectors, same: Callable[..., None], weights: tuple[float, float, float]
) -> None:
    """Lightly halves the sum of the two variance terms, as the authors' code does; so do we."""
    objective = built(Vicreg(32, 8, *weights), 16)
    views = vectors(12, 16)
    expected = VICRegLoss(*weights)(*embedded(objective, views))
    same(objective(views).total, expected, [*views, *objective.parameters()], atol=1e-5)


def test_terms_are_the_papers(built: Build, vectors: Vectors) -> None:
    """Equations 1, 3 and 5, in NumPy."""
    objective, views = built(Vicreg(hidden=32, width=8), 16), vectors(12, 16)
    a, b = (z.detach().double().numpy() for z in embedded(objective, views))
    parts = {name: float(value) for name, value in objective(views).parts.items()}
    deviations = [np.sqrt(z.var(0, ddof=1) + 1e-4) for z in (a, b)]
    covariances = [np.cov(z.T) for z in (a, b)]
    assert parts["invariance"] == pytest.approx(((a - b) ** 2).mean(), abs=1e-6)
    assert parts["variance"] == pytest.approx(np.mean([np.maximum(0, 1 - s).mean() for s in deviations]), abs=1e-6)
    off = [(c**2).sum() - (np.diag(c) ** 2).sum() for c in covariances]
    assert parts["covariance"] == pytest.approx(sum(off) / 8, abs=1e-6)
    total = 25 * parts["invariance"] + 25 * parts["variance"] + parts["covariance"]
    assert parts["loss"] == pytest.approx(total, abs=1e-5)


def test_head_has_the_papers_size(built: Build, count: Callable[[nn.Module], int]) -> None:
    """2048-8192-8192-8192; without the memory for it."""
    with torch.device("meta"):
        projector = built(Vicreg.made("paper", {}), 2048).projector
        theirs = VICRegProjectionHead(2048, 8192, 8192)
    by_hand = 2048 * 8192 + 8192 * 8192 + 2 * 2 * 8192 + 8192 * 8192 + 8192
    assert count(projector) == by_hand == count(theirs)


def test_head_computes_what_lightlys_computes(built: Build, vectors: Vectors) -> None:
    ours, theirs = built(Vicreg(hidden=32, width=8), 16).projector, VICRegProjectionHead(16, 32, 8)
    theirs.layers.load_state_dict(ours.state_dict())
    view = vectors(12, 16)[0]
    torch.testing.assert_close(ours(view), theirs(view), atol=1e-6, rtol=0)
