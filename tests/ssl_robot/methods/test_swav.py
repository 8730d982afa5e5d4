from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import SwaVLoss
from lightly.loss.swav_loss import sinkhorn as lightlys
from lightly.models.modules.heads import SwaVProjectionHead, SwaVPrototypes
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.swav import Swav, sinkhorn

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]
Same = Callable[..., None]

METHOD = Swav(hidden=32, width=8, prototypes=5, epsilon=0.05, queue=0)


def scored(objective: Objective, features: list[Tensor]) -> list[Tensor]:
    """Cosines with the prototypes, by hand."""
    prototypes = objective.prototypes.weight
    return [F.normalize(objective.projector(part), dim=1) @ prototypes.T for part in features]


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (0.1, 10)])
def test_sinkhorn_is_lightlys(epsilon: float, iterations: int) -> None:
    scores = torch.rand(24, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = lightlys(scores.clone(), iterations, epsilon)
    torch.testing.assert_close(sinkhorn(scores, epsilon, iterations), expected, atol=1e-6, rtol=0)


@given(n=st.integers(2, 40), prototypes=st.integers(2, 12), seed=st.integers(0, 2**31), epsilon=st.floats(0.05, 1))
def test_shares_are_balanced(n: int, prototypes: int, seed: int, epsilon: float) -> None:
    """Each vector hands out 1 in all; once that has settled, each prototype gets n / prototypes."""
    scores = torch.rand(n, prototypes, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    few = sinkhorn(scores, epsilon, 3)
    assert bool((few >= 0).all())
    torch.testing.assert_close(few.sum(1), torch.ones(n))
    settled = sinkhorn(scores, epsilon, 2000).sum(0)
    torch.testing.assert_close(settled, torch.full((prototypes,), n / prototypes), atol=0.05, rtol=0.05)


def test_assignments_are_balanced_even_where_all_vectors_agree() -> None:
    """A prototype that is everyone's favourite gets no more than the others: what keeps SwAV from collapsing."""
    scores = torch.zeros(30, 3)
    scores[:, 0] = 1
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), torch.full((30, 3), 1 / 3))


def test_loss_and_gradients_are_lightlys(built: Build, vectors: Vectors, same: Same) -> None:
    objective, views = built(METHOD, 16), vectors(12, 16)
    objective.begin(0, 1)
    same(objective(views).total, SwaVLoss()(scored(objective, views), []), [*views, *objective.parameters()])


def test_multi_crop_is_lightlys(built: Build, pictures: Vectors, pooled: nn.Module, same: Same) -> None:
    objective, views = built(METHOD, 12, pooled), pictures(8, [8, 8, 4, 4, 4])
    objective.begin(0, 1)
    scores = scored(objective, [pooled(view) for view in views])
    same(objective(views).total, SwaVLoss()(scores[:2], scores[2:]), [*views, *objective.parameters()])


def test_the_queue_is_assigned_along_as_lightly_does(built: Build, vectors: Vectors, same: Same) -> None:
    """From its epoch on, once it is full, with one queue for each view; what is in it has this step's prototypes."""
    method = Swav(hidden=32, width=8, prototypes=5, epsilon=0.05, queue=16, queue_from=1)
    objective = built(method, 16)
    for step in range(4):
        objective.begin(step / 4, 3)
        objective(vectors(4, 16, seed=step))
    with torch.no_grad():
        objective.prototypes.weight.add_(torch.randn(5, 8, generator=torch.Generator().manual_seed(3)))
    objective.begin(1, 3)
    views, held = vectors(4, 16, seed=9), objective.queue.vectors.clone()
    along = [part @ objective.prototypes.weight.T for part in held]
    scores = scored(objective, views)
    same(objective(views).total, SwaVLoss()(scores, [], along), [*views, *objective.parameters()])
    assert not torch.allclose(SwaVLoss()(scores, [], along), SwaVLoss()(scores, []), atol=1e-3)


@pytest.mark.parametrize(("epoch", "batches"), [(0.9, 8), (1.0, 3)])
def test_the_queue_waits_for_its_epoch_and_until_it_is_full(
    built: Build, vectors: Vectors, epoch: float, batches: int
) -> None:
    objective = built(Swav(hidden=32, width=8, prototypes=5, epsilon=0.05, queue=16, queue_from=1), 16)
    objective.begin(epoch, 3)
    for step in range(batches):
        objective(vectors(4, 16, seed=step))
    views = vectors(4, 16, seed=9)
    expected = SwaVLoss()(scored(objective, views), [])
    torch.testing.assert_close(objective(views).total, expected[0], atol=1e-6, rtol=0)


def test_the_queue_holds_the_last_embeddings_of_each_view(built: Build, vectors: Vectors) -> None:
    objective = built(Swav(hidden=32, width=8, prototypes=5, epsilon=0.05, queue=8), 16)
    seen: list[list[Tensor]] = []
    for step in range(3):
        views = vectors(4, 16, seed=step)
        seen.append([F.normalize(objective.projector(view), dim=1).detach() for view in views])
        objective(views)
    expected = [torch.cat([seen[2][view], seen[1][view]]) for view in range(2)]
    torch.testing.assert_close(objective.queue.vectors, torch.stack(expected), atol=1e-6, rtol=0)


def test_prototypes_are_normalised_as_lightlys(built: Build) -> None:
    objective, theirs = built(METHOD, 16), SwaVPrototypes(8, 5)
    theirs.heads[0].weight.data.copy_(objective.prototypes.weight)
    objective.begin(0, 1)
    theirs.normalize()
    torch.testing.assert_close(objective.prototypes.weight, theirs.heads[0].weight, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("epoch", "moves"), [(0.4, False), (0.5, True)])
def test_prototypes_do_not_move_at_first(built: Build, vectors: Vectors, epoch: float, moves: bool) -> None:
    objective = built(METHOD, 16)
    objective(vectors(12, 16)).total.backward()
    objective.trim(epoch)
    assert (objective.prototypes.weight.grad is not None) == moves
    assert all(parameter.grad is not None for parameter in objective.projector.parameters())


def test_head_has_the_papers_size(built: Build, count: Callable[[nn.Module], int]) -> None:
    """2048-2048-128 and 3,000 prototypes without bias."""
    objective = built(Swav.made("paper", {}), 2048)
    by_hand = 2048 * 2048 + 2 * 2048 + 2048 * 128 + 128
    assert count(objective.projector) == by_hand == count(SwaVProjectionHead(2048, 2048, 128))
    assert count(objective.prototypes) == 3000 * 128


def test_head_computes_what_lightlys_computes(built: Build, vectors: Vectors) -> None:
    ours, theirs = built(replace(METHOD, bn=False), 16).projector, SwaVProjectionHead(16, 32, 8)
    theirs.layers.load_state_dict(ours.state_dict())
    view = vectors(12, 16)[0]
    torch.testing.assert_close(ours(view), theirs(view), atol=1e-6, rtol=0)
