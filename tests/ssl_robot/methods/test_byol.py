import copy
import math
from collections.abc import Callable

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import update_momentum
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.byol import Byol

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


def moved(module: nn.Module) -> None:
    """Weights that differ from the slow copy's."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))


def test_loss_and_gradients_are_lightlys(built: Build, vectors: Vectors, same: Callable[..., None]) -> None:
    """2 - 2 cosine, both directions added up."""
    objective, views, similar = built(Byol(hidden=32, width=8), 16), vectors(12, 16), NegativeCosineSimilarity()
    moved(objective.projector)
    p = [objective.predictor(objective.projector(view)) for view in views]
    with torch.no_grad():
        targets = [objective.teacher(view) for view in views]
    expected = 2 + 2 * similar(p[0], targets[1]) + 2 + 2 * similar(p[1], targets[0])
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    same(objective(views).total, expected, [*views, *learning])


@pytest.mark.parametrize("epoch", [0.0, 3.5, 10.0])
def test_the_slow_copy_follows_ever_more_slowly(built: Build, epoch: float) -> None:
    objective = built(Byol(hidden=32, width=8, keep=0.9), 16)
    expected = copy.deepcopy(objective.teacher[1])
    moved(objective.projector)
    objective.begin(epoch, 10)
    keep = 1 - (1 - 0.9) * (math.cos(math.pi * epoch / 10) + 1) / 2
    update_momentum(objective.projector, expected, keep)
    for ours, theirs in zip(objective.teacher[1].parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_heads_have_the_papers_size(built: Build, count: Callable[[nn.Module], int]) -> None:
    """2048-4096-256 and 256-4096-256."""
    objective = built(Byol.made("paper", {}), 2048)
    projector, predictor = (inputs * 4096 + 2 * 4096 + 4096 * 256 + 256 for inputs in (2048, 256))
    assert count(objective.projector) == projector == count(BYOLProjectionHead())
    assert count(objective.predictor) == predictor == count(BYOLPredictionHead())


def test_a_norm_of_its_own_centres_the_projectors_output(built: Build, vectors: Vectors) -> None:
    """Where lightly's, and the authors', ends with a linear layer."""
    objective, (view, _) = built(Byol(hidden=32, width=8), 16), vectors(12, 16)
    z = objective.projector(view)
    torch.testing.assert_close(z.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(8), atol=1e-2, rtol=0)


def test_heads_compute_what_lightlys_compute(built: Build, vectors: Vectors) -> None:
    objective, (view, _) = built(Byol(hidden=32, width=8, bn=False), 16), vectors(12, 16)
    heads = {"projector": BYOLProjectionHead(16, 32, 8), "predictor": BYOLPredictionHead(8, 32, 8)}
    for name, head in heads.items():
        ours = getattr(objective, name)
        head.layers.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(view), head(view), atol=1e-6, rtol=0)
        view = ours(view)


def test_small_views_predict_and_are_not_predicted(built: Build, pictures: Vectors, pooled: nn.Module) -> None:
    """Twice the mean over the four directions that lead to a large view."""
    objective, views, similar = built(Byol(hidden=32, width=8), 12, pooled), pictures(6, [8, 8, 4]), _similar
    p = [objective.predictor(objective.projector(pooled(view))) for view in views]
    with torch.no_grad():
        t = [objective.teacher(view) for view in views[:2]]
    losses = [2 - 2 * similar(p[i], t[j]) for i, j in ((0, 1), (1, 0), (2, 0), (2, 1))]
    torch.testing.assert_close(objective(views).total, 2 * torch.stack(losses).mean(), atol=1e-6, rtol=0)


def _similar(a: Tensor, b: Tensor) -> Tensor:
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean()
