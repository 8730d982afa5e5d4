"""Potential harm on an arrow, where it is known what exact blindness takes, without any training."""

from typing import Any

import numpy as np
import pytest
import torch

from ssl_robot.arrays import Arrays
from ssl_robot.auditing.potential import harmless, instant
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.verdicts import potential
from ssl_robot.encoder import Card
from ssl_robot.features import random_encoder
from ssl_robot.frames import Label
from ssl_robot.probes.pose import Pose
from ssl_robot.readers import EncoderReader
from ssl_robot.recipes import Recipe

LABEL = Label("poses/block", ("x", "y", "angle"), ("px", "px", "rad"), (False, False, True))


@pytest.fixture(scope="module")
def arrows() -> Arrays:
    """700 frames of an arrow on a plain ground: symmetric about its own axis, like PushT's block."""
    rng = np.random.default_rng(0)
    poses = np.stack([rng.uniform(12, 36, 700), rng.uniform(12, 36, 700), rng.uniform(-np.pi, np.pi, 700)], 1)
    y, x = np.mgrid[:48, :48]
    images = np.full((700, 48, 48, 3), 230, np.uint8)
    for image, (px, py, angle) in zip(images, poses, strict=True):
        along = (x - px) * np.cos(angle) + (y - py) * np.sin(angle)
        across = -(x - px) * np.sin(angle) + (y - py) * np.cos(angle)
        image[(abs(along) < 9) & (abs(across) < (9 - along) / 3)] = (40, 90, 160)
    return Arrays(images, named={"poses/block": (LABEL, poses)})


@pytest.fixture(scope="module")
def question(arrows: Arrays) -> Question:
    return Question(Pose(target=("block",), control=False), arrows)


@pytest.fixture(scope="module")
def found(question: Question) -> Any:
    recipe = Recipe.from_dict({"rotation": {}, "flip": {}, "hue": {}, "time": {}})
    return instant([question], recipe, size=48)


@pytest.fixture(scope="module")
def rows(found: Any) -> Any:
    return {(f.invariance, f.component): f for f in found}


def test_blindness_to_rotation_takes_place_and_angle(rows: Any) -> None:
    for component in ("x", "y", "angle cos", "angle sin", "angle"):
        assert (rows["rotation", component].verdict, rows["rotation", component].held) == ("hurts", True)
    assert rows["rotation", "x"].having < 0.15
    assert rows["rotation", "angle"].having > 75


def test_blindness_to_flip_takes_x_and_cosine_and_keeps_the_rest(rows: Any) -> None:
    """A mirror turns the angle to pi minus it: the cosine changes sign, the sine does not."""
    for component in ("x", "angle cos"):
        assert rows["flip", component].verdict == "hurts"
        assert rows["flip", component].having < 0.15
    for component in ("y", "angle sin"):
        assert rows["flip", component].verdict in ("negligible", "helps", "no_evidence")
        assert rows["flip", component].having > 0.6


def test_blindness_to_hue_takes_nothing_of_the_pose(found: Any) -> None:
    assert all(f.verdict != "hurts" for f in found if f.invariance == "hue")
    assert harmless(found) == ("hue",)


def test_what_a_frame_alone_does_not_show_is_left_to_training(found: Any) -> None:
    assert {f.invariance for f in found} == {"rotation", "flip", "hue"}


def test_seeing_everything_is_not_flagged(question: Question, arrows: Arrays) -> None:
    """The same features against themselves in other coordinates: nothing is lost."""
    encoder = random_encoder(Card("wide", 48, (0.8, 0.8, 0.8), (0.2, 0.2, 0.2)))
    features = EncoderReader(encoder, "wide").everything(arrows)
    mixed = features @ torch.linalg.qr(torch.randn(features.shape[1], features.shape[1]))[0]
    scores = [Pose(target=("block",)).score(f, arrows) for f in (features, mixed)]
    assert all(f.verdict != "hurts" for f in potential("none", question, "wide", *scores))


def test_a_given_encoder_is_bounded_too(question: Question) -> None:
    encoder = random_encoder(Card("small", 48, (0.8, 0.8, 0.8), (0.2, 0.2, 0.2)))
    found = instant([question], Recipe.from_dict({"flip": {}}), 48, encoder, "mine")
    assert {f.encoder for f in found} == {"mine"}
    assert {f.component: f.verdict for f in found}["x"] == "hurts"
