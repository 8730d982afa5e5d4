"""Fewer frames, the same episodes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_robot.arrays import Arrays
from ssl_robot.frames import Frames, Label
from ssl_robot.probes.pose import Pose
from ssl_robot.splits import split
from ssl_robot.thinned import Thinned


def recording(lengths: list[int]) -> Arrays:
    """Frames whose first pixel counts them, and a label that does so too."""
    total = sum(lengths)
    pixels = np.zeros((total, 4, 4, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.arange(total) % 256, np.arange(total) // 256
    return Arrays(pixels, lengths, {"state": (Label.plain("state", 1), np.arange(total, dtype=np.float64)[:, None])})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=30), st.integers(1, 5))
def test_what_is_kept_is_what_was_there(lengths: list[int], step: int) -> None:
    whole = recording(lengths)
    thin = Thinned(whole, step)
    rows = np.arange(0, len(whole), step)
    assert len(thin) == len(rows)
    np.testing.assert_array_equal(thin.take(np.arange(len(thin))), whole.take(rows))
    np.testing.assert_array_equal(thin.values("state"), whole.values("state")[rows])
    np.testing.assert_array_equal(thin.episodes, whole.episodes[rows])
    assert (thin.shape, thin.label_names) == (whole.shape, whole.label_names)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=80), st.integers(2, 5))
def test_no_frame_changes_its_part(lengths: list[int], step: int) -> None:
    """What a probe of few frames examines was not learnt from by an encoder that left out the test of all."""
    whole = recording(lengths)
    thin = Thinned(whole, step)
    parts, fewer = split(whole), split(thin)
    for name in ("train", "validation", "test"):
        assert set(thin.rows[getattr(fewer, name)]) <= set(getattr(parts, name))


@pytest.mark.parametrize(("frames", "most", "left"), [(100, 100, 100), (100, 50, 50), (100, 30, 34), (140, 100, 140)])
def test_about_as_many_are_left_as_are_asked_for(frames: int, most: int, left: int) -> None:
    whole = recording([frames // 4] * 4)
    thin = Thinned.to(whole, most)
    assert len(thin) == left
    assert (thin is whole) == (left == frames)


def test_other_steps_are_other_contents() -> None:
    whole = recording([5, 5, 5])
    prints = {whole.fingerprint, *(Thinned(whole, step).fingerprint for step in (2, 3))}
    assert len(prints) == 3


def test_a_probe_reads_it() -> None:
    thin: Frames = Thinned(recording([6] * 60), 3)
    features = torch.from_numpy(thin.values("state")).float() / 360
    [r2, *_] = Pose(("state",), control=False, head="ridge").score(features, thin)
    assert r2.metric == "r2"
    assert r2.value > 0.99
