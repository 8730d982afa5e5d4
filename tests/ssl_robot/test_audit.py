"""The audit on PushT, where it is known what exact blindness takes, and on small trained studies."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from ssl_robot import audit
from ssl_robot.encoder import Card
from ssl_robot.errors import InputError
from ssl_robot.features import random_encoder
from ssl_robot.frames import Label
from ssl_robot.probes.pose import Pose
from ssl_robot.readers import EncoderReader
from ssl_robot.recipes import Recipe
from ssl_robot.splits import split
from ssl_robot.training import Training
from ssl_robot.verdicts import potential

LABEL = Label("poses/block", ("x", "y", "angle"), ("px", "px", "rad"), (False, False, True))


@pytest.fixture(scope="session")
def arrows(memory):
    """700 frames of an arrow on a plain ground: symmetric about its own axis, like PushT's block."""
    rng = np.random.default_rng(0)
    poses = np.stack([rng.uniform(12, 36, 700), rng.uniform(12, 36, 700), rng.uniform(-np.pi, np.pi, 700)], 1)
    y, x = np.mgrid[:48, :48]
    images = np.full((700, 48, 48, 3), 230, np.uint8)
    for image, (px, py, angle) in zip(images, poses, strict=True):
        along = (x - px) * np.cos(angle) + (y - py) * np.sin(angle)
        across = -(x - px) * np.sin(angle) + (y - py) * np.cos(angle)
        image[(abs(along) < 9) & (abs(across) < (9 - along) / 3)] = (40, 90, 160)
    return memory(images, named={"poses/block": (LABEL, poses)})


@pytest.fixture(scope="session")
def found(arrows):
    recipe = Recipe.from_dict({"rotation": {}, "flip": {}, "hue": {}})
    findings, _ = audit.instant(arrows, ["poses/block"], recipe, size=48)
    return {(f.invariance, f.component): f for f in findings}


def test_blindness_to_rotation_takes_place_and_angle(found):
    for component in ("x", "y", "angle cos", "angle sin", "angle"):
        assert (found["rotation", component].verdict, found["rotation", component].held) == ("hurts", True)
    assert found["rotation", "x"].having < 0.15
    assert found["rotation", "angle"].having > 75


def test_blindness_to_flip_takes_x_and_cosine_and_keeps_the_rest(found):
    """A mirror turns the angle to pi minus it: the cosine changes sign, the sine does not."""
    for component in ("x", "angle cos"):
        assert found["flip", component].verdict == "hurts"
        assert found["flip", component].having < 0.15
    for component in ("y", "angle sin"):
        assert found["flip", component].verdict in ("negligible", "helps", "no_evidence")
        assert found["flip", component].having > 0.6


def test_blindness_to_hue_takes_nothing_of_the_pose(found):
    assert all(f.verdict != "hurts" for (name, _), f in found.items() if name == "hue")


def test_seeing_everything_is_not_flagged(arrows):
    """The same features against themselves in other coordinates: nothing is lost."""
    encoder = random_encoder(Card("wide", 48, (0.8, 0.8, 0.8), (0.2, 0.2, 0.2)))
    features = EncoderReader(encoder, "wide").everything(arrows)
    mixed = features @ torch.linalg.qr(torch.randn(features.shape[1], features.shape[1]))[0]
    scores = [Pose(target=("block",)).score(f, arrows) for f in (features, mixed)]
    assert all(f.verdict in ("negligible", "no_evidence", "helps") for f in potential("none", *scores, "output"))


@pytest.fixture
def study():
    training = Training(epochs=1, batch_size=32, size=32)
    return audit.Study(Recipe.named("crop"), ("flip",), ("poses/block",), seeds=2, training=training)


@pytest.mark.slow
def test_a_study_is_cached_paired_and_repeatable(study, exploration, resets, tmp_path):
    first = audit.run(study, exploration, resets, tmp_path / "a")
    assert {(r.arm, r.seed) for r in first} == {(a, s) for a in ("reference", "flip", "random") for s in (0, 1)}
    written = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "a").rglob("*.safetensors")}
    again = audit.run(study, exploration, resets, tmp_path / "a")
    assert [r.scores for r in again] == [r.scores for r in first]
    assert written == {path: os.stat(path).st_mtime_ns for path in (tmp_path / "a").rglob("*.safetensors")}
    elsewhere = audit.run(study, exploration, resets, tmp_path / "b", workers=1)
    assert [r.scores for r in elsewhere] == [r.scores for r in first]
    findings = audit.findings(study, first)
    assert {f.layer for f in findings} == {"output", "map"}
    assert all(f.low <= f.effect <= f.high for f in findings)


@pytest.mark.slow
def test_a_failed_run_is_named_and_its_arm_left_out(study, exploration, resets, tmp_path):
    wild = dataclasses.replace(study, training=dataclasses.replace(study.training, lr=1e30))
    results = audit.run(wild, exploration, resets, tmp_path)
    assert all("lower --lr" in r.failure for r in results if r.arm != "random")
    assert audit.findings(wild, results) == []


def test_pretraining_never_sees_what_the_probe_is_examined_on(resets):
    rows = audit._unexamined(resets, resets)
    assert not set(rows) & set(split(resets).test)
    assert set(rows) >= set(split(resets).train)


def test_one_seed_gives_no_interval(study, exploration, resets, tmp_path):
    with pytest.raises(InputError, match="interval"):
        audit.run(dataclasses.replace(study, seeds=1), exploration, resets, tmp_path)


def test_designs_differ_in_one_invariance():
    adding = audit.Study(Recipe.named("crop"), ("flip", "hue"), ())
    assert {name: recipe.names for name, recipe in adding.arms().items()} == {
        "reference": ("crop",), "flip": ("crop", "flip"), "hue": ("crop", "hue"),
    }  # fmt: skip
    with pytest.raises(InputError, match="leave_one_out"):
        audit.Study(Recipe.named("crop"), ("crop",), ()).arms()
    with pytest.raises(InputError, match="no 'hue' to leave out"):
        audit.Study(Recipe.named("crop"), ("hue",), (), design="leave_one_out").arms()
    leaving = audit.Study(Recipe.named("simsiam"), ("flip",), (), design="leave_one_out")
    assert set(leaving.arms()["reference"].names) - set(leaving.arms()["flip"].names) == {"flip"}
