"""Every frame stays with its row, and a damaged dataset is told from a sound one."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ssl_robot.datasets.importers.lerobot import Lerobot
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main

LENGTHS = {2: 20, 5: 7, 11: 13}


def refused(source: Path, **options: Any) -> str:
    """The sentence of a refused import that left nothing behind."""
    out = source.parent / "out.h5"
    with pytest.raises(InputError) as caught:
        import_sources([source], out, **options)
    assert sorted(source.parent.glob("out.h5*")) == []
    return str(caught.value)


def told(lab: Any, store: FrameStore) -> list[tuple[int, int]]:
    """Episode and row that each frame says it is."""
    return [lab.read_picture(frame) for frame in store.take(np.arange(len(store)))]


def described(store: FrameStore) -> list[tuple[int, int]]:
    """Episode and row that the state beside each frame says it is."""
    return [(int(episode), int(row)) for row, episode, _ in store.values("observation.state")]


def edit(source: Path, **changes: Any) -> None:
    path = source / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
@pytest.mark.parametrize("size", [None, 32])
def test_every_frame_stays_with_its_row(lab: Any, tmp_path: Path, codec: str, size: int | None, imported: Any) -> None:
    store = imported(lab.recipe(codec=codec).write(tmp_path / "set"), size=size)
    assert store.shape == ((64, 80, 3) if size is None else (size, size, 3))
    assert told(lab, store) == described(store)
    assert described(store) == [(episode, row) for episode, rows in LENGTHS.items() for row in range(rows)]
    assert np.bincount(store.episodes).tolist() == list(LENGTHS.values())


def test_labels_keep_their_names_and_numbers(counter: Path, lab: Any, imported: Any) -> None:
    store = imported(counter, size=16)
    assert store.label_names == ("observation.state", "actions")
    assert store.label("observation.state").components == ("shoulder", "elbow", "grip")
    assert store.label("actions").components == ("pull", "push")
    for name, key in (("observation.state", "observation.state"), ("actions", "action")):
        expected = [lab.numbers(episode, rows)[key] for episode, rows in LENGTHS.items()]
        np.testing.assert_array_equal(store.values(name), np.concatenate(expected))


@pytest.mark.parametrize(
    ("names", "components"),
    [
        (["a", "b", "c"], ("a", "b", "c")),
        ({"left": ["a"], "right": ["b", "c"]}, ("a", "b", "c")),
        (None, ("0", "1", "2")),
        (["too", "few"], ("0", "1", "2")),
    ],
)
def test_component_names_may_be_nested_or_absent(
    lab: Any, tmp_path: Path, names: Any, components: tuple[str, ...], imported: Any
) -> None:
    store = imported(lab.recipe({0: 3}, names=names).write(tmp_path / "set"))
    assert store.label("observation.state").components == components


def test_outcomes_become_columns_and_other_numbers_labels(lab: Any, tmp_path: Path, imported: Any) -> None:
    extra = {
        "next.reward": {"dtype": "float32", "shape": [1], "value": float},
        "next.done": {"dtype": "bool", "shape": [1], "value": lambda row: row == 3},
        "observation.pose": {"dtype": "float64", "shape": [2, 2], "value": lambda row: [[row, 1.0], [2.0, 3.0]]},
        "note": {"dtype": "string", "shape": [1], "value": str},
    }
    store = imported(lab.recipe({0: 4, 1: 6}, extra=extra).write(tmp_path / "set"))
    assert store.label_names == ("observation.state", "actions", "observation.pose")
    assert store.values("observation.pose")[5].tolist() == [1.0, 1.0, 2.0, 3.0]
    with h5py.File(store.path) as file:
        first, second = file["data/demo_0"], file["data/demo_1"]
        assert first["rewards"][:].tolist() == [0.0, 1.0, 2.0, 3.0]
        assert first["terminated"][:].tolist() == [0, 0, 0, 1]
        assert first["truncated"][:].tolist() == [0, 0, 0, 0]
        assert second["truncated"][:].tolist() == [0, 0, 0, 0, 0, 1]
        assert second["terminated"][:].tolist() == [0, 0, 0, 1, 0, 0]
        np.testing.assert_allclose(second["timestamps"][:], np.arange(6) / 10, atol=1e-6)


def test_provenance_names_the_source_but_not_its_place(counter: Path, imported: Any) -> None:
    attributes = imported(counter).attributes
    expected = {"source": "counter", "codebase_version": "v2.1", "robot_type": "counter", "fps": 10}
    assert expected.items() <= attributes.items()
    assert json.loads(attributes["tasks"]) == ["Count."]
    assert attributes["license"] == "MIT License"
    assert str(counter.parent) not in str(attributes)


def test_cameras_are_chosen_by_last_part_or_full_name(lab: Any, tmp_path: Path, imported: Any) -> None:
    keys = ("observation.images.cam_high", "observation.images.wrist")
    source = lab.recipe({0: 5}, videos=keys, images=("observation.images.side",)).write(tmp_path / "set")
    everything = imported(source)
    assert list(everything.schema.cameras) == ["cam_high", "wrist", "side"]
    for camera in everything.schema.cameras:
        assert told(lab, FrameStore(everything.path, camera)) == [(0, row) for row in range(5)]
    some = imported(source, camera=("side", "observation.images.wrist"), if_exists="overwrite")
    assert list(some.schema.cameras) == ["side", "wrist"]  # the first asked for is the one read by default


def test_cameras_with_one_last_part_keep_their_full_names(lab: Any, tmp_path: Path, imported: Any) -> None:
    keys = ("images.left.rgb", "images.right.rgb")
    assert list(imported(lab.recipe({0: 3}, videos=keys).write(tmp_path / "set")).schema.cameras) == list(keys)


def test_embedded_pictures_keep_their_colours(lab: Any, tmp_path: Path, imported: Any) -> None:
    source = lab.recipe({0: 1}, videos=(), images=("image",)).write(tmp_path / "set")
    red = np.zeros((64, 80, 3), np.uint8)
    red[..., 0] = 255
    data = cv2.imencode(".png", red[..., ::-1])[1].tobytes()
    columns = lab.numbers(0, 1) | {"image": [{"bytes": data, "path": None}]}
    pyarrow.parquet.write_table(pyarrow.table(columns), lab.data(source, 0))
    np.testing.assert_array_equal(imported(source).take(np.array([0]))[0], red)


def cut_video(source: Path, lab: Any) -> None:
    path = lab.video(source, 5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def cut_header(source: Path, lab: Any) -> None:
    path = lab.video(source, 5)
    path.write_bytes(path.read_bytes()[:100])


def no_video(source: Path, lab: Any) -> None:
    lab.video(source, 5).unlink()


def short_video(source: Path, lab: Any) -> None:
    lab.film(lab.video(source, 5), 5, 6, "libx264")


def long_video(source: Path, lab: Any) -> None:
    lab.film(lab.video(source, 5), 5, 8, "libx264")


def late_video(source: Path, lab: Any) -> None:
    lab.film(lab.video(source, 5), 5, 7, "libx264", first=1.0)


def no_parquet(source: Path, lab: Any) -> None:
    lab.data(source, 5).unlink()


def cut_parquet(source: Path, lab: Any) -> None:
    path = lab.data(source, 5)
    path.write_bytes(path.read_bytes()[:-40])


def lost_row(source: Path, lab: Any) -> None:
    pyarrow.parquet.write_table(pyarrow.table(lab.numbers(5, 6)), lab.data(source, 5))


def lost_column(source: Path, lab: Any) -> None:
    columns = lab.numbers(5, 7)
    del columns["action"]
    pyarrow.parquet.write_table(pyarrow.table(columns), lab.data(source, 5))


def ragged(source: Path, lab: Any) -> None:
    columns = lab.numbers(5, 7)
    columns["action"][3] = [1.0]
    pyarrow.parquet.write_table(pyarrow.table(columns), lab.data(source, 5))


def shuffled(source: Path, lab: Any) -> None:
    columns = lab.numbers(5, 7)
    columns["timestamp"] = columns["timestamp"][::-1].copy()
    pyarrow.parquet.write_table(pyarrow.table(columns), lab.data(source, 5))


DAMAGES = [
    (cut_video, "mp4"),
    (cut_header, "mp4 has no video stream"),
    (no_video, "mp4 is missing"),
    (short_video, "ends after 6 of 7 frames"),
    (long_video, "goes on after its 7 rows"),
    (late_video, "has frame 0 at 0.1 s"),
    (no_parquet, "parquet is missing"),
    (cut_parquet, "parquet cannot be read"),
    (lost_row, "has 6 rows where meta/episodes.jsonl says 7"),
    (lost_column, "no column action"),
    (ragged, "column action does not hold 2 number"),
    (shuffled, "not in order of their timestamps"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_a_damaged_episode_stops_the_import(counter: Path, lab: Any, damage: Any, sentence: str) -> None:
    damage(counter, lab)
    message = refused(counter)
    assert message.startswith(f"Episode 5 of {counter} is damaged: ")
    assert sentence in message
    assert "--skip-bad" in message
    assert "\n" not in message


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_a_damaged_episode_can_be_left_out(counter: Path, lab: Any, damage: Any, sentence: str) -> None:
    damage(counter, lab)
    out = counter.parent / "out.h5"
    done = import_sources([counter], out, skip_bad=True)
    assert (done.episodes, done.frames) == (2, 33)
    [skipped] = done.skipped
    assert sentence in skipped
    store = FrameStore(out)
    assert told(lab, store) == described(store)
    assert {episode for episode, _ in described(store)} == {2, 11}


def test_nothing_but_damage_is_refused(counter: Path) -> None:
    shutil.rmtree(counter / "videos")
    assert "no episode that can be read" in refused(counter, skip_bad=True)


def test_a_failed_import_leaves_the_old_file(counter: Path, lab: Any, imported: Any) -> None:
    old = imported(counter)
    before = old.path.read_bytes()
    no_video(counter, lab)
    with pytest.raises(InputError, match="mp4 is missing"):
        import_sources([counter], old.path, if_exists="overwrite")
    with pytest.raises(InputError, match=r"exists: .*--if-exists append or overwrite"):
        import_sources([counter], old.path)
    assert old.path.read_bytes() == before
    assert list(counter.parent.glob("*.partial")) == []


def test_an_interrupt_leaves_nothing(counter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ssl_robot.datasets.imports._copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_sources([counter], counter.parent / "out.h5")
    assert list(counter.parent.glob("out.h5*")) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"camera": ("front",)}, "no camera 'front': choose from cam_high"),
        ({"size": 7}, "--size 8 or more"),
        ({"format": "tape"}, "'tape' is not one of the importers: choose from classes, coco, images, lerobot"),
    ],
)
def test_impossible_wishes_are_refused(counter: Path, options: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(counter, **options)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"codebase_version": "v3.0"}, "meta/episodes has no parquet file"),
        ({"codebase_version": "v1.6"}, "is LeRobot v1.6"),
        ({"fps": 0}, "no positive fps"),
        ({"fps": "fast"}, "is damaged"),
        ({"features": {}}, "no positive fps"),
        ({"features": {"image": {"dtype": "video"}}}, "is damaged"),
        ({"features": {"timestamp": {"dtype": "float32", "shape": [1]}}}, "has no camera"),
        ({"video_path": "videos/{camera}.mp4"}, "no usable video_path"),
        ({"data_path": None}, "no usable data_path"),
    ],
)
def test_descriptions_that_cannot_be_used_are_refused(counter: Path, changes: dict[str, Any], sentence: str) -> None:
    edit(counter, **changes)
    assert sentence in refused(counter)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("info.json", "{", "is damaged"),
        ("info.json", "[]", "is damaged"),
        ("info.json", None, "not a dataset of a known format"),
        ("episodes.jsonl", None, "episodes.jsonl cannot be read"),
        ("episodes.jsonl", "", "has no frames"),
        ("episodes.jsonl", '{"episode_index": 0, "length": 0}', "has no frames"),
        ("episodes.jsonl", '{"episode_index": 0}', "a line without episode_index or length"),
        ("episodes.jsonl", '{"episode_index": "a", "length": 3}', "count nothing"),
        ("episodes.jsonl", "3", "episodes.jsonl cannot be read"),
        ("tasks.jsonl", "{", "tasks.jsonl cannot be read"),
    ],
)
def test_damaged_meta_files_are_refused(counter: Path, name: str, text: str | None, sentence: str) -> None:
    path = counter / "meta" / name
    path.unlink() if text is None else path.write_text(text)
    assert sentence in refused(counter)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "There is no" in refused(tmp_path / "nowhere")
    assert re.search(r"not a dataset of a known format \(.*lerobot", refused(tmp_path / "empty"))
    assert "has no meta/info.json: give the root folder" in refused(tmp_path / "empty", format="lerobot")


def test_the_command_reports(counter: Path, lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    no_video(counter, lab)
    words = ["import", str(counter), "--out", str(counter.parent / "out.h5")]
    assert main(words) == 2
    assert "Episode 5" in capsys.readouterr().err
    assert main([*words, "--skip-bad", "--size", "16", "--camera", "cam_high"]) == 0
    printed = capsys.readouterr()
    assert "33 frames in 2 episode(s), 1 damaged episode(s) left out" in printed.out
    assert "skipped: Episode 5" in printed.err


@pytest.mark.parametrize(
    ("said", "lossy"), [({}, "video"), ({"video.codec": "av1", "video.pix_fmt": "yuv420p"}, "av1")]
)
def test_pictures_of_a_video_are_marked_lossy(counter: Path, imported: Any, said: Any, lossy: str) -> None:
    path = counter / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.cam_high"]["info"] = said
    path.write_text(json.dumps(info))
    [sentence] = Lerobot(counter, None, ()).warnings
    assert f"observation.images.cam_high were compressed as {lossy}, which is lossy" in sentence
    assert imported(counter).attributes["lossy"] == lossy


@pytest.mark.parametrize(("suffix", "lossy"), [(".png", None), (".jpg", "JPEG")])
def test_pictures_beside_the_numbers_are_lossy_where_they_are_jpeg(
    lab: Any, tmp_path: Path, imported: Any, suffix: str, lossy: str | None
) -> None:
    key = "observation.images.cam"
    root = lab.recipe(lengths={0: 4, 1: 3}, videos=(), images=(key,)).write(tmp_path / "pictures")
    for number, rows in ((0, 4), (1, 3)):
        table = pyarrow.parquet.read_table(lab.data(root, number))
        packed = [cv2.imencode(suffix, lab.picture(number, row))[1].tobytes() for row in range(rows)]
        column = pyarrow.array([{"bytes": data, "path": None} for data in packed])
        table = table.set_column(table.column_names.index(key), key, column)
        pyarrow.parquet.write_table(table, lab.data(root, number))
    assert imported(root).attributes.get("lossy") == lossy
    assert len(Lerobot(root, None, ()).warnings) == bool(lossy)
