from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.features import pixels
from ssl_robot.frames import Label
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose
from ssl_robot.splits import split

POSE = Label("poses/block", ("x", "y", "angle"), ("m", "m", "rad"), (False, False, True))
RNG = np.random.default_rng(0)
N = 600


@pytest.fixture(scope="module")
def scenes(memory):
    """Frames nobody looks at, with poses spread evenly: the angle over the whole turn."""
    rng = np.random.default_rng(0)
    poses = np.column_stack([rng.uniform(-1, 1, (N, 2)), rng.uniform(-np.pi, np.pi, N)])
    images = rng.integers(0, 256, (N, 4, 4, 3), np.uint8)
    return memory(images, None, {POSE.name: (POSE, poses)})


def seen(scenes, *columns: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Tensor:
    poses = scenes.values(POSE.name)
    return torch.from_numpy(np.column_stack([column(poses) for column in columns])).float()


def asked(features: Tensor, frames, head: str = "kernel", target: str = "block") -> dict[tuple[str, str], Score]:
    scores = Pose(target=(target,), head=head).score(features, frames)
    return {(item.component, item.metric): item for item in scores}


def everything(scenes) -> Tensor:
    return seen(scenes, lambda p: p[:, 0], lambda p: p[:, 1], lambda p: np.cos(p[:, 2]), lambda p: np.sin(p[:, 2]))


R2 = [(name, "r2") for name in ("x", "y", "angle cos", "angle sin")]
ERRORS = [("x", "error"), ("y", "error"), ("angle", "error")]


def test_an_angle_is_scored_by_cosine_and_sine_and_in_degrees(scenes) -> None:
    scores = asked(everything(scenes), scenes)
    assert set(scores) == {*R2, *ERRORS}
    assert {item.target for item in scores.values()} == {"poses/block"}
    assert [scores[key].unit for key in ERRORS] == ["m", "m", "deg"]
    assert all(scores[key].unit == "" for key in R2)
    assert {item.n for item in scores.values()} == {len(split(scenes).test)}


@pytest.mark.parametrize("head", ["kernel", "ridge"])
def test_an_encoder_that_sees_everything_is_not_flagged(scenes, head: str) -> None:
    """Across the wrap of the angle too: the largest error would be near 360 degrees otherwise."""
    scores = asked(everything(scenes), scenes, head)
    assert all(scores[key].low > 0.98 for key in R2)
    assert scores["angle", "error"].value < 3
    assert scores["x", "error"].value < 0.02


def test_chance_is_what_the_mean_scores(scenes) -> None:
    """An angle spread over the whole turn is missed by 90 degrees, a place spread over (-1, 1) by a half."""
    scores = asked(everything(scenes), scenes)
    assert scores["angle", "error"].chance == pytest.approx(90, abs=8)
    assert scores["x", "error"].chance == pytest.approx(0.5, abs=0.06)
    assert all(-0.05 < scores[key].chance <= 0 for key in R2)


@pytest.mark.parametrize("head", ["kernel", "ridge"])
def test_features_that_say_nothing_score_about_chance(scenes, head: str) -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(N, 20)))
    for item in asked(noise, scenes, head).values():
        width = item.high - item.low
        assert item.low - width / 2 < item.chance < item.high + width / 2
        assert item.metric == "error" or abs(item.value) < 0.1


def test_features_blind_to_a_flip_lose_what_the_flip_exchanges_and_nothing_else(scenes) -> None:
    """Left and right: the sign of x, and of the sine where the angle is measured from the vertical."""
    blind = seen(scenes, lambda p: p[:, 1], lambda p: np.cos(p[:, 2]), lambda p: np.abs(np.sin(p[:, 2])))
    scores = asked(blind, scenes)
    assert scores["angle cos", "r2"].low > 0.98
    assert scores["y", "r2"].low > 0.98
    for lost in (scores["angle sin", "r2"], scores["x", "r2"]):
        assert lost.value < 0.1
        assert lost.low < 0.05
    assert 20 < scores["angle", "error"].value < 70


def test_intervals_hold_the_value_and_narrow_with_more_scenes(scenes, memory) -> None:
    noisy = everything(scenes) + 0.3 * torch.from_numpy(RNG.normal(size=(N, 4)))
    fewer = memory(scenes.images[:150], None, {POSE.name: (POSE, scenes.values(POSE.name)[:150])})
    wide, narrow = asked(noisy[:150], fewer), asked(noisy, scenes)
    for key, item in narrow.items():
        assert item.low < item.value < item.high
        assert item.high - item.low < wide[key].high - wide[key].low


def test_intervals_count_episodes_not_frames(scenes, memory) -> None:
    """Every scene ten times over, as ten frames of one episode, tells no more than once."""
    noisy = everything(scenes)[:150] + 0.3 * torch.from_numpy(RNG.normal(size=(150, 4)))
    poses, images = scenes.values(POSE.name)[:150], scenes.images[:150]
    once = memory(images, None, {POSE.name: (POSE, poses)})
    often = memory(images.repeat(10, 0), [10] * 150, {POSE.name: (POSE, poses.repeat(10, 0))})
    one, ten = asked(noisy, once, "ridge"), asked(noisy.repeat_interleave(10, 0), often, "ridge")
    for key in R2:
        ratio = (ten[key].high - ten[key].low) / (one[key].high - one[key].low)
        assert 0.8 < ratio < 1.25


def test_answers_of_the_test_rows_reach_no_prediction(scenes, memory) -> None:
    """Were they used, shuffled answers would still score above nothing."""
    poses = scenes.values(POSE.name).copy()
    test = split(scenes).test
    poses[test] = poses[np.random.default_rng(2).permutation(test)]
    shuffled = memory(scenes.images, None, {POSE.name: (POSE, poses)})
    scores = asked(everything(scenes), shuffled)
    assert all(scores[key].value < -0.3 for key in R2)


def test_a_label_that_does_not_vary_scores_nothing_and_no_nan(scenes, memory) -> None:
    poses = np.zeros((N, 3))
    constant = memory(scenes.images, None, {POSE.name: (POSE, poses)})
    for item in asked(everything(scenes), constant).values():
        assert np.isfinite([item.value, item.low, item.high, item.chance]).all()
        assert item.value == pytest.approx(0, abs=1e-6)


def test_poses_of_real_frames_are_read_from_their_pixels(resets) -> None:
    """The recording's labels belong to its frames: where the block is shows even in 32x32 pixels of 180 frames."""
    scores = asked(pixels(resets), resets, "ridge", "poses/block")
    assert scores["x", "r2"].low > 0.3
    assert scores["y", "r2"].low > 0.3
    assert scores["x", "error"].unit == "px"


def test_an_unknown_target_lists_the_labels(scenes) -> None:
    with pytest.raises(InputError, match="no label 'cup': choose from poses/block"):
        asked(everything(scenes), scenes, target="cup")
