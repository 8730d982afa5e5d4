import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.errors import InputError
from ssl_robot.frames import Label, find_label, later


def recording(memory, lengths: list[int], *labels: str):
    images = np.zeros((sum(lengths), 2, 2, 3), np.uint8)
    named = {name: (Label.plain(name, 1), np.zeros((len(images), 1))) for name in labels}
    return memory(images, lengths, named)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8), gap=st.integers(0, 9), data=st.data())
def test_later_never_leaves_the_episode(memory, lengths: list[int], gap: int, data: st.DataObject) -> None:
    frames = recording(memory, lengths)
    rows = st.lists(st.integers(0, len(frames) - 1), max_size=10)
    indices = np.array(data.draw(rows), np.int64)
    episodes = frames.episodes
    for before, after in zip(indices, later(frames, indices, gap), strict=True):
        assert episodes[after] == episodes[before]
        last = int(np.flatnonzero(episodes == episodes[before])[-1])
        assert after == (before + gap if before + gap <= last else last)


def test_later_keeps_the_shape_of_the_indices(memory) -> None:
    frames = recording(memory, [3, 4])
    np.testing.assert_array_equal(later(frames, np.array([[0, 2], [3, 5]]), 2), [[2, 2], [5, 6]])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("poses/block", "poses/block"),  # the full name
        ("block", "poses/block"),  # the last part after a slash
        ("state", "observation.state"),  # or after a dot
        ("arm/joint", "robot/arm/joint"),  # several last parts
        ("joint", "joint"),  # a full name before the last part of another
    ],
)
def test_a_label_is_found_by_its_name_or_last_parts(memory, target: str, expected: str) -> None:
    names = ("poses/block", "observation.state", "robot/arm/joint", "joint")
    assert find_label(recording(memory, [1], *names), target).name == expected


@pytest.mark.parametrize("target", ["lock", "poses", "poses/", "/block", "oses/block", ""])
def test_a_part_of_a_name_that_is_not_its_last_parts_is_refused(memory, target: str) -> None:
    with pytest.raises(InputError, match=f"no label '{target}': choose from poses/block, agent"):
        find_label(recording(memory, [1], "poses/block", "agent"), target)


def test_what_could_be_two_labels_lists_both(memory) -> None:
    frames = recording(memory, [1], "poses/block", "goal.block", "agent")
    with pytest.raises(InputError, match=r"'block' could be poses/block or goal\.block: give the full name"):
        find_label(frames, "block")


def test_a_file_without_labels_says_so(memory) -> None:
    with pytest.raises(InputError, match="the file has no labels"):
        find_label(recording(memory, [1]), "block")
