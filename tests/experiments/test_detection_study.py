"""The study of detectors: its table, its picture, and that nothing is trained twice."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_robot.arrays import Arrays
from ssl_robot.experiments.studies import detection
from ssl_robot.experiments.studies._boxes import Scene, sheet
from ssl_robot.experiments.studies._detections import Outcome, markdown, written
from ssl_robot.probes.detection import Detection as Probe


def outcome(name: str, tuned: bool, seed: int, ap: float) -> Outcome:
    scores = [
        {"target": target, "component": "box", "metric": metric, "value": ap * share, "low": 0.0, "high": 1.0}
        | {"chance": 0.01, "n": 9, "episodes": 9}
        for target, share in (("all things", 1.0), ("cup", 0.5))
        for metric in ("ap", "ap50", "ap75")
    ]
    scenes = [
        Scene(row, [(1, 2, 2, 9, 9)], [(1, 0.9, 2.0, 2.5, 9.0, 9.5), (1, 0.2, 0.0, 0.0, 3.0, 3.0)]) for row in (0, 3)
    ]
    return Outcome(name, tuned, seed, scores, scenes)


OUTCOMES = [
    outcome(*each) for each in (("scratch", True, 0, 0.2), ("scratch", True, 1, 0.4), ("simsiam", False, 0, 0.8))
]


def test_the_table_has_a_line_for_each_arm_and_one_for_chance(tmp_path: Path) -> None:
    lines = markdown(OUTCOMES).splitlines()
    assert lines[0] == "|  | encoder | AP | AP50 | AP75 | cup: AP | seeds |"
    assert lines[2].startswith("| scratch | tuned | 0.300 ± 0.141 |")
    assert lines[3] == "| simsiam | frozen | 0.800 | 0.800 | 0.800 | 0.400 | 1 |"
    assert lines[4] == "| chance |  | 0.010 | 0.010 | 0.010 | 0.010 |  |"
    written(tmp_path / "all.csv", OUTCOMES)
    with (tmp_path / "all.csv").open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert len(kept) == 18
    assert (kept[0]["encoder"], kept[0]["tuned"], kept[0]["target"], kept[0]["value"]) == (
        "scratch",
        "True",
        "all things",
        "0.2000",
    )


def test_the_picture_is_drawn() -> None:
    frames = Arrays(np.full((4, 16, 16, 3), 200, np.uint8))
    assert sheet(OUTCOMES, frames).startswith(b"\x89PNG\r\n")


def test_a_finished_detector_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resets: Any) -> None:
    def task(**settings: Any) -> detection._Task:
        probe = Probe(**{"steps": 5, "seed": 0, **settings})
        return detection._Task("scratch", None, resets.path, resets.path, probe, tmp_path)

    first = task()
    assert len({task(**change).answer for change in ({}, {"steps": 6}, {"seed": 1}, {"tune": False})}) == 4
    first.answer.write_text('{"name": "scratch", "tuned": true, "seed": 0, "scores": [], "scenes": []}')
    monkeypatch.setattr(
        detection, "performed", lambda perform, tasks, workers, bar: iter(()) if not tasks else pytest.fail("repeated")
    )
    assert [found.name for found in detection._asked([first], 1)] == ["scratch"]
