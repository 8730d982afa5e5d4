from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.methods import Objective
from ssl_robot.methods.triplet import Triplet

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def embedded(objective: Objective, views: list[Tensor]) -> list[NDArray[np.float64]]:
    return [objective.projector(view).detach().double().numpy() for view in views]


def hinges(anchor: NDArray[np.float64], positive: NDArray[np.float64], margin: float, hardest: int | None) -> float:
    """Wang and Gupta, equations 1 and 2: D = 1 - cosine, max(0, D(x, x+) - D(x, x-) + margin)."""
    losses = []
    for i, x in enumerate(anchor):
        near = 1 - cosine(x, positive[i])
        far = sorted(1 - cosine(x, other) for j, other in enumerate(positive) if j != i)
        losses += [max(0.0, near - distance + margin) for distance in far[:hardest]]
    return float(np.mean(losses))


@pytest.mark.parametrize("margin", [0.2, 0.5])
@pytest.mark.parametrize(("epoch", "hardest"), [(0.0, None), (3.9, None), (4.0, 3)])
def test_loss_is_the_papers(built: Build, vectors: Vectors, margin: float, epoch: float, hardest: int | None) -> None:
    """All negatives of the batch at first, then the hardest ones."""
    method = Triplet(hidden=32, width=8, margin=margin, negatives=3, hard_from=4)
    objective, views = built(method, 16), vectors(9, 16)
    objective.begin(epoch, 10)
    expected = hinges(*embedded(objective, views), margin, hardest)
    assert float(objective(views).total.detach()) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.05


def test_more_hard_negatives_than_there_are_others_are_all(built: Build, vectors: Vectors) -> None:
    method = Triplet(hidden=32, width=8, negatives=40, hard_from=4)
    objective, views = built(method, 16), vectors(5, 16)
    objective.begin(9, 10)
    expected = hinges(*embedded(objective, views), 0.5, None)
    assert float(objective(views).total.detach()) == pytest.approx(expected, abs=1e-6)


def test_a_third_view_is_a_negative_of_its_frame(built: Build, vectors: Vectors) -> None:
    """Half the loss: the frame itself, far away in time."""
    objective, views = built(Triplet(hidden=32, width=8), 16), vectors(7, 16, 3)
    z = embedded(objective, views)
    apart = [max(0.0, cosine(a, n) - cosine(a, p) + 0.5) for a, p, n in zip(*z, strict=True)]
    expected = (hinges(z[0], z[1], 0.5, None) + np.mean(apart)) / 2
    assert float(objective(views).total.detach()) == pytest.approx(expected, abs=1e-6)


def test_gradients_are_those_of_the_hinges(built: Build, vectors: Vectors, same: Callable[..., None]) -> None:
    objective, views = built(Triplet(hidden=32, width=8), 16), vectors(6, 16)
    anchor, positive = (objective.projector(view) for view in views)
    losses = []
    for i in range(6):
        near = torch.cosine_similarity(anchor[i], positive[i], dim=0)
        losses += [
            torch.relu(torch.cosine_similarity(anchor[i], positive[j], dim=0) - near + 0.5) for j in range(6) if j != i
        ]
    same(objective(views).total, torch.stack(losses).mean(), [*views, *objective.parameters()])


def test_what_is_far_enough_apart_costs_nothing(built: Build) -> None:
    objective = built(Triplet(hidden=32, width=8), 16)
    objective.projector = torch.nn.Identity()
    rows = torch.eye(4)
    assert float(objective([rows, rows]).total) == 0
    assert float(objective([rows, rows.roll(1, 0)]).total) == pytest.approx((1.5 + 2 * 0.5) / 3, abs=1e-6)
