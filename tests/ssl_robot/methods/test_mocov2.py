import copy
from collections import deque
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import BYOLProjectionHead, MoCoProjectionHead
from lightly.models.utils import update_momentum
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.mocov2 import Mocov2

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]
Count = Callable[[nn.Module], int]


def stepped(parameters: list[Tensor], gradients: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 0.5 * gradient


@pytest.mark.parametrize("bn", [False, True])
def test_a_run_is_lightlys_beyond_the_queues_end(built: Build, vectors: Vectors, bn: bool) -> None:
    """Every step: the slow copy follows, makes keys, they are compared with the queue, and join it afterwards."""
    b, size, keep, temperature = 4, 12, 0.8, 0.2
    method = Mocov2(hidden=32, bn=bn, width=8, queue=size, keep=keep, temperature=temperature, symmetric=False)
    objective = built(method, 16)
    student = BYOLProjectionHead(16, 32, 8) if bn else MoCoProjectionHead(16, 32, 8, num_layers=2)
    student.layers.load_state_dict(objective.projector.state_dict())
    teacher, criterion = copy.deepcopy(student), NTXentLoss(temperature, memory_bank_size=(size, 8))
    criterion.memory_bank.bank = objective.queue.vectors[0].clone()
    ours, theirs = list(objective.projector.parameters()), list(student.parameters())
    for step in range(8):
        asks, key = vectors(b, 16, seed=step)
        objective.begin(step, 8)
        update_momentum(student, teacher, keep)
        loss = objective([asks, key]).total
        with torch.no_grad():
            keys = teacher(key)
        expected = criterion(student(asks), keys)
        torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)
        mine, wanted = torch.autograd.grad(loss, ours), torch.autograd.grad(expected, theirs)
        for one, other in zip(mine, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
        stepped(ours, mine)
        stepped(theirs, wanted)
        torch.testing.assert_close(objective.queue.vectors[0], criterion.memory_bank.bank, atol=1e-6, rtol=0)


def test_both_views_ask_the_same_queue(built: Build, vectors: Vectors) -> None:
    """Symmetric: the mean of both directions, and the second view's keys are not yet there for the first."""
    objective, views = built(Mocov2(hidden=32, width=8, queue=16), 16), vectors(4, 16)
    bank = objective.queue.vectors[0].clone()
    with torch.no_grad():
        keys = [objective.teacher(view) for view in views]
    queries = [objective.projector(view) for view in views]
    expected = []
    for i in range(2):
        criterion = NTXentLoss(0.2, memory_bank_size=(16, 8))
        criterion.memory_bank.bank = bank.clone()
        expected.append(criterion(queries[i], keys[1 - i]))
    torch.testing.assert_close(objective(views).total, torch.stack(expected).mean(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("size", "b"), [(12, 4), (10, 4), (3, 4)])
def test_the_queue_holds_the_last_keys(built: Build, vectors: Vectors, size: int, b: int) -> None:
    """Also where batches do not fill it exactly, or are longer than it is."""
    objective = built(Mocov2(hidden=32, width=8, queue=size, symmetric=False), 16)
    last: deque[Tensor] = deque(objective.queue.vectors[0].clone(), maxlen=size)
    for step in range(6):
        asks, key = vectors(b, 16, seed=step)
        with torch.no_grad():
            last.extend(F.normalize(objective.teacher(key), dim=1))
        objective([asks, key])
    held, wanted = objective.queue.vectors[0], torch.stack(list(last))
    torch.testing.assert_close(held[held[:, 0].argsort()], wanted[wanted[:, 0].argsort()], atol=1e-6, rtol=0)


def test_each_part_of_a_split_batch_has_its_own_batch_statistics(built: Build, vectors: Vectors) -> None:
    objective = built(Mocov2(hidden=32, width=8, queue=8, symmetric=False, splits=2), 16, nn.BatchNorm1d(16))
    asks, key = vectors(8, 16)
    objective([asks, key])
    with torch.no_grad():
        parts = [(part - part.mean(0)) / (part.var(0, unbiased=False) + 1e-5).sqrt() for part in key.split(4)]
        keys = F.normalize(torch.cat([objective.teacher[1](part) for part in parts]), dim=1)
    torch.testing.assert_close(objective.queue.vectors[0], keys, atol=1e-6, rtol=0)


def test_the_slow_copy_is_lightlys(built: Build) -> None:
    objective = built(Mocov2(hidden=32, width=8, keep=0.9), 16)
    expected = copy.deepcopy(objective.teacher[1])
    with torch.no_grad():
        for parameter in objective.projector.parameters():
            parameter.add_(torch.randn(parameter.shape))
    objective.begin(0, 1)
    update_momentum(objective.projector, expected, 0.9)
    for ours, theirs in zip(objective.teacher.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_head_has_the_papers_size(built: Build, count: Count) -> None:
    """2048-2048-128 without batch norm, and 65,536 keys."""
    objective = built(Mocov2.made("paper", {}), 2048)
    by_hand = 2048 * 2048 + 2048 + 2048 * 128 + 128
    assert count(objective.projector) == by_hand == count(MoCoProjectionHead(2048, 2048, 128))
    assert objective.queue.vectors.shape == (1, 65_536, 128)
