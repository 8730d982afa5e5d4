"""What is exported comes back: the same pixels and numbers, and a folder only when it is whole."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet
import pytest

from ssl_robot.datasets.exporters import _lerobot_files
from ssl_robot.datasets.exporters._lerobot_stats import Pixels, Total, of_numbers
from ssl_robot.datasets.exports import export_store
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Label, Row, Schema

LENGTHS = (5, 70, 3)
TASKS = ("Push.", "Pull.", "Push.")
CAMERAS = {"top": (64, 80, 3), "wrist": (16, 24, 3)}
SCHEMA = Schema(
    CAMERAS,
    (
        Label.plain("state", 3, ("x", "y", "z")),
        Label.plain("poses/block", 2),
        Label.plain("grip", 1),
        Label.plain("actions", 2, ("pull", "push")),
    ),
)


def frames(lab: Any, episode: int, row: int) -> dict[str, np.ndarray]:
    return {name: lab.picture(episode, row, *shape[:2]) for name, shape in CAMERAS.items()}


def write(lab: Any, path: Path, finals: Sequence[bool] = (True, True, False), fps: float | None = 10) -> Path:
    """A recording whose states fit into 32 bits and whose poses and rewards do not."""
    rng = np.random.default_rng(0)
    with FrameWriter(path) as sink:
        sink.open(SCHEMA, {"source": "toy"} | ({} if fps is None else {"fps": fps}))
        for number, rows in enumerate(LENGTHS):
            episode = sink.begin(100 + number, {"task": TASKS[number]})
            for row in range(rows):
                labels = {
                    "state": np.array([row, number, 0.5]),
                    "poses/block": rng.normal(size=2),
                    "grip": np.array([row % 2]),
                    "actions": np.array([-row, -number]),
                }
                last = row + 1 == rows
                ends = {"terminated": last and number != 1, "truncated": last and number == 1}
                time = row / fps if fps else 0.0
                episode.add(Row(frames(lab, number, row), labels, float(rng.normal()), **ends, time=time))
            episode.end(frames(lab, number, rows) if finals[number] else None, success=number == 0)
    return path


@pytest.fixture
def toy(lab: Any, tmp_path: Path) -> Path:
    return write(lab, tmp_path / "toy.h5")


def back(source: Path) -> FrameStore:
    import_sources([source], source.parent / "back.h5")
    return FrameStore(source.parent / "back.h5")


def same_pixels(one: FrameStore, other: FrameStore) -> None:
    for camera in CAMERAS:
        ours, theirs = FrameStore(one.path, camera), FrameStore(other.path, camera)
        np.testing.assert_array_equal(ours.take(np.arange(len(ours))), theirs.take(np.arange(len(theirs))))


def same_columns(one: FrameStore, other: FrameStore) -> None:
    for name in ("rewards", "terminated", "truncated"):
        np.testing.assert_array_equal(one.column(name), other.column(name))
    np.testing.assert_array_equal(one.episodes, other.episodes)


def test_lerobot_comes_back_whole(toy: Path, tmp_path: Path) -> None:
    done = export_store(toy, tmp_path / "out", "lerobot")
    assert (done.episodes, done.frames) == (3, 78)
    assert done.warnings == [
        "The frame after the last action of 2 episode(s) is left out: LeRobot has no place for it.",
        "The seed of 3 episode(s) is left out: LeRobot has no place for it.",
    ]
    ours, theirs = FrameStore(toy), back(tmp_path / "out")
    same_pixels(ours, theirs)
    same_columns(ours, theirs)
    np.testing.assert_allclose(theirs.column("timestamps"), ours.column("timestamps"), atol=1e-6)
    names = {
        "state": "observation.state",
        "poses/block": "poses.block",
        "grip": "observation.grip",
        "actions": "actions",
    }
    for name, other in names.items():
        np.testing.assert_array_equal(ours.values(name), theirs.values(other))
    assert theirs.label("observation.state").components == ("x", "y", "z")
    assert [demo.facts["task"] for demo in theirs.demonstrations] == list(TASKS)


@pytest.mark.parametrize(("codec", "megabytes", "files"), [("libsvtav1", 100, 1), ("h264", 100, 1), ("h264", 0, 3)])
def test_videos_keep_every_frame_at_its_row(
    toy: Path, tmp_path: Path, lab: Any, codec: Any, megabytes: int, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lerobot_files, "VIDEO_MEGABYTES", megabytes)
    monkeypatch.setattr(_lerobot_files, "DATA_MEGABYTES", megabytes)
    export_store(toy, tmp_path / "out", "lerobot", ["top"], codec)
    assert len(list((tmp_path / "out/videos").rglob("*.mp4"))) == files
    assert len(list((tmp_path / "out/data").rglob("*.parquet"))) == files
    store = back(tmp_path / "out")
    told = [lab.read_picture(frame) for frame in store.take(np.arange(len(store)))]
    assert told == [(episode, row) for episode, rows in enumerate(LENGTHS) for row in range(rows)]


def test_lerobot_says_what_it_rounds(lab: Any, tmp_path: Path) -> None:
    path = write(lab, tmp_path / "toy.h5")
    with h5py.File(path, "r+") as file:
        values = file["data/demo_0/obs/state"]
        values[:] = values[:] / 3
        del file["data/demo_0"].attrs["checksums"]
    sentence, *_ = export_store(path, tmp_path / "out", "lerobot").warnings
    assert "observation.state is rounded to LeRobot's 32 bits, by " in sentence
    theirs = back(tmp_path / "out").values("observation.state")
    np.testing.assert_array_equal(theirs, FrameStore(path).values("state").astype(np.float32))


def test_lerobot_describes_itself(toy: Path, tmp_path: Path) -> None:
    export_store(toy, tmp_path / "out", "lerobot")
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"], info["total_tasks"]) == (
        "v3.0",
        3,
        78,
        2,
    )
    features = info["features"]
    assert features["observation.images.top"]["dtype"] == "image"
    assert features["observation.state"] == {"dtype": "float32", "shape": [3], "names": ["x", "y", "z"]}
    assert features["poses.block"]["dtype"] == "float64"
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert stats.keys() == features.keys()
    assert stats["observation.state"]["max"] == [69.0, 2.0, 0.5]
    assert stats["observation.images.top"]["count"] == [78]
    episodes = pyarrow.parquet.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(item["dataset_from_index"], item["dataset_to_index"]) for item in episodes] == [(0, 5), (5, 75), (75, 78)]
    assert [item["tasks"] for item in episodes] == [[task] for task in TASKS]


def test_minari_comes_back_whole(toy: Path, tmp_path: Path) -> None:
    done = export_store(toy, tmp_path / "toy-v0", "minari")
    assert (done.episodes, done.frames) == (3, 78)
    [sentence] = done.warnings
    assert sentence.startswith("1 of 3 episodes have no frame after their last action")
    ours, theirs = FrameStore(toy), back(tmp_path / "toy-v0")
    same_pixels(ours, theirs)
    same_columns(ours, theirs)
    for name in ("state", "poses/block", "grip"):
        np.testing.assert_array_equal(ours.values(name), theirs.values(f"infos/{name}"))
    np.testing.assert_array_equal(ours.values("actions"), theirs.values("actions"))
    np.testing.assert_array_equal(ours.seeds, theirs.seeds)
    kept = [demo.facts["final_observation"] for demo in theirs.demonstrations]
    assert kept == ["recorded", "recorded", "repeated"]
    assert [bool(demo.facts["success"]) for demo in theirs.demonstrations] == [True, False, False]
    for one, other in zip(ours.demonstrations[:2], theirs.demonstrations[:2], strict=True):
        for camera in CAMERAS:
            np.testing.assert_array_equal(ours.final(one)[camera], theirs.final(other)[camera])


def test_minari_has_one_observation_more_than_actions_and_no_jpeg(toy: Path, tmp_path: Path) -> None:
    export_store(toy, tmp_path / "toy-v0", "minari")
    record = json.loads((tmp_path / "toy-v0/data/metadata.json").read_text())
    assert (record["dataset_id"], record["jpeg_encoding"], record["total_steps"]) == ("toy-v0", False, 78)
    assert json.loads(record["observation_space"])["subspaces"]["top"]["shape"] == [64, 80, 3]
    with h5py.File(tmp_path / "toy-v0/data/main_data.hdf5") as file:
        for number, rows in enumerate(LENGTHS):
            group = file[f"episode_{number}"]
            assert (len(group["observations/top"]), len(group["actions"])) == (rows + 1, rows)
            assert len(group["infos/state"]) == rows
        last = file["episode_2/observations/top"][-2:]
        np.testing.assert_array_equal(last[0], last[1])


@pytest.mark.parametrize(("format", "name"), [("lerobot", "out"), ("minari", "toy-v0")])
def test_rows_of_their_own_become_episodes(lab: Any, tmp_path: Path, format: str, name: str) -> None:
    with FrameWriter(tmp_path / "resets.h5") as sink:
        sink.open(Schema({"top": (64, 80, 3)}, (Label.plain("state", 1),)), {"fps": 10})
        for number in range(12):
            sink.begin(number, {}, independent=True).add(
                Row({"top": lab.picture(number, 0)}, {"state": np.array([number])})
            )
    done = export_store(tmp_path / "resets.h5", tmp_path / name, format)
    assert (done.episodes, done.frames) == (12, 12)
    store = back(tmp_path / name)
    assert [lab.read_picture(frame)[0] for frame in store.take(np.arange(12))] == list(range(12))


def test_one_camera_can_be_chosen(toy: Path, tmp_path: Path) -> None:
    export_store(toy, tmp_path / "toy-v0", "minari", ["wrist"])
    assert list(back(tmp_path / "toy-v0").schema.cameras) == ["wrist"]


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("toy.h5", {"format": "lerobot"}, "toy.h5 exists: choose another --out"),
        ("no/where", {"format": "lerobot"}, "does not exist: make it, or choose another --out"),
        ("out", {"format": "tape"}, "'tape' is not one of the exporters: choose from lerobot, minari"),
        ("out", {"format": "lerobot", "camera": ["front"]}, "has no camera 'front'"),
        ("out", {"format": "minari"}, "Minari calls a dataset NAME-v0, not 'out'"),
        ("toy-v0", {"format": "minari", "video": "h264"}, "leave out --video"),
        ("out", {"format": "lerobot", "fps": 12}, "made at 10 frames per second, not 12: leave out --fps"),
        ("toy-v0", {"format": "minari", "fps": 12}, "made at 10 frames per second, not 12: leave out --fps"),
        ("out", {"format": "lerobot", "fps": -1}, "give a positive --fps"),
    ],
)
def test_impossible_wishes_are_refused(toy: Path, tmp_path: Path, name: str, options: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        export_store(toy, tmp_path / name, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.h5"]


def test_unknown_frames_per_second_are_asked_for(lab: Any, tmp_path: Path) -> None:
    path = write(lab, tmp_path / "toy.h5", fps=None)
    with pytest.raises(InputError, match="give --fps"):
        export_store(path, tmp_path / "out", "lerobot")
    assert export_store(path, tmp_path / "out", "lerobot", fps=12.5).frames == 78
    assert json.loads((tmp_path / "out/meta/info.json").read_text())["fps"] == 12.5
    np.testing.assert_allclose(back(tmp_path / "out").column("timestamps")[:3], [0, 0.08, 0.16])


@pytest.mark.parametrize(("said", "wished", "written"), [(None, 12.5, 12.5), (10, None, 10), (10, 10, 10)])
def test_minari_is_told_frames_per_second_too(
    lab: Any, tmp_path: Path, said: float | None, wished: float | None, written: float
) -> None:
    export_store(write(lab, tmp_path / "toy.h5", fps=said), tmp_path / "toy-v0", "minari", fps=wished)
    assert json.loads((tmp_path / "toy-v0/data/metadata.json").read_text())["fps"] == written


def test_an_encoder_without_videos_is_refused(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(toy), "--out", str(tmp_path / "out"), "--format", "lerobot", "--codec", "h264"]
    assert main(words) == 2
    assert "--codec h264 is an encoder of videos: add --video, or leave it out." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--video"]) == 0
    features = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
    assert features["observation.images.top"]["info"]["video.codec"] == "h264"


def test_odd_sizes_make_no_video(lab: Any, tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "odd.h5") as sink:
        sink.open(Schema({"top": (33, 40, 3)}), {"fps": 10})
        episode = sink.begin()
        episode.add(Row({"top": np.zeros((33, 40, 3), np.uint8)}))
        episode.end()
    with pytest.raises(InputError, match=r"Videos need even sizes, and observation.images.top has frames of 40 x 33"):
        export_store(tmp_path / "odd.h5", tmp_path / "out", "lerobot", video="h264")


def test_an_interrupt_leaves_nothing(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Total, "add", interrupted)
    assert main(["export", str(toy), "--format", "lerobot", "--out", str(tmp_path / "out")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["toy.h5"]


def test_the_command_reports(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(toy), "--format", "minari", "--out", str(tmp_path / "toy-v0")]) == 0
    printed = capsys.readouterr()
    assert "toy-v0: 78 frames in 3 episode(s)" in printed.out
    assert "warning: 1 of 3 episodes have no frame after their last action" in printed.err


def test_statistics_of_pixels_are_those_of_the_numbers() -> None:
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 200, (7, 16, 24, 3), np.uint8)
    pixels = Pixels()
    for frame in seen:
        pixels.add(frame)
    plain = of_numbers(seen.reshape(-1, 3) / 255.0)
    for name, value in pixels.stats().items():
        if name == "count":
            assert value.tolist() == [7]
        else:
            np.testing.assert_allclose(value.reshape(3), plain[name], atol=1 / 255, err_msg=name)
    for name in ("mean", "std", "min", "max"):
        np.testing.assert_allclose(pixels.stats()[name].reshape(3), plain[name], atol=1e-12, err_msg=name)


def test_totals_are_those_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(rows, 2)) for rows in (3, 50, 7)]
    total = Total()
    for part in parts:
        total.add(of_numbers(part))
    whole = of_numbers(np.concatenate(parts))
    for name in ("mean", "std", "min", "max", "count"):
        np.testing.assert_allclose(total.stats()[name], whole[name], atol=1e-12)
