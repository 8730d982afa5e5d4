"""Donkeycar's tubs: every picture stays with its steering, sessions are episodes, damage is told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.datasets.importers.images import Images
from ssl_robot.datasets.importers.tub import Tub
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Row

INPUTS = {
    "cam/image_array": "image_array",
    "user/angle": "float",
    "user/throttle": "float",
    "user/mode": "str",
    "imu/gyro": "vector",
    "cam/depth": "gray16_array",
}


def write(
    lab: Any, root: Path, sessions: Sequence[int] = (12,), inputs: Any = None, deleted: Sequence[int] = ()
) -> Path:
    """A tub of two catalogs whose angle is the row and whose throttle is the session."""
    inputs = inputs or INPUTS
    (root / "images").mkdir(parents=True)
    lines = []
    for session, rows in enumerate(sessions):
        for row in range(rows):
            index = len(lines)
            record: dict[str, Any] = {"_index": index, "_timestamp_ms": 1_600_000_000_000 + 50 * index}
            record |= {"user/angle": row, "user/throttle": session, "user/mode": "user", "imu/gyro": [row, 0, None]}
            for key in (key for key, kind in inputs.items() if kind == "image_array"):
                record[key] = f"{index}_{key.replace('/', '_')}_.jpg"
                picture = lab.picture(session, row)
                (root / "images" / record[key]).write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
            if len(sessions) > 1:
                record["_session_id"] = f"21-01-0{session + 1}_0"
            lines.append(json.dumps(record))
    (root / "catalog_0.catalog").write_text("\n".join(reversed(lines[:7])) + "\n")  # order is told by the index
    (root / "catalog_1.catalog").write_text("\n".join(lines[7:]) + "\n")
    catalogs = {"paths": ["catalog_0.catalog", "catalog_1.catalog"], "deleted_indexes": list(deleted)}
    manifest = (list(inputs), list(inputs.values()), {}, {"created_at": 1.0}, {"current_index": len(lines), **catalogs})
    (root / "manifest.json").write_text("\n".join(map(json.dumps, manifest)))
    return root


def described(store: FrameStore) -> list[tuple[int, int]]:
    angles, throttles = store.values("user/angle")[:, 0], store.values("user/throttle")[:, 0]
    return [(int(throttle), int(angle)) for angle, throttle in zip(angles, throttles, strict=True)]


def edit(source: Path, line: int, text: str) -> None:
    """Replace a line of the second catalog."""
    path = source / "catalog_1.catalog"
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines))


def test_every_picture_stays_with_its_numbers(lab: Any, tmp_path: Path, told: Any) -> None:
    source = write(lab, tmp_path / "tub")
    assert Tub.knows(source)
    assert not Images.knows(source)
    done = import_sources([source], tmp_path / "out.h5")
    store = FrameStore(tmp_path / "out.h5")
    assert told(lab, store) == described(store) == [(0, row) for row in range(12)]
    assert store.label_names == ("user/angle", "user/throttle", "imu/gyro", "actions")
    assert list(store.schema.cameras) == ["image_array"]
    assert store.label("actions").components == ("angle", "throttle")
    np.testing.assert_array_equal(store.values("actions")[:, 0], np.arange(12))
    assert np.isnan(store.values("imu/gyro")[:, 2]).all()
    np.testing.assert_allclose(store.column("timestamps"), np.arange(12) / 20)
    assert store.column("truncated").tolist() == [0] * 11 + [1]
    assert any("lossy" in sentence for sentence in done.warnings)
    assert any("user/mode, cam/depth" in sentence for sentence in done.warnings)
    assert store.attributes["source_format"] == "donkeycar tub v2"


def test_sessions_are_episodes(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    store = imported(write(lab, tmp_path / "tub", (5, 4, 6)))
    assert told(lab, store) == described(store)
    assert np.bincount(store.episodes).tolist() == [5, 4, 6]
    with h5py.File(store.path) as file:
        assert file["data/demo_1"].attrs["session"] == b"21-01-02_0"
        assert file["data/demo_1/timestamps"][0] == 0


def test_deleted_records_are_left_out_and_counted(lab: Any, tmp_path: Path, told: Any) -> None:
    done = import_sources([write(lab, tmp_path / "tub", deleted=(0, 3, 3, 11))], tmp_path / "out.h5")
    store = FrameStore(tmp_path / "out.h5")
    assert told(lab, store) == described(store) == [(0, row) for row in range(12) if row not in (0, 3, 11)]
    assert any("3 record(s)" in sentence and "deleted" in sentence for sentence in done.warnings)


def test_several_cameras_are_chosen_by_name(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    inputs = {"cam/left": "image_array", "cam/right": "image_array", "user/angle": "float", "user/throttle": "float"}
    source = write(lab, tmp_path / "tub", inputs=inputs)
    assert list(imported(source).schema.cameras) == ["left", "right"]
    store = imported(source, camera=("cam/right",), if_exists="overwrite")
    assert list(store.schema.cameras) == ["right"]
    assert told(lab, store) == described(store)


def test_without_steering_there_are_no_actions(lab: Any, tmp_path: Path, imported: Any) -> None:
    inputs = {"cam/image_array": "image_array", "user/angle": "float"}
    assert imported(write(lab, tmp_path / "tub", inputs=inputs), size=32).label_names == ("user/angle",)


def lost_picture(source: Path) -> None:
    (source / "images/8_cam_image_array_.jpg").unlink()


def cut_picture(source: Path) -> None:
    path = source / "images/8_cam_image_array_.jpg"
    path.write_bytes(path.read_bytes()[:-30])


def cut_line(source: Path) -> None:
    edit(source, 2, '{"_index": 9, "_times')


def no_index(source: Path) -> None:
    edit(source, 2, "{}")


def no_angle(source: Path) -> None:
    edit(source, 1, '{"_index": 8, "_timestamp_ms": 5, "_session_id": "21-01-02_0"}')


def text_angle(source: Path) -> None:
    edit(source, 1, '{"_index": 8, "_timestamp_ms": 5, "_session_id": "21-01-02_0", "user/angle": "left"}')


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lost_picture, "images/8_cam_image_array_.jpg cannot be read"),
        (cut_picture, "images/8_cam_image_array_.jpg cannot be decoded"),
        (cut_line, "line 3 of catalog_1.catalog is no record"),
        (no_index, "line 3 of catalog_1.catalog is no record"),
        (no_angle, "record 8 has no user/angle"),
        (text_angle, "record 8 does not have 1 number(s) as its user/angle"),
    ],
)
def test_a_damaged_session_is_told_and_can_be_left_out(
    lab: Any, tmp_path: Path, damage: Any, sentence: str, imported: Any, refused: Any, told: Any
) -> None:
    source = write(lab, tmp_path / "tub", (5, 5, 6))
    damage(source)
    message = refused(source)
    assert message.startswith("Session ")
    assert f" of {source} is damaged: " in message
    assert sentence in message
    assert "--skip-bad" in message
    store = imported(source, skip_bad=True)
    assert told(lab, store) == [(session, row) for session, rows in ((0, 5), (2, 6)) for row in range(rows)]


def test_different_sizes_need_one(lab: Any, tmp_path: Path, imported: Any, refused: Any) -> None:
    source = write(lab, tmp_path / "tub")
    small = cv2.imencode(".jpg", lab.picture(0, 8, 32, 48))[1].tobytes()
    (source / "images/8_cam_image_array_.jpg").write_bytes(small)
    message = refused(source)
    assert "8_cam_image_array_.jpg is 48 x 32 pixels and others 80 x 64" in message
    assert "--size" in message
    assert len(imported(source, size=32)) == 12


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("manifest.json", "{", "manifest.json is damaged"),
        ("manifest.json", "[]\n[]\n{}\n{}\n{}", "manifest.json is damaged"),
        ("manifest.json", '["a"]\n[]\n{}\n{}\n{"paths": []}', "manifest.json is damaged"),
        ("manifest.json", '["a"]\n["float"]\n{}\n{}\n{"paths": []}', "has no records"),
        ("manifest.json", '["a"]\n["float"]\n{}\n{}\n{"paths": ["catalog_1.catalog"]}', "has no camera"),
        ("catalog_1.catalog", None, "catalog_1.catalog cannot be read"),
    ],
)
def test_damaged_descriptions_are_refused(
    lab: Any, tmp_path: Path, name: str, text: str | None, sentence: str, refused: Any
) -> None:
    source = write(lab, tmp_path / "tub")
    path = source / name
    path.unlink() if text is None else path.write_text(text)
    assert sentence in refused(source)


def test_a_tub_without_pictures_is_refused(lab: Any, tmp_path: Path, refused: Any) -> None:
    source = write(lab, tmp_path / "tub")
    for path in (source / "images").iterdir():
        path.unlink()
    assert "no picture of cam/image_array that can be read" in refused(source)
    assert not Tub.knows(source / "images")
    assert not Tub.knows(source / "manifest.json")


def test_the_command_warns(lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["import", str(write(lab, tmp_path / "tub")), "--out", str(tmp_path / "out.h5")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "12 frames in 1 episode(s)" in printed.out
    assert "lossy" in printed.err


def read(source: Path) -> list[Row] | str:
    """The rows of a source, or the sentence that says why there are none."""
    try:
        return [row for episode in Tub(source, None, ()).episodes() for row in episode.rows()]
    except InputError as error:
        return str(error)


@given(st.data())
def test_any_damage_of_the_texts_is_a_sentence_or_a_tub(
    lab: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    source = write(lab, tmp_path_factory.mktemp("tubs") / "tub", (4, 4))
    path = source / data.draw(st.sampled_from(["manifest.json", "catalog_0.catalog", "catalog_1.catalog"]))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = read(source)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert all(row.labels.keys() == found[0].labels.keys() for row in found)


def test_a_file_is_no_tub(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("film")
    for source in (tmp_path, tmp_path / "film.mp4"):
        with pytest.raises(InputError, match=r"has no manifest\.json: give the folder of a tub\.$"):
            Tub(source, None, ())
