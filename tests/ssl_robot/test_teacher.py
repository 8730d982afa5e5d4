import copy
import math
from collections import deque

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from ssl_robot.teacher import Queue, follow, rising, teacher_of


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4))


@pytest.mark.parametrize("keep", [0.0, 0.9, 0.996, 1.0])
def test_a_teacher_follows_as_lightlys_does(keep: float) -> None:
    teacher, student = network(0), network(1)
    expected = copy.deepcopy(teacher)
    for _ in range(5):
        follow(teacher, student, keep=keep)
        update_momentum(student, expected.requires_grad_(False), keep)
    for ours, theirs in zip(teacher.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_a_teacher_follows_several_parts_in_their_order() -> None:
    first, second = network(0), nn.Linear(4, 3)
    teacher = teacher_of(first, second)
    with torch.no_grad():
        for parameter in [*first.parameters(), *second.parameters()]:
            parameter += 1
    follow(teacher, first, second, keep=0)
    for ours, theirs in zip(teacher, (first, second), strict=True):
        for name, value in theirs.named_parameters():
            torch.testing.assert_close(dict(ours.named_parameters())[name], value)


def test_a_teacher_learns_nothing_itself_and_shares_nothing() -> None:
    student = network(0)
    teacher = teacher_of(student)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())
    places = [{value.data_ptr() for value in part.state_dict().values()} for part in (teacher, student)]
    assert not places[0] & places[1]


def test_batch_statistics_are_the_teachers_own() -> None:
    student = network(0)
    teacher = teacher_of(student)
    student(torch.randn(8, 6) + 5)
    before = teacher[0][1].running_mean.clone()
    follow(teacher, student, keep=0.5)
    assert torch.equal(teacher[0][1].running_mean, before)


@given(first=st.floats(0.5, 1), steps=st.integers(2, 1000), share=st.floats(0, 1))
def test_the_share_that_stays_rises_as_lightlys_schedule(first: float, steps: int, share: float) -> None:
    """BYOL, section 3.2: 1 - (1 - m)(cos(pi k / K) + 1) / 2."""
    step = round(share * steps)
    expected = cosine_schedule(step, steps + 1, first, 1.0)
    assert rising(first, step / steps) == pytest.approx(expected, abs=1e-9)
    assert rising(first, step / steps) == pytest.approx(1 - (1 - first) * (math.cos(math.pi * step / steps) + 1) / 2)


def test_the_share_stays_at_one_after_the_end() -> None:
    assert rising(0.9, 1.3) == 1


@given(size=st.integers(1, 20), counts=st.lists(st.integers(1, 25), min_size=1, max_size=8), sets=st.integers(1, 3))
def test_a_queue_holds_the_last_vectors(size: int, counts: list[int], sets: int) -> None:
    """Like a deque of that length, in whatever portions they come."""
    queue = Queue(size, 2, sets)
    last: deque[Tensor] = deque(queue.vectors.clone().unbind(1), maxlen=size)
    number = 0
    for count in counts:
        vectors = torch.arange(number, number + count).float().view(1, -1, 1) + torch.arange(sets).view(-1, 1, 1) / 10
        queue.put(vectors.expand(sets, count, 2))
        last.extend(vectors.expand(sets, count, 2).unbind(1))
        number += count
    turned = queue.vectors.roll(-int(queue.oldest), 1)
    assert torch.equal(turned, torch.stack(list(last), 1))
    assert queue.full == (sum(counts) >= size)


def test_a_queue_begins_with_directions_of_all_kinds() -> None:
    queue = Queue(500, 8, 2)
    torch.testing.assert_close(queue.vectors.norm(dim=2), torch.ones(2, 500))
    assert float(queue.vectors.mean((0, 1)).norm()) < 0.2
    assert not queue.full
