import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments.benchmarks.agreement import agreement
from ssl_robot.experiments.benchmarks.timing import alternated
from ssl_robot.experiments.benchmarks.views import Setting, _warped_and_coloured
from ssl_robot.experiments.cli import main
from ssl_robot.invariances.crop import Crop

SMALL = ("--frames", "40", "--size", "16", "--rounds", "2", "--json")


def tables(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["bench", *words]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    for table in found:
        assert table["machine"]
        assert table["baseline"] in [row["name"] for row in table["rows"]]
        assert all(row["ratio"] > 0 and row["frames_per_s"] > 0 for row in table["rows"])
    return found


def test_reading_is_timed_beside_other_ways(capsys: pytest.CaptureFixture[str]) -> None:
    raw, deflate, *_ = tables(capsys, "loader", "--batch", "20", *SMALL)
    assert {"ssl-robot, raw", "h5py, fancy index"} <= {row["name"] for row in raw["rows"]}
    assert {"ssl-robot, deflate", "h5py, one read after the other"} <= {row["name"] for row in deflate["rows"]}


def test_recording_is_timed_beside_the_bare_loop(capsys: pytest.CaptureFixture[str]) -> None:
    acting, writing = tables(capsys, "record", *SMALL)
    assert acting["rows"][1]["note"].endswith("MB per 1,000 frames")
    assert writing["rows"][0]["note"].endswith("MB per 1,000 frames")


def test_codecs_are_timed_on_a_recording(capsys: pytest.CaptureFixture[str], resets: FrameStore) -> None:
    packing, unpacking = tables(
        capsys, "compression", "--data", str(resets.path), "--frames", "5", "--rounds", "2", "--json"
    )
    sizes = {row["name"]: float(row["note"].split()[0]) for row in packing["rows"]}
    assert sizes["raw"] == 1
    assert min(size for name, size in sizes.items() if name != "raw") > 5
    assert len(unpacking["rows"]) == len(sizes)


def views(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table of times and that of pixels; the pixels are within their limits, which are those of the design."""
    assert main(["bench", "views", "--frames", "40", "--size", "24", "--rounds", "1", "--json", *words]) == 0
    times, pixels = json.loads(capsys.readouterr().out)
    for row in pixels["rows"]:
        assert row["within"]
        colours = row["name"].startswith("colours")
        assert row["mean"] <= (0.255 if colours else 2)
        assert row["largest"] <= (0.255 if colours else 4)
    return times, pixels


def test_views_are_timed_beside_the_peers_and_their_pixels_are_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    times, pixels = views(capsys, "--no-compiled")
    rows = {row["name"]: row for row in times["rows"]}
    assert rows[times["baseline"]]["ratio"] == 1
    assert {"ssl-robot, eager", "OpenCV fused by hand, per image", "torchvision v2, per image"} <= set(rows)
    assert all(row["ratio"] > 0 and row["note"].startswith("CPU ") for row in rows.values())
    assert [row["name"].split()[0] for row in pixels["rows"]] == ["eager", "colours"]


@pytest.mark.slow
def test_compiled_views_have_the_same_pixels_too(capsys: pytest.CaptureFixture[str]) -> None:
    times, pixels = views(capsys, "--kind", "pusht")
    assert "ssl-robot, compiled" in [row["name"] for row in times["rows"]]
    assert [row["name"].split()[0] for row in pixels["rows"]] == ["eager", "compiled", "colours"]


def test_other_pixels_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Crop.matrix
    monkeypatch.setattr(Crop, "matrix", lambda self, drawn: original(self, drawn + torch.tensor([0, 0, 0.06, 0])))
    first, colours = agreement(Setting(24, 16, kind="pusht", compiled=False))
    assert not first.within
    assert colours.within


def test_hand_written_opencv_makes_views_like_ours() -> None:
    setting = Setting(32, 8)
    frames = setting.seen()
    random = np.random.default_rng(0)
    for frame in frames:
        view = _warped_and_coloured(frame, setting, random)
        assert view.shape == (32, 32, 3)
        assert view.dtype == np.uint8
        assert view.std() > 1


def test_candidates_take_turns() -> None:
    calls: list[str] = []

    def candidate(name: str) -> Any:
        return lambda turn: calls.append(name) or 1

    rows = alternated({name: candidate(name) for name in "abc"}, "b", 2)
    turns = ["".join(calls[i : i + 3]) for i in range(0, 9, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len(set(turns)) > 1
    assert next(row.ratio for row in rows if row.name == "b") == 1


def test_a_rest_and_what_is_done_before_a_turn_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.sleep", lambda seconds: now.append(now[-1] + seconds))
    monkeypatch.setattr("time.perf_counter", lambda: now[-1])

    def candidate(turn: int) -> int:
        now.append(now[-1] + 2)
        return 10

    rows = alternated({"a": candidate, "b": candidate}, "b", 3, rest=50, before=lambda name: now.append(now[-1] + 7))
    assert [row.frames_per_s for row in rows] == [5, 5]
    assert now[-1] == 4 * 2 * (50 + 7 + 2)


def test_impossible_wishes_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "compression"]) == 2
    assert "--data RECORDING.h5" in capsys.readouterr().err
    assert main(["bench", "loader", "--rounds", "0"]) == 2
    assert main(["bench", "pretrain", "--steps", "0"]) == 2
    assert main(["bench", "views", "--size", "0"]) == 2
    assert main(["bench", "views", "--threads", "-1"]) == 2
    assert main(["bench", "views", "--size", "4"]) == 2


@pytest.mark.slow
def test_pretraining_is_timed_from_end_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--frames", "40", "--size", "32", "--batch", "8", "--steps", "2", "--rounds", "1", "--kind", "video")
    fed, stepped = tables(capsys, "pretrain", *words, "--json")
    assert {"ssl-robot", "Kornia as documented, h5py", "lightly, 2 workers"} == {row["name"] for row in fed["rows"]}
    assert len(stepped["rows"]) == 4
    assert all(row["note"].startswith("input ") and row["note"].endswith("% of the time") for row in stepped["rows"])


def test_watching_a_run_is_timed_beside_not_watching(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--frames", "40", "--size", "16", "--batch", "8", "--rounds", "1", "--json")
    (table,) = tables(capsys, "overhead", *words)
    watched, bare = table["rows"]
    assert bare["ratio"] == 1
    assert float(watched["note"].split("%")[0].split()[1]) > 0


@pytest.mark.slow
def test_files_of_several_lengths_are_trained_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_robot.experiments.benchmarks.scale._MINUTES", 0.01)
    monkeypatch.setattr("ssl_robot.experiments.benchmarks.scale._EPISODE", 8)
    (table,) = tables(capsys, "scale", "--frames", "8000", "--size", "16", "--rounds", "1", "--json")
    assert [row["name"] for row in table["rows"]] == ["80 frames", "4,000 frames", "8,000 frames"]
    assert all("peak memory" in row["note"] for row in table["rows"])


@pytest.mark.mujoco
@pytest.mark.slow
def test_plugins_are_timed_beside_the_bare_encoder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_robot.experiments.benchmarks.plugins._COPIES", 2)
    found = tables(capsys, "plugins", "--frames", "8", "--size", "32", "--steps", "2", "--rounds", "1", "--json")
    alone, many, together, learning, latency, memory = found
    for table in (alone, many):
        notes = [row["note"] for row in table["rows"]]
        assert [note.endswith("% on top of the bare encoder") for note in notes] == [False, True, False, True]
    assert [row["name"] for row in together["rows"]] == ["eight environments, one by one", "a vector of eight"]
    assert [row["name"] for row in learning["rows"]] == ["SSLExtractor", "VecEncodeObservation"]
    assert {"small at 32 px", "resnet18-large at 224 px"} < {row["name"] for row in latency["rows"]}
    frames, features = (float(row["note"].split()[0]) for row in memory["rows"])
    # observations and next ones, beside action, reward, done and timeout
    assert frames == pytest.approx(1e5 * (2 * 3 * 32 * 32 + 20) / 1e9, abs=0.01)
    assert features == pytest.approx(1e5 * (2 * 128 * 4 + 20) / 1e9, abs=0.01)
