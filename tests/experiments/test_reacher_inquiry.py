"""The inquiry into Reacher: one thing is changed at a time, beginning where every frame has its own draws."""

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from ssl_robot.experiments.cli import main
from ssl_robot.experiments.studies._trials import RANDOM
from ssl_robot.experiments.studies._worlds import World
from ssl_robot.experiments.studies.reacher_inquiry import ReacherInquiry
from ssl_robot.experiments.studies.tuning import Tuning

REACHER = World("reacher", Path("none.h5"), Path("none.h5"), {"state": ("0",)})


def test_one_thing_is_changed_at_a_time() -> None:
    found = {trial.name: trial for trial in ReacherInquiry(methods=("byol",))._trials(REACHER)}
    usual = found["byol"]
    assert found["byol, without flip"].views == usual.views.without("flip")
    assert found["byol, without colours"].views.names == ("crop", "flip", "blur")
    assert found["byol, crop alone"].views.names == ("crop",)
    assert found["byol, shift and convolution"].views.names == ("shift", "convolution")
    assert found["byol, faster"].schedule == replace(usual.schedule, lr=6e-3)
    assert usual.schedule.draws == "frame"
    assert found["byol, shared"].schedule == replace(usual.schedule, draws="batch")
    assert found["byol, shared_longer"].schedule == replace(usual.schedule, draws="batch", epochs=20)
    assert found["byol, longer"].schedule == replace(usual.schedule, epochs=20)
    assert found["byol, follow"].built == replace(usual.built, keep=0.9)
    assert "byol, sharper" not in found  # it has no temperature
    assert found["byol, augself"].remedies == {"augself": {}}
    for name, trial in found.items():
        if name not in ("byol", "pixels", RANDOM):
            same = [getattr(trial, what) == getattr(usual, what) for what in ("views", "schedule", "built", "remedies")]
            assert same.count(False) == 1, name


def test_tuning_tries_draws_with_the_preset_and_rates_without_sharing() -> None:
    draws = {trial.name: trial.schedule for trial in Tuning()._draws(REACHER, "swav")}
    assert draws["swav draws batch"] == replace(draws["swav draws frame"], draws="batch")
    assert {trial.schedule.draws for trial in Tuning()._rates(REACHER, "swav")} == {"frame"}


def test_a_temperature_is_halved_where_there_is_one() -> None:
    found = {
        trial.name: trial for trial in ReacherInquiry(methods=("mocov3",), questions=("sharper",))._trials(REACHER)
    }
    assert found["mocov3, sharper"].built == replace(found["mocov3"].built, temperature=0.1)


def test_the_nearer_camera_is_asked_with_nothing_else_changed() -> None:
    trials = ReacherInquiry()._trials(replace(REACHER, name="reacher-near"))
    names = list(dict.fromkeys(trial.name for trial in trials))
    assert names == ["pixels", RANDOM, *ReacherInquiry.methods]


def test_an_unknown_question_is_answered_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["study", "reacher_inquiry", "--out", str(tmp_path), "--reacher-inquiry.questions", "why"]
    assert main(words) == 2
    assert "choose from near, views, faster, longer" in capsys.readouterr().err


@pytest.mark.mujoco
def test_the_nearer_camera_sees_more_of_the_arm() -> None:
    """Dark blue on gray: several times as many pixels as Reacher's own camera shows."""
    dark = []
    for name in ("Reacher-v5", "ssl_robot.experiments.studies._near:NearReacher-v0"):
        env = gym.make(name, render_mode="rgb_array", width=64, height=64)
        env.reset(seed=0)
        frame = np.asarray(env.render()).astype(int)
        env.close()
        dark.append(int((frame[..., 2] - frame[..., 0] > 40).sum()))
    assert dark[1] > 3 * dark[0] > 0
