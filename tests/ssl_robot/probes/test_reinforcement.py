"""Learning by trial and error: the vector keeps Stable-Baselines3's promises, and a policy learns on a line."""

import importlib.util
import random
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from ssl_robot.baselines import named
from ssl_robot.errors import InputError
from ssl_robot.frames import Seen
from ssl_robot.probes.reinforcement import Reinforcement
from ssl_robot.probing.moments import Eye
from ssl_robot.probing.trials import Trials

absent = importlib.util.find_spec("stable_baselines3") is None
learns = pytest.mark.skipif(absent, reason="stable_baselines3 is not installed")


@pytest.fixture(scope="module")
def demos(line, shown_on) -> Any:
    return shown_on(line(), 30)


def trials(line: Any, demos: Any, reader: Any) -> tuple[Any, Trials]:
    arena = line(3)
    return arena, Trials(arena, Eye(reader, "output", {"agent": (0,)}, demos), 3, count(100))


def test_episodes_follow_each_other_and_the_last_moment_is_told(line, demos, eyes) -> None:
    arena, world = trials(line, demos, eyes)
    first = world.reset()
    assert first.shape == (3, world.eye.width) == (3, 17)
    for age in range(1, 11):
        world.step_async(np.full((3, 1), 0.1, np.float32))
        features, rewards, over, infos = world.step_wait()
        assert features.dtype == rewards.dtype == np.float32
        assert over.all() == (age % 5 == 0)
        for info, feature in zip(infos, features, strict=True):
            assert bool(info) == (age % 5 == 0)
            if info:  # a time limit ended it; the features are the next episode's already
                assert info["TimeLimit.truncated"] is True
                assert not np.array_equal(info["terminal_observation"], feature)
    assert np.abs(arena.x).max() <= 1  # begun anew, twice


def test_features_are_standardised_by_the_recording(line, demos, eyes) -> None:
    eye = Eye(eyes, "output", {"agent": (0,)}, demos)
    everything = eye(Seen(demos.images, {"agent": demos.values("agent")}))
    np.testing.assert_allclose(everything.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(everything.std(0), 1, atol=0.02)
    far = eye(Seen(demos.images[:1], {"agent": np.array([[1e9]])}))
    assert far[0, -1] == 10


@learns
@pytest.mark.parametrize("algorithm", ["ppo", pytest.param("sac", marks=pytest.mark.slow)])
def test_a_policy_learns(line, demos, algorithm: Any) -> None:
    asked = Reinforcement(algorithm=algorithm, interactions=3000 if algorithm == "ppo" else 700, episodes=20)
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    scores = {score.metric: score for score in asked.ask(named("state", demos), demos, line(8))}
    assert list(scores) == ["success", "return", "normalised"]
    assert scores["return"].low > scores["return"].chance
    assert scores["return"].n == 20
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@learns
def test_a_seed_repeats_what_is_learnt(line, demos, eyes) -> None:
    asked = Reinforcement(interactions=300, copies=2, episodes=3)
    first, again = (asked.ask(eyes, demos, line(4)) for _ in range(2))
    assert [score.value for score in first] == [score.value for score in again]
    other = Reinforcement(interactions=300, copies=2, episodes=3, seed=1).ask(eyes, demos, line(4))
    assert [score.value for score in first] != [score.value for score in other]


@learns
def test_actions_without_bounds_are_refused(line, demos, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = line()
    monkeypatch.setattr(arena, "actions", (np.array([-np.inf]), np.array([np.inf])), raising=False)
    with pytest.raises(InputError, match="no bounds to explore within"):
        Reinforcement().ask(named("state", demos), demos, arena)


def test_without_the_extra_its_name_is_told(line, demos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'ssl-robot\[reinforcement\]'"):
        Reinforcement().ask(named("state", demos), demos, line())
