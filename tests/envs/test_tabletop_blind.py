"""Positive controls: features that are exactly blind to an invariance are at chance on what it hides, and only there.

No encoder is trained: a random network's features, averaged over an invariance's own transformations.
"""

import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from ssl_robot.arrays import Arrays
from ssl_robot.baselines.blind import Averaged
from ssl_robot.encoder import Card, Encoder
from ssl_robot.envs.tabletop import PREFIX, predictions
from ssl_robot.envs.testbed.scene import LAP, SCENE
from ssl_robot.features import random_encoder, statistics
from ssl_robot.invariances import Invariance
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose
from ssl_robot.readers import EncoderReader
from ssl_robot.recipes import Recipe
from ssl_robot.splits import Split, split

if importlib.util.find_spec("mujoco") is None:  # not imported here: that would settle which OpenGL it draws with
    pytest.skip("mujoco is not installed", allow_module_level=True)
SIZE = 32
Scores = dict[str, Score]


def resets(twin: str, seeds: range) -> Arrays:
    env: Any = gym.make(f"{PREFIX}AlignYaw{twin}-v0").unwrapped
    images, facts = [], []
    for seed in seeds:
        env.reset(seed=seed)
        images.append(env.picture(SIZE))
        facts.append(env.state.facts)
    return Arrays(np.stack(images), named={"scene": (SCENE, np.array(facts))})


def together(*parts: Arrays) -> Arrays:
    facts = np.concatenate([part.values("scene") for part in parts])
    return Arrays(np.concatenate([part.images for part in parts]), named={"scene": (SCENE, facts)})


@pytest.fixture(scope="module")
def frames() -> Arrays:
    return resets("Flat", range(1200))


@pytest.fixture(scope="module")
def encoder(frames: Arrays) -> Encoder:
    return random_encoder(Card("wide", SIZE, *statistics(frames, np.arange(len(frames)))))


def seen(encoder: Encoder, frames: Arrays) -> torch.Tensor:
    return EncoderReader(encoder, "wide").everything(frames)


def blind(encoder: Encoder, frames: Arrays, item: Invariance) -> torch.Tensor:
    return Averaged(encoder, item, "blind").everything(frames)


def asked(features: torch.Tensor, frames: Arrays, parts: Split) -> Scores:
    scores = Pose(target=("scene",), control=False).score(features, frames, parts)
    return {row.component: row for row in scores if row.metric == "r2"}


@pytest.fixture(scope="module")
def plain(frames: Arrays, encoder: Encoder) -> Scores:
    scores = asked(seen(encoder, frames), frames, split(frames))
    assert {name for name, score in scores.items() if score.value > 0.3} >= {
        "block x", "block y", "block yaw cos", "block yaw sin", "block colour", "puck x", "puck y", "puck size",
        "tray height",
    }  # fmt: skip
    return scores


def check(invariance: str, scores: Scores, plain: Scores) -> None:
    """Every exact prediction about an invariance."""
    rows = [row for row in predictions() if row.invariance == invariance and row.exactly]
    assert any(row.effect == "hidden" for row in rows)
    for row in rows:
        score = scores[row.component]
        if row.effect == "hidden":
            assert score.value < 0.1, (row, score.value)
        else:
            assert score.value > plain[row.component].value - 0.1, (row, score.value)


@pytest.mark.parametrize("invariance", ["gray", "flip", "vertical_flip", "quarter_turn", "rotation"])
def test_what_is_hidden_is_gone_and_the_rest_is_there(
    frames: Arrays, encoder: Encoder, plain: Scores, invariance: str
) -> None:
    item = Recipe.from_dict({invariance: {}}).invariances[0]
    check(invariance, asked(blind(encoder, frames, item), frames, split(frames)), plain)


def test_hue_hides_the_colour_alone(encoder: Encoder) -> None:
    """Fewer frames: there are twelve hues of each."""
    frames = resets("Flat", range(500))
    parts = split(frames)
    item = Recipe.from_dict({"hue": {}}).invariances[0]
    check("hue", asked(blind(encoder, frames, item), frames, parts), asked(seen(encoder, frames), frames, parts))


def test_time_hides_the_place_of_what_moves(encoder: Encoder) -> None:
    """Features averaged over a lap of the puck, which begins anywhere; eight frames of it are a group too."""
    env: Any = gym.make(f"{PREFIX}FindMovingFlat-v0").unwrapped
    images, facts = [], []
    for seed in range(400):
        env.reset(seed=seed)
        facts.append(env.state.facts)
        for step in range(LAP):
            if step % 5 == 0:
                images.append(env.picture(SIZE))
            env.step(env.expert() * 0)
    every = Arrays(np.stack(images))
    first = Arrays(every.images[::8], named={"scene": (SCENE, np.array(facts))})
    features, parts = seen(encoder, every).reshape(400, 8, -1), split(first)
    check("time", asked(features.mean(1), first, parts), asked(features[:, 0], first, parts))


def test_gray_helps_where_the_table_is_coloured(frames: Arrays, encoder: Encoder) -> None:
    """Heads fitted to plain tables, asked about others."""
    both = together(frames, resets("FlatNuisance", range(5000, 5300)))
    parts = Split(np.arange(950), np.arange(950, 1200), np.arange(1200, 1500))
    without = asked(seen(encoder, both), both, parts)
    item = Recipe.from_dict({"gray": {}}).invariances[0]
    having = asked(blind(encoder, both, item), both, parts)
    rows = [row for row in predictions() if row.effect == "helped"]
    assert {row.invariance for row in rows} == {"gray"}
    for row in rows:
        better = having[row.component].resampled - without[row.component].resampled
        assert np.percentile(better, 2.5) > 0, (row, np.mean(better))
