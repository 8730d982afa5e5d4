import json
from pathlib import Path
from typing import Any

import pytest

from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments.benchmarks.timing import alternated
from ssl_robot.experiments.cli import main

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


def test_candidates_take_turns() -> None:
    calls: list[str] = []

    def candidate(name: str) -> Any:
        return lambda turn: calls.append(name) or 1

    rows = alternated({name: candidate(name) for name in "abc"}, "b", 2)
    turns = ["".join(calls[i : i + 3]) for i in range(0, 9, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len(set(turns)) > 1
    assert next(row.ratio for row in rows if row.name == "b") == 1


def test_impossible_wishes_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "compression"]) == 2
    assert "--data RECORDING.h5" in capsys.readouterr().err
    assert main(["bench", "loader", "--rounds", "0"]) == 2
