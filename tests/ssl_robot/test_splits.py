import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.splits import Split, split

PARTS = ("train", "validation", "test")


def recording(memory, scenes: list[int], lengths: list[int]):
    """Episodes that begin with a scene, the same number the same pixels, and go on with black frames."""
    firsts = np.cumsum([0, *lengths[:-1]])
    images = np.zeros((sum(lengths), 2, 4, 3), np.uint8)
    for first, scene in zip(firsts, scenes, strict=True):
        images[first].reshape(-1)[:4] = np.frombuffer(np.uint32(scene).tobytes(), np.uint8)
        images[first, 1] = 255
    return memory(images, lengths)


def part_of_each_row(parts: Split, rows: int) -> NDArray[np.object_]:
    """Fails where parts share a row or leave one out."""
    all_rows = np.concatenate([getattr(parts, name) for name in PARTS])
    assert np.array_equal(np.sort(all_rows), np.arange(rows))
    of_row = np.empty(rows, object)
    for name in PARTS:
        of_row[getattr(parts, name)] = name
    return of_row


EPISODES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4)), min_size=3, max_size=90).filter(
    lambda episodes: len({scene for scene, _ in episodes}) >= 3
)


@given(EPISODES)
def test_parts_share_no_row_no_episode_and_no_scene(memory, episodes: list[tuple[int, int]]) -> None:
    scenes, lengths = (list(column) for column in zip(*episodes, strict=True))
    of_row = part_of_each_row(split(recording(memory, scenes, lengths)), sum(lengths))
    assert set(of_row) == set(PARTS)  # fewer than fifty scenes are dealt out, so that no part is empty
    scene_of_row = np.repeat(scenes, lengths)
    for scene in set(scenes):
        assert len(set(of_row[scene_of_row == scene])) == 1


@given(st.sets(st.integers(0, 10**6), min_size=60, max_size=90), st.integers(0, 2**32 - 1))
def test_more_recordings_move_no_episode(memory, scenes: set[int], seed: int) -> None:
    """From fifty scenes on: in any order, and merged with any others."""
    mixed = np.random.default_rng(seed).permutation(sorted(scenes)).tolist()
    fewer = mixed[:55]
    before = part_of_each_row(split(recording(memory, fewer, [1] * len(fewer))), len(fewer))
    merged = mixed[::-1]
    after = part_of_each_row(split(recording(memory, merged, [2] * len(merged))), 2 * len(merged))
    known = dict(zip(fewer, before, strict=True))
    for scene, part in zip(np.repeat(merged, 2), after, strict=True):
        assert known.get(scene, part) == part


def test_parts_have_about_the_shares_asked_for(memory) -> None:
    frames = recording(memory, list(range(3000)), [1] * 3000)
    for validation, test in [(0.15, 0.25), (0.3, 0.1)]:
        parts = split(frames, validation, test)
        assert abs(len(parts.validation) / 3000 - validation) < 4 * (validation / 3000) ** 0.5
        assert abs(len(parts.test) / 3000 - test) < 4 * (test / 3000) ** 0.5


@pytest.mark.parametrize("count", [3, 4, 10, 49])
def test_few_episodes_leave_no_part_empty(memory, count: int) -> None:
    parts = split(recording(memory, list(range(count)), [2] * count))
    assert min(len(getattr(parts, name)) for name in PARTS) >= 2
    assert len(parts.train) == max(len(getattr(parts, name)) for name in PARTS)


def test_real_resets_are_all_different_scenes(resets) -> None:
    assert len(np.unique(resets.contents)) == 300
    part_of_each_row(split(resets), 300)


@pytest.mark.parametrize("scenes", [[7], [7, 8], [7, 8, 7, 8, 8]])
def test_fewer_than_three_scenes_are_refused(memory, scenes: list[int]) -> None:
    with pytest.raises(InputError, match=rf"{len(set(scenes))} different episode.*record at least three"):
        split(recording(memory, scenes, [3] * len(scenes)))
