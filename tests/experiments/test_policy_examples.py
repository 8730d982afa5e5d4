"""The examples run as they stand, in a short form."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import ssl_robot
from ssl_robot.arrays import Arrays
from ssl_robot.datasets.store import FrameStore
from ssl_robot.encoder import Card, Encoder

PLAIN = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    Encoder.fresh(Card("small", 32, *PLAIN), seed=0).save(folder / "encoder.safetensors")
    return folder


def test_a_recording_is_cloned_in_plain_pytorch(exploration: FrameStore, run: Path) -> None:
    from ssl_robot.experiments.examples.clone_pytorch import Example, main

    policy, share = main(Example(exploration.path, str(run), epochs=2))
    assert share < 1
    frames = exploration.take(np.arange(5))
    assert policy(frames).shape == (5, 2)


def test_what_frames_show_is_cloned(run: Path, tmp_path: Path) -> None:
    """An action that is written on the frame, as its brightness, is learnt."""
    from ssl_robot.experiments.examples.clone_pytorch import Example, explained, fit

    bright = np.random.default_rng(0).uniform(0, 1, 300)
    frames = Arrays((bright[:, None, None, None] * np.full((1, 32, 32, 3), 255)).astype(np.uint8))
    features = ssl_robot.load(run)(frames.images)
    actions = torch.from_numpy(bright[:, None]).float()
    head = torch.nn.Sequential(torch.nn.BatchNorm1d(128), torch.nn.Linear(128, 1))
    fit(head, features[:200], actions[:200], Example(tmp_path, epochs=60, batch=50))
    assert explained(head.eval()(features[200:]), actions[200:]) > 0.9


@pytest.mark.mujoco
@pytest.mark.skipif(importlib.util.find_spec("stable_baselines3") is None, reason="Stable-Baselines3 is not installed")
def test_ppo_learns_from_features_and_is_saved_with_the_encoder(run: Path, tmp_path: Path) -> None:
    from ssl_robot.experiments.examples.ppo_reacher import Example, main

    earned = main(Example(str(run), tmp_path / "ppo", steps=32, copies=2, rounds=16, size=32, episodes=2))
    assert -200 < earned < 0
    assert (tmp_path / "ppo" / "policy.zip").is_file()
    kept, given = (ssl_robot.load(folder).state_dict() for folder in (tmp_path / "ppo", run))
    assert all(torch.equal(value, given[name]) for name, value in kept.items())
