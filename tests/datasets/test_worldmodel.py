"""stable-worldmodel's files: all episodes behind each other, and actions that were moved against what they led to."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ssl_robot.datasets.importers.worldmodel import Worldmodel
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

LENGTHS = [5, 70, 3]


def write(lab: Any, path: Path, collected: bool) -> Path:
    """A file whose rows stand beside each other as they are, or as ``World.collect`` moves them.

    The true episode sees frame ``row``, does action ``-row``, gets reward ``row`` and sees frame ``row + 1``.
    ``collect`` has rows of what a step led to, beside the next action, and beside the last one that is not its own.
    """
    places = [(episode, row) for episode, rows in enumerate(LENGTHS) for row in range(rows)]
    last = [row == LENGTHS[episode] - 1 for episode, row in places]
    with h5py.File(path, "w", libver="latest") as file:
        frames = np.stack([lab.picture(*place) for place in places])
        file.create_dataset("pixels", data=frames, chunks=(1, *frames.shape[1:]))
        file["goal"] = frames[:, ::2, ::2].transpose(0, 3, 1, 2)
        file["state"] = np.array(places, np.float64)
        answers = [99 if end and collected else -row for (_, row), end in zip(places, last, strict=True)]
        file["action"] = np.array(answers, np.float32)[:, None]
        file["reward"] = np.array([row - 1.0 if collected else row for _, row in places])
        file["terminated"] = np.array(last) & np.array([episode != 1 for episode, _ in places])
        file["truncated"] = np.array(last) & np.array([episode == 1 for episode, _ in places])
        if collected:
            file["step_idx"] = np.array([row + 1 for _, row in places])
        file["ep_len"] = np.array(LENGTHS, np.int32)
        file["ep_offset"] = np.cumsum([0, *LENGTHS[:-1]])
    return path


def imported(source: Path, out: Path, **options: Any) -> FrameStore:
    import_sources([source], out, **options)
    return FrameStore(out)


@pytest.mark.parametrize("collected", [False, True])
def test_every_frame_stays_with_its_action_and_reward(lab: Any, tmp_path: Path, collected: bool) -> None:
    store = imported(write(lab, tmp_path / "world.h5", collected), tmp_path / "out.h5")
    lengths = [rows - collected for rows in LENGTHS]
    places = [(episode, row) for episode, rows in enumerate(lengths) for row in range(rows)]
    expected = np.stack([lab.picture(*place) for place in places])
    np.testing.assert_array_equal(store.take(np.arange(len(store))), expected)
    goal = FrameStore(store.path, "goal")
    np.testing.assert_array_equal(goal.take(np.arange(len(store))), expected[:, ::2, ::2])
    assert store.values("state").tolist() == [list(place) for place in places]
    assert store.values("actions")[:, 0].tolist() == [-row for _, row in places]
    assert store.column("rewards").tolist() == [row for _, row in places]
    ends = (np.cumsum(lengths) - 1).tolist()
    assert np.flatnonzero(store.column("terminated")).tolist() == [ends[0], ends[2]]
    assert np.flatnonzero(store.column("truncated")).tolist() == [ends[1]]
    assert store.label_names == ("actions", "state")


def test_the_frame_without_an_action_is_the_final_one(lab: Any, tmp_path: Path) -> None:
    store = imported(write(lab, tmp_path / "world.h5", collected=True), tmp_path / "out.h5")
    for episode, demo in enumerate(store.demonstrations):
        np.testing.assert_array_equal(store.final(demo)["pixels"], lab.picture(episode, LENGTHS[episode] - 1))
    aligned = imported(write(lab, tmp_path / "aligned.h5", collected=False), tmp_path / "other.h5")
    assert aligned.finals == 0


def test_missing_rows_are_told_and_can_be_left_out(lab: Any, tmp_path: Path) -> None:
    source = write(lab, tmp_path / "world.h5", collected=True)
    with h5py.File(source, "r+") as file:
        frames = file["pixels"][:-1]
        del file["pixels"]
        file["pixels"] = frames
    with pytest.raises(InputError) as caught:
        imported(source, tmp_path / "out.h5")
    assert str(caught.value).startswith(f"Episode 2 of {source} is damaged: pixels ends after 0 of 1 rows")
    assert len(imported(source, tmp_path / "out.h5", skip_bad=True)) == 4 + 69


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [([0, 0, 0], "no episode with steps"), ([5, -1, 3], "do not count episodes"), ([5, 70], "do not count episodes")],
)
def test_counts_that_make_no_sense_are_refused(lab: Any, tmp_path: Path, lengths: list[int], sentence: str) -> None:
    source = write(lab, tmp_path / "world.h5", collected=True)
    with h5py.File(source, "r+") as file:
        del file["ep_len"]
        file["ep_len"] = np.array(lengths)
    with pytest.raises(InputError, match=sentence):
        Worldmodel(source, None, ())


def test_only_its_own_files_are_claimed(lab: Any, tmp_path: Path) -> None:
    source = write(lab, tmp_path / "world.h5", collected=True)
    ours = imported(source, tmp_path / "out.h5").path
    assert Worldmodel.knows(source)
    (tmp_path / "text.h5").write_text("no HDF5")
    for other in (ours, tmp_path / "text.h5", tmp_path, tmp_path / "nowhere"):
        assert not Worldmodel.knows(other)


def test_broken_bytes_are_a_sentence(lab: Any, tmp_path: Path) -> None:
    source = write(lab, tmp_path / "world.h5", collected=True)
    whole = source.read_bytes()
    for cut in (0, 100, 3000, len(whole) // 2, len(whole) - 100):
        source.write_bytes(whole[:cut])
        Worldmodel.knows(source)
        with pytest.raises(InputError) as caught:
            imported(source, tmp_path / "out.h5", format="worldmodel")
        assert "\n" not in str(caught.value)
