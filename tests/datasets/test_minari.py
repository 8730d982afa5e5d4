"""Minari's datasets: one observation more than actions, parts of observations by name, lossy pictures announced."""

import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from ssl_robot.datasets.importers.minari import Minari
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

LENGTHS = [5, 70, 3]
ROWS = [(episode, row) for episode, rows in enumerate(LENGTHS) for row in range(rows)]


def encoded(frames: np.ndarray, alike: bool) -> dict[str, Any]:
    """JPEGs as Minari keeps them: of many lengths, or of one where they happen to have it."""
    pictures = [np.frombuffer(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes(), np.uint8) for frame in frames]
    if not alike:
        data = np.empty(len(pictures), object)
        data[:] = pictures
        return {"data": data, "dtype": h5py.vlen_dtype(np.uint8)}
    longest = max(len(picture) for picture in pictures)
    return {"data": np.stack([np.pad(picture, (0, longest - len(picture))) for picture in pictures])}


def write(lab: Any, root: Path, jpeg: bool = False) -> Path:
    """A dataset of dictionaries with a tuple in them, and infos of both lengths."""
    (root / "data").mkdir(parents=True)
    with h5py.File(root / "data/main_data.hdf5", "w", track_order=True) as file:
        for episode, rows in enumerate(LENGTHS):
            group = file.create_group(f"episode_{episode}")
            group.attrs.update({"id": episode, "total_steps": rows, "seed": 100 + episode, "options/level": 3})
            frames = np.stack([lab.picture(episode, row) for row in range(rows + 1)])
            options = encoded(frames, alike=episode == 1) if jpeg else {"data": frames}
            group.create_dataset("observations/pixels", **options)
            group["observations/state"] = np.array([[episode, row] for row in range(rows + 1)], np.float32)
            group["observations/goal/_index_0"] = np.full((rows + 1, 1), 7.0)
            group["observations/mission"] = np.array([b"go"] * (rows + 1))
            group["actions"] = -group["observations/state"][:-1]
            group["rewards"] = np.arange(rows, dtype=float)
            group["terminations"] = (np.arange(rows) == rows - 1) & (episode != 1)
            group["truncations"] = (np.arange(rows) == rows - 1) & (episode == 1)
            group["infos/long"] = np.arange(rows + 1)
            group["infos/short"] = np.arange(rows)
    env = {"id": "Marks-v0", "entry_point": "marks:Marks", "kwargs": {"level": 3}}
    record = {
        "dataset_id": "ours/marks-v0",
        "minari_version": "0.5.4",
        "data_format": "hdf5",
        "env_spec": json.dumps(env),
        "algorithm_name": "marks",
    }
    (root / "data/metadata.json").write_text(json.dumps(record))
    return root


@pytest.fixture
def marks(lab: Any, tmp_path: Path) -> Path:
    return write(lab, tmp_path / "marks-v0")


def imported(source: Path, out: Path, **options: Any) -> FrameStore:
    import_sources([source], out, **options)
    return FrameStore(out)


def main_file(root: Path) -> Path:
    return root / "data/main_data.hdf5"


def test_every_frame_and_number_keeps_its_row(marks: Path, tmp_path: Path, lab: Any) -> None:
    store = imported(marks, tmp_path / "out.h5")
    expected = np.stack([lab.picture(*place) for place in ROWS])
    np.testing.assert_array_equal(store.take(np.arange(len(store))), expected)
    assert store.values("state").tolist() == [list(place) for place in ROWS]
    np.testing.assert_array_equal(store.values("actions"), -store.values("state"))
    for name in ("infos/long", "infos/short"):
        assert store.values(name)[:, 0].tolist() == [row for _, row in ROWS]
    assert store.values("goal/_index_0").tolist() == [[7.0]] * len(ROWS)
    assert store.column("rewards").tolist() == [row for _, row in ROWS]
    ends = (np.cumsum(LENGTHS) - 1).tolist()
    assert np.flatnonzero(store.column("terminated")).tolist() == [ends[0], ends[2]]
    assert np.flatnonzero(store.column("truncated")).tolist() == [ends[1]]


def test_the_last_observation_is_the_final_frame(marks: Path, tmp_path: Path, lab: Any) -> None:
    store = imported(marks, tmp_path / "out.h5")
    for episode, demo in enumerate(store.demonstrations):
        np.testing.assert_array_equal(store.final(demo)["pixels"], lab.picture(episode, LENGTHS[episode]))


def test_jpeg_is_decoded_and_announced(lab: Any, tmp_path: Path) -> None:
    source = write(lab, tmp_path / "marks-v0", jpeg=True)
    done = import_sources([source], tmp_path / "out.h5")
    store = FrameStore(tmp_path / "out.h5")
    assert [lab.read_picture(frame) for frame in store.take(np.arange(len(store)))] == ROWS
    assert [lab.read_picture(store.final(demo)["pixels"]) for demo in store.demonstrations] == list(enumerate(LENGTHS))
    assert "pixels: Minari kept these pictures as JPEG, its default, which loses detail" in done.warnings[0]
    assert "not what the simulator drew" in done.warnings[0]


def test_raw_pictures_carry_no_such_warning(marks: Path) -> None:
    assert [sentence for sentence in Minari(marks, None, ()).warnings if "JPEG" in sentence] == []


def test_an_observation_without_parts(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "main_data.hdf5"
    with h5py.File(path, "w") as file:
        file["episode_0/observations"] = np.stack([lab.picture(0, row) for row in range(4)])
        file["episode_0/actions"], file["episode_0/rewards"] = np.zeros(3, np.int64), np.zeros(3)
        file["episode_0/terminations"] = file["episode_0/truncations"] = np.zeros(3, bool)
        file.attrs["dataset_id"] = "old-v0"  # versions before 0.5 have no file beside it
    importer = Minari(path, 32, ())
    assert list(importer.schema.cameras) == ["observations"]
    assert [label.name for label in importer.schema.labels] == ["actions"]
    assert importer.attributes["source"] == "old-v0"
    assert [episode.frames for episode in importer.episodes()] == [3]


def test_provenance_seeds_and_facts(marks: Path, tmp_path: Path) -> None:
    store = imported(marks, tmp_path / "out.h5")
    expected = {"source": "ours/marks-v0", "source_format": "Minari 0.5.4", "env_name": "Marks-v0"}
    assert expected.items() <= store.attributes.items()
    assert json.loads(store.attributes["env_args"])["env_kwargs"] == {"level": 3}
    assert store.seeds.tolist() == [100, 101, 102]
    assert store.demonstrations[0].facts["options/level"] == 3


def test_folder_data_folder_and_file_are_one_dataset(marks: Path, tmp_path: Path) -> None:
    for source in (marks, marks / "data", main_file(marks)):
        assert Minari.knows(source)
        assert len(Minari(source, None, ()).episodes()) == 3
    (tmp_path / "empty").mkdir()
    for other in (tmp_path, tmp_path / "empty", marks / "data/metadata.json", tmp_path / "nowhere"):
        assert not Minari.knows(other)
    with pytest.raises(InputError, match=r"has no data/main_data.hdf5: give the folder"):
        Minari(tmp_path / "empty", None, ())


def test_arrow_is_named(marks: Path) -> None:
    main_file(marks).unlink()
    (marks / "data/metadata.json").write_text('{"data_format": "arrow"}')
    assert not Minari.knows(marks)
    with pytest.raises(InputError, match="in Arrow files, which are not read"):
        Minari(marks, None, ())


def replaced(group: h5py.Group, name: str, values: Any) -> None:
    del group[name]
    group[name] = values


@pytest.mark.parametrize(
    ("name", "rows", "sentence"),
    [
        ("observations/pixels", 70, "observations/pixels has 70 entries where 70 steps have 71"),
        ("observations/state", 70, "observations/state has 70 entries where 70 steps have 71"),
        ("actions", 69, "actions has 69 entries where 70 steps have 70"),
        ("infos/long", 69, "infos/long has 69 entries where 70 steps have 71"),
        ("terminations", 60, "terminations has 60 entries"),
        ("observations/state", None, "it has no observations/state"),
    ],
)
def test_a_damaged_episode_is_told_and_can_be_left_out(
    marks: Path, tmp_path: Path, name: str, rows: int | None, sentence: str
) -> None:
    with h5py.File(main_file(marks), "r+") as file:
        group = file["episode_1"]
        if rows is None:
            del group[name]
        else:
            replaced(group, name, group[name][:rows])
    with pytest.raises(InputError) as caught:
        imported(marks, tmp_path / "out.h5")
    assert str(caught.value).startswith(f"episode_1 of {marks} is damaged: ")
    assert "--skip-bad" in str(caught.value)
    if name == "observations/pixels":
        assert "ends after 0 of 1 rows" in str(caught.value)
    else:
        assert sentence in str(caught.value)
    store = imported(marks, tmp_path / "out.h5", skip_bad=True)
    assert set(store.values("state")[:, 0].tolist()) == {0, 2}


def test_a_picture_that_is_none_is_told(lab: Any, tmp_path: Path) -> None:
    source = write(lab, tmp_path / "marks-v0", jpeg=True)
    with h5py.File(main_file(source), "r+") as file:
        file["episode_2/observations/pixels"][1] = np.array([1, 2, 3], np.uint8)
    with pytest.raises(InputError, match=r"observations/pixels has no picture of \(64, 80, 3\) at row 1"):
        imported(source, tmp_path / "out.h5")


def test_broken_bytes_are_a_sentence(marks: Path, tmp_path: Path) -> None:
    whole = main_file(marks).read_bytes()
    for cut in (0, 100, 3000, len(whole) // 2, len(whole) - 100):
        main_file(marks).write_bytes(whole[:cut])
        Minari.knows(marks)
        with pytest.raises(InputError) as caught:
            imported(marks, tmp_path / "out.h5", format="minari")
        assert "\n" not in str(caught.value)
