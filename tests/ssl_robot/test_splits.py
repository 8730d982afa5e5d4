import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Label
from ssl_robot.splits import Split, sessions_of, split

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


SESSIONS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 30), st.integers(1, 4)), min_size=5, max_size=40)


def joined(scenes: list[int], sessions: list[int]) -> int:
    """How many sets of sessions share no scene."""
    sets: list[tuple[set[int], set[int]]] = []
    for scene, session in zip(scenes, sessions, strict=True):
        touched = [item for item in sets if scene in item[0] or session in item[1]]
        sets = [item for item in sets if item not in touched]
        sets.append((set().union({scene}, *(a for a, _ in touched)), set().union({session}, *(b for _, b in touched))))
    return len(sets)


@given(SESSIONS)
def test_no_session_lies_in_two_parts_nor_a_scene_that_two_sessions_share(
    memory, episodes: list[tuple[int, int, int]]
) -> None:
    scenes, sessions, lengths = (list(column) for column in zip(*episodes, strict=True))
    frames = recording(memory, scenes, lengths)
    if joined(scenes, sessions) < 3:
        with pytest.raises(InputError, match=r"session\(s\) cannot be split"):
            split(frames, sessions=np.array(sessions))
        return
    parts = split(frames, sessions=np.array(sessions))
    of_row = part_of_each_row(parts, sum(lengths))
    assert set(of_row) == set(PARTS)
    for column in (scenes, sessions):
        of_rows = np.repeat(column, lengths)
        for value in set(column):
            assert len(set(of_row[of_rows == value])) == 1


def test_of_few_sessions_the_longest_is_for_training(memory) -> None:
    for longest in range(4):
        lengths = [3] * 8
        lengths[2 * longest] = 9
        frames = recording(memory, list(range(8)), lengths)
        parts = split(frames, sessions=np.arange(8) // 2)
        assert longest in frames.episodes[parts.train] // 2


def test_one_session_each_is_a_split_by_episode(memory) -> None:
    """As long as there are many; of few the longest is set apart."""
    frames = recording(memory, list(range(80)), [2] * 80)
    ours, theirs = split(frames, sessions=np.arange(80)[::-1]), split(frames)
    for name in PARTS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_more_recordings_move_no_session(memory) -> None:
    scenes = list(range(180))
    sessions = np.arange(180) // 2
    whole = part_of_each_row(split(recording(memory, scenes, [1] * 180), sessions=sessions), 180)
    part = part_of_each_row(split(recording(memory, scenes[:120], [1] * 120), sessions=sessions[:120]), 120)
    assert (whole[:120] == part).all()


@pytest.mark.parametrize("sessions", [[0] * 6, [0, 0, 0, 1, 1, 1]])
def test_fewer_than_three_sessions_are_refused(memory, sessions: list[int]) -> None:
    with pytest.raises(InputError, match=r"\d different session.*split by episode, or import more"):
        split(recording(memory, list(range(6)), [2] * 6), sessions=np.array(sessions))


def labelled(memory, means: list[float], noise: float = 0.0):
    """Episodes of 10 steps with a joint that stays about where it is, and one that moves."""
    rng = np.random.default_rng(0)
    rest = np.repeat(means, 10) + rng.uniform(-noise, noise, 10 * len(means))
    values = np.column_stack([rest, rng.normal(size=len(rest))])
    images = rng.integers(0, 256, (len(rest), 2, 2, 3), np.uint8)
    return memory(images, [10] * len(means), {"state": (Label.plain("state", 2, ("rest", "moves")), values)})


def test_sessions_are_told_by_gaps_between_means(memory) -> None:
    """In any order, and as a chain: what lies between two holds them together."""
    frames = labelled(memory, [0.5, 0.1, 0.57, 0.12, 0.9, 0.65, 0.25], noise=0.02)
    assert sessions_of(frames, "state:rest", gap=0.1).tolist() == [2, 0, 2, 0, 3, 2, 1]
    exact = labelled(memory, [3, 1, 3, 2])
    assert sessions_of(exact, "state:rest").tolist() == [2, 0, 2, 1]


def test_what_moves_names_no_session(memory) -> None:
    frames = labelled(memory, [0.1, 0.5, 0.9], noise=0.02)
    for name, gap in (("state:moves", 0.1), ("state", 0.1), ("state:rest", 0.001)):
        with pytest.raises(InputError, match=r"varies by .* within an episode and cannot name its session"):
            sessions_of(frames, name, gap)
    with pytest.raises(InputError, match="state has no 'elbow': choose from rest, moves"):
        sessions_of(frames, "state:elbow")
    with pytest.raises(InputError, match="no label 'arm'"):
        sessions_of(frames, "arm")


@pytest.mark.parametrize("each", [1, 5, 20])
def test_long_sessions_are_dealt_as_evenly_as_short_ones(memory, each: int) -> None:
    """The least hash of many episodes is small: by it, nearly all long sessions would be for the test."""
    rng = np.random.default_rng(each)
    frames = memory(rng.integers(0, 256, (80 * each, 2, 2, 3), np.uint8))
    parts = split(frames, sessions=np.arange(80 * each) // each)
    assert 0.4 < len(parts.train) / len(frames) < 0.8
    assert 0.1 < len(parts.test) / len(frames) < 0.45
