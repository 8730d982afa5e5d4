"""What `info` says is what the file holds."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.summary import contact_sheet, summary
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Label, Row, Schema

PROMISED = ["episodes", "frames", "cameras", "labels", "actions", "compression", "fps", "source", "fingerprint"]


@pytest.fixture
def store(counter: Path) -> FrameStore:
    import_sources([counter], counter.parent / "counter.h5", size=24)
    return FrameStore(counter.parent / "counter.h5")


def test_the_numbers_are_those_of_the_file(store: FrameStore) -> None:
    found = summary(store)
    assert set(PROMISED) <= found.keys()
    assert (found["episodes"], found["frames"], found["lengths"]) == (3, 40, [20, 7, 13])
    assert found["cameras"] == {"cam_high": {"height": 24, "width": 24, "channels": 3, "count": 40}}
    assert list(found["labels"]) == ["observation.state"]
    state = found["labels"]["observation.state"]
    assert (state["shape"], state["min"], state["max"]) == ([3], [0.0, 2.0, 0.5], [19.0, 11.0, 0.5])
    assert (found["actions"]["min"], found["actions"]["max"]) == ([-19.0, -11.0], [0.0, -2.0])
    assert (found["compression"], found["fps"], found["source"]) == ("deflate", 10, "counter")
    assert found["fingerprint"] == store.fingerprint
    assert found["provenance"]["tasks"] == ["Count."]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    schema = Schema({"top": (8, 12, 3)}, (Label.plain("state", 2),))
    with FrameWriter(tmp_path / "x.h5", raw=True) as sink:
        sink.open(schema, {"plan": "{not json", "rate": np.float64("nan")})
        episode = sink.begin()
        for value in (np.nan, 1.0, np.inf):
            frame = np.zeros((8, 12, 3), np.uint8)
            episode.add(Row({"top": frame}, {"state": np.array([value, np.nan])}))
        episode.end()
    found = summary(FrameStore(tmp_path / "x.h5"))
    assert (found["labels"]["state"]["min"], found["labels"]["state"]["max"]) == ([1.0, None], [1.0, None])
    assert (found["actions"], found["fps"], found["compression"]) == (None, None, "raw")
    json.dumps(found, allow_nan=False)
    assert main(["info", str(tmp_path / "x.h5")]) == 0


def test_independent_rows_are_episodes(resets: FrameStore) -> None:
    found = summary(resets)
    assert (found["episodes"], found["frames"], found["lengths"]) == (300, 300, [1] * 300)


@pytest.mark.parametrize(("columns", "rows", "tiles"), [(8, 4, 32), (4, 2, 8), (16, 8, 40)])
def test_the_sheet_shows_frames_from_all_over(store: FrameStore, lab: Any, columns: int, rows: int, tiles: int) -> None:
    path = store.path.with_suffix(".png")
    contact_sheet(store, path, columns, rows)
    sheet = cv2.imread(str(path))
    assert sheet is not None
    height, width = 160 + 18 + 4, 160 + 4
    assert sheet.shape == (4 + -(-tiles // columns) * height, 4 + columns * width, 3)
    chosen = np.linspace(0, 39, tiles).round().astype(np.int64)
    for place, frame in enumerate(store.take(chosen)):
        top, left = 4 + place // columns * height, 4 + place % columns * width
        assert lab.read_picture(sheet[top : top + 160, left : left + 160]) == lab.read_picture(frame)


def test_a_sheet_without_a_place_is_refused(store: FrameStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose another --sheet"):
        contact_sheet(store, tmp_path / "nowhere" / "sheet.png")


def test_the_command_prints_one_object(store: FrameStore, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = store.path.with_suffix(".png")
    assert main(["info", str(store.path), "--json", "--sheet", str(sheet)]) == 0
    assert json.loads(capsys.readouterr().out) == summary(store)
    assert sheet.stat().st_size


def test_the_command_tells_people(store: FrameStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(store.path)]) == 0
    text = capsys.readouterr().out
    for words in ("40 frames in 3 episode(s) of 7 to 20 frames", "LeRobot v2.1", "MIT License", "elbow", "pull"):
        assert words in text


def test_a_missing_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "none.h5")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
