"""What a learner is shown: histories that stay within their episode, shifts that move them as one."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.arrays import Arrays
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Seen
from ssl_robot.probing import cloning
from ssl_robot.probing.cloning import LEARNERS, Clone, Learner, Network, cloned_through, fused, lesson
from ssl_robot.probing.moments import flat, own_of

LINE = Label.plain("place", 2)


def recorded(lengths: list[int], side: int = 16) -> Arrays:
    """Every moment has a number of its own, as its first label and its brightness."""
    n = sum(lengths)
    images = np.broadcast_to((np.arange(n) % 256).astype(np.uint8)[:, None, None, None], (n, side, side, 3))
    places = np.stack([np.arange(n), -np.arange(n)], 1).astype(np.float64)
    return Arrays(
        images.copy(), lengths, {"place": (LINE, places), "actions": (Label.plain("actions", 1), places[:, :1])}
    )


class Numbered:
    """Reads the number of a moment off its brightness."""

    name, key, sees = "numbered", "numbered", True
    labels: tuple[str, ...] = ()

    def read(self, moments: Seen, layer: Any = "output") -> torch.Tensor:
        return torch.from_numpy(moments.frames[:, 0, 0, :1]).float()

    def everything(self, frames: Any, layer: Any = "output") -> torch.Tensor:
        return torch.arange(len(frames)).float()[:, None]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 5))
def test_a_history_never_crosses_the_beginning_of_its_episode(lengths: list[int], history: int) -> None:
    frames = recorded(lengths)
    rows = np.arange(len(frames))
    past = lesson(frames, rows, {}, history).past
    assert past.shape == (len(frames), history)
    np.testing.assert_array_equal(past[:, -1], rows)
    np.testing.assert_array_equal(frames.episodes[past], np.repeat(frames.episodes[:, None], history, 1))
    first = np.searchsorted(frames.episodes, frames.episodes)
    for back in range(history):
        np.testing.assert_array_equal(past[:, history - 1 - back], np.maximum(rows - back, first))


@pytest.mark.parametrize("history", [1, 2, 4])
def test_a_policy_at_work_sees_what_it_was_taught(history: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two episodes side by side, moment by moment, against the rows of the recording."""
    frames = recorded([5, 5])
    own = {"place": (1,)}
    taught = lesson(frames, np.arange(10), own, history)
    reader = Numbered()
    wanted = fused(reader.everything(frames)[torch.from_numpy(taught.past)], taught.own)
    given: list[torch.Tensor] = []
    network = Network(wanted.shape[1], taught.actions, (4,)).eval()
    monkeypatch.setattr(network, "actions", lambda inputs: given.append(inputs) or torch.zeros(len(inputs), 1))
    clone = Clone(reader, network, "output", history, own)
    for episode in (0, 1):  # one after the other in the same copy: the second begins anew
        clone.begin([0])
        for age in range(5):
            rows = np.array([5 * episode + age])
            clone.act(Seen(frames.take(rows), {"place": frames.values("place")[rows]}))
    torch.testing.assert_close(torch.cat(given), wanted)


def test_a_history_is_fused_as_changes_and_the_last_moment() -> None:
    moments = torch.tensor([[[1.0, 10.0], [2.0, 30.0], [4.0, 60.0]]])
    assert fused(moments, torch.tensor([[7.0]])).tolist() == [[1, 20, 2, 30, 4, 60, 7]]
    assert fused(moments[:, -1:], torch.zeros(1, 0)).tolist() == [[4, 60]]


def test_all_moments_of_a_history_are_shifted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an episode in which nothing moves, nothing changes from one moment to the next."""
    images = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8).repeat(12, 0)
    frames = Arrays(images, [12], {"actions": (Label.plain("actions", 1), np.arange(12.0)[:, None])})
    seen: list[torch.Tensor] = []

    def spy(moments: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        seen.append(moments.detach())
        return fused(moments, own)

    monkeypatch.setattr(cloning, "fused", spy)
    encoder = Encoder.fresh(Card("small", 16, (0.5,) * 3, (0.25,) * 3), 0)
    learner = Learner((8,), 6, history=3, updates=2)
    cloned_through(encoder, frames, lesson(frames, np.arange(12), {}, 3), learner, "output", 1e-3, 0)
    for moments in seen:
        assert moments.diff(dim=1).abs().max() < 1e-5
        assert (moments[:, 0] - moments[:1, 0]).abs().max() > 1e-3  # each sample by its own


def test_a_network_gives_actions_in_their_own_unit_and_constant_ones_exactly() -> None:
    actions = torch.tensor([[100.0, 3.0], [300.0, 3.0]])
    network = Network(2, actions, (4,)).eval()
    inputs = torch.randn(5, 2)
    given = network.actions(inputs)
    torch.testing.assert_close(given[:, 0], 200 + 100 * network(inputs)[:, 0])
    torch.testing.assert_close(given[:, 1], torch.full((5,), 3.0), atol=1e-4, rtol=0)


def test_published_learners_take_as_many_steps_as_published() -> None:
    assert LEARNERS["r3m"].steps(2000) == 20_000
    assert LEARNERS["cortexbench"].steps(2560) == 1000
    assert LEARNERS["cortexbench"].steps(10) == 100
    assert LEARNERS["cortexbench"].history == 3


def test_maps_are_read_coarsely() -> None:
    assert flat(torch.ones(2, 3, 8, 8)).shape == (2, 48)
    assert flat(torch.ones(2, 3, 2, 2)).shape == (2, 12)
    assert flat(torch.ones(2, 5)).shape == (2, 5)


def test_what_a_robot_feels_is_what_the_user_says() -> None:
    frames, usual = recorded([3]), {"place": (0,)}
    assert own_of(frames, (), usual) == usual
    assert own_of(frames, ("none",), usual) == {}
    assert own_of(frames, ("place",), usual) == {"place": (0, 1)}
    assert own_of(frames, ("place:1",), usual) == {"place": (1,)}
    with pytest.raises(InputError, match="it has 0 to 1"):
        own_of(frames, ("place:2",), usual)
