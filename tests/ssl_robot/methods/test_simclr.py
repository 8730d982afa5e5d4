from collections.abc import Callable

import numpy as np
import pytest
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.simclr import Simclr

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_gradients_are_lightlys(
    built: Build, vectors: Vectors, same: Callable[..., None], temperature: float
) -> None:
    """The mean over 2 b views."""
    objective, views = built(Simclr(hidden=32, width=8, temperature=temperature), 16), vectors(12, 16)
    z = [objective.projector(view) for view in views]
    same(objective(views).total, NTXentLoss(temperature)(*z), [*views, *objective.parameters()])


def test_loss_is_the_papers_equation(built: Build, vectors: Vectors) -> None:
    """View by view: minus the log of the partner's share among all others."""
    objective, views = built(Simclr(hidden=32, width=8, temperature=0.3), 16), vectors(5, 16)
    z = torch.cat([objective.projector(view) for view in views]).detach().numpy().astype(np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    likeness = np.exp(z @ z.T / 0.3)
    losses = []
    for i in range(10):
        others = likeness[i].sum() - likeness[i, i]
        losses.append(-np.log(likeness[i, (i + 5) % 10] / others))
    assert float(objective(views).total.detach()) == pytest.approx(np.mean(losses), abs=1e-6)


def test_three_views_are_the_mean_of_their_pairs(built: Build, vectors: Vectors) -> None:
    objective, (a, b, c) = built(Simclr(hidden=32, width=8), 16), vectors(12, 16, 3)
    pairs = [objective([*pair]).total for pair in ((a, b), (a, c), (b, c))]
    torch.testing.assert_close(objective([a, b, c]).total, torch.stack(pairs).mean())


def test_head_has_the_papers_size(built: Build, count: Callable[[nn.Module], int]) -> None:
    """2048-2048-128, batch norm after both layers."""
    projector = built(Simclr.made("paper", {}), 2048).projector
    by_hand = 2048 * 2048 + 2 * 2048 + 2048 * 128 + 2 * 128
    assert count(projector) == by_hand == count(SimCLRProjectionHead(2048, 2048, 128, num_layers=2))


def test_head_computes_what_lightlys_computes(built: Build, vectors: Vectors) -> None:
    ours, theirs = built(Simclr(hidden=32, width=8), 16).projector, SimCLRProjectionHead(16, 32, 8, num_layers=2)
    theirs.layers.load_state_dict(ours.state_dict())
    view = vectors(12, 16)[0]
    torch.testing.assert_close(ours(view), theirs(view), atol=1e-6, rtol=0)
