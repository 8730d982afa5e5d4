from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.arrays import Arrays
from ssl_robot.collection import Collection
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, find_label
from ssl_robot.loader import Loader
from ssl_robot.training import Training, chances

ANGLE, PLACE = Label.plain("angle", 1), Label.plain("place", 2)


def part(first: int, lengths: list[int], **labels: tuple[Label, Any]) -> Arrays:
    count = sum(lengths)
    frames = np.empty((count, 4, 4, 3), np.uint8)
    frames[:] = np.arange(first, first + count)[:, None, None, None]
    return Arrays(frames, lengths, labels)


def numbers(count: int, width: int) -> Any:
    return np.arange(count * width, dtype=float).reshape(count, width)


@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_frames_and_episodes_are_those_of_the_parts_in_order(parts: list[list[int]], data: st.DataObject) -> None:
    starts = np.cumsum([0, *(sum(lengths) for lengths in parts)])
    whole = Collection([part(int(start), lengths) for start, lengths in zip(starts, parts, strict=False)])
    flat = [length for lengths in parts for length in lengths]
    assert len(whole) == sum(flat)
    np.testing.assert_array_equal(whole.episodes, np.repeat(np.arange(len(flat)), flat))
    np.testing.assert_array_equal(whole.sources, np.repeat(np.arange(len(parts)), np.diff(starts)))
    assert len(whole.contents) == len(flat)
    asked = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)), np.int64)
    np.testing.assert_array_equal(whole.take(asked)[:, 0, 0, 0], asked)


def test_labels_are_those_that_all_parts_have() -> None:
    one = part(0, [3], angle=(ANGLE, numbers(3, 1)), place=(PLACE, numbers(3, 2)), name=(ANGLE, numbers(3, 1)))
    two = part(3, [2], place=(PLACE, numbers(2, 2)), name=(PLACE, numbers(2, 2)))
    whole = Collection([one, two])
    assert whole.label_names == ("place",)
    np.testing.assert_array_equal(whole.values("place"), np.concatenate([numbers(3, 2), numbers(2, 2)]))
    with pytest.raises(InputError, match="Not all recordings have the label 'angle': choose from place"):
        whole.values("angle")


class Knowing(Arrays):
    """Knows more than it lists, as a store does about its cameras."""

    def label(self, name: str) -> Label:
        return ANGLE if name == "more" else super().label(name)

    def values(self, name: str) -> Any:
        return numbers(len(self), 1) if name == "more" else super().values(name)


def test_what_all_parts_know_without_listing_it_is_known() -> None:
    one, two = (Knowing(part(0, [count]).images, [count]) for count in (3, 2))
    whole = Collection([one, two])
    assert whole.label_names == ()
    assert find_label(whole, "more") == ANGLE
    np.testing.assert_array_equal(whole.values("more"), np.concatenate([numbers(3, 1), numbers(2, 1)]))
    with pytest.raises(InputError, match="no label 'more'"):
        find_label(Collection([one, part(3, [2])]), "more")


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(InputError, match="name at least one"):
        Collection([])
    with pytest.raises(InputError, match=r"\(4, 4, 3\) and \(8, 8, 3\)"):
        Collection([part(0, [3]), Arrays(np.zeros((2, 8, 8, 3), np.uint8))])


def test_the_fingerprint_changes_with_any_part() -> None:
    prints = {Collection([part(0, [3]), part(first, [3])]).fingerprint for first in (3, 4)}
    assert len(prints) == 2


TRAINING = Training()


def test_every_frame_is_as_likely_unless_something_else_is_asked_for() -> None:
    assert chances(Collection([part(0, [3])]), np.arange(3), TRAINING) is None


def test_episodes_and_recordings_get_the_share_that_is_asked_for(memory: Any) -> None:
    whole = Collection([part(0, [10, 30]), part(40, [20])])
    rows = np.arange(60)
    asked = replace(TRAINING, sample="episode", weights=(1.0, 3.0))
    found = chances(whole, rows, asked)
    assert found is not None
    loader = Loader(whole, rows, 4, torch.device("cpu"), chances=found)
    seen = torch.cat([places for epoch in range(100) for places, _ in loader.batches(epoch, 10)])
    shares = [float(((seen >= first) & (seen < last)).double().mean()) for first, last in ((0, 10), (10, 40), (40, 60))]
    np.testing.assert_allclose(shares, [0.125, 0.125, 0.75], atol=0.03)
    again = torch.cat([places for places, _ in loader.batches(0, 10)])
    assert torch.equal(again, seen[:60])


def test_weights_must_fit_the_recordings() -> None:
    whole = Collection([part(0, [3]), part(3, [3])])
    with pytest.raises(InputError, match="3 weights for 2 recordings"):
        chances(whole, np.arange(6), replace(TRAINING, weights=(1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="weights are"):
        replace(TRAINING, weights=(1.0, -1.0))
    with pytest.raises(InputError, match="weights are"):
        replace(TRAINING, weights=(0.0, 0.0))
