"""Studies of policies: what is finished is kept, tables say what came out."""

import csv
from pathlib import Path

import pytest

from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs.collect import Plan, collect
from ssl_robot.envs.world import Sight
from ssl_robot.experiments.cli import main
from ssl_robot.experiments.studies import _attempts, _tasks
from ssl_robot.experiments.studies._attempts import Attempt, Came, markdown, written
from ssl_robot.experiments.studies._tasks import COMMANDS, Task
from ssl_robot.experiments.studies._trials import Trial
from ssl_robot.experiments.studies._worlds import World
from ssl_robot.experiments.studies.policy import Policy as Study
from ssl_robot.probes.policy import Policy

NOWHERE = World("reacher-64", Path("none.h5"), Path("none.h5"), {}, 64)


def came(arm: str, seed: int, value: float, failure: str = "") -> Came:
    attempt = Attempt(arm, Task("reacher-64", NOWHERE, Path("none.h5"), 50, 0), seed, "state", Policy(seed=seed))
    score = {"value": value, "low": value - 1, "high": value + 1, "chance": -43.0, "n": 25}
    return Came(attempt, {} if failure else {"return": score}, failure)


def test_the_table_has_a_line_for_each_arm_and_one_for_acting_at_random(tmp_path: Path) -> None:
    found = [came("state", 0, -5.0), came("state", 1, -6.0), came("scratch", 0, 0, "it broke")]
    assert markdown(found).splitlines() == [
        "**reacher-64**",
        "",
        "|  | return | seeds |",
        "| --- | --- | --- |",
        "| state | -5.500 ± 0.707 | 2 |",
        "| scratch |  | 1, 1 failed |",
        "| acting at random | -43.000 |  |",
    ]
    written(tmp_path / "a.csv", found)
    with (tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["arm"], line["seed"], line["value"], line["failure"]) for line in lines] == [
        ("state", "0", "-5.0000", ""),
        ("state", "1", "-6.0000", ""),
        ("scratch", "0", "", "it broke"),
    ]


@pytest.mark.mujoco
def test_a_finished_attempt_is_not_repeated_and_another_setting_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "demos.h5"
    with FrameWriter(file) as sink:
        collect("Reacher-v5", Sight(16), sink, Plan(150, explorer="expert", seed=5, allow_static=True))
    place = Task("tiny", World("tiny", file, file, {}, 16), file, 3, 0)
    monkeypatch.setattr(_tasks, "_COPIES", 2)
    attempts = [
        Attempt("nothing", place, seed, "nothing", Policy(updates=updates, episodes=2, seed=seed))
        for seed, updates in ((0, 5), (1, 5), (0, 6))
    ]
    assert len({attempt.file(tmp_path) for attempt in attempts}) == 3
    scores = _attempts._asked(attempts[0], tmp_path)
    assert list(scores) == ["return", "normalised"]
    (tmp_path / "attempts").mkdir()
    assert _attempts._perform((attempts[0], tmp_path)).scores == scores
    monkeypatch.setattr(_attempts, "_asked", lambda attempt, out: pytest.fail("repeated"))
    (again,) = _attempts.attempted(attempts[:1], tmp_path, workers=1)
    assert again.scores == scores


def test_arms_are_spelt_out() -> None:
    place = Task("reacher-64", NOWHERE, Path("none.h5"), 50, 0)
    arms = ("nothing", "untrained", "simclr+map", "simclr+map+tuned", "scratch+map")
    found = Study(arms=arms, updates=7)._attempts(place, 3)
    assert [attempt.name for attempt in found] == list(arms)
    assert [attempt.looks if isinstance(attempt.looks, str) else attempt.looks.method for attempt in found] == [
        "nothing",
        "random",
        "simclr",
        "simclr",
        "random",
    ]
    asked = [attempt.question for attempt in found]
    assert all(isinstance(question, Policy) and question.seed == 3 for question in asked)
    assert [question.layer for question in asked] == ["output", "output", "map", "map", "map"]
    assert [getattr(question, "weights", "") for question in asked] == ["frozen"] * 3 + ["tuned", "scratch"]
    assert [getattr(question, "updates", 0) for question in asked] == [0, 0, 0, 7, 7]


def test_arms_of_the_testbed_are_spelt_out(tmp_path: Path) -> None:
    """What is made blind is the wide network, so that it is compared with that one as it is."""
    shown = tmp_path / "demos.h5"
    with FrameWriter(shown) as sink:
        collect("ssl_robot.envs.tabletop:AlignYawFlat-v0", Sight(16), sink, Plan(30, explorer="expert", seed=5))
    place = Task("align-yaw", NOWHERE, shown, 1, 0)
    shifted, wide, blind = Study(arms=("simclr+shift", "untrained+wide", "blind:flip"))._attempts(place, 0)
    assert isinstance(shifted.looks, Trial)
    assert shifted.looks.views.names == ("shift", "hue", "gray")
    assert (wide.looks, wide.backbone, blind.looks) == ("random", "wide", "blind:flip")
    assert wide.reader(tmp_path).encoder.card.backbone == "wide"
    assert blind.reader(tmp_path).encoder.card == wide.reader(tmp_path).encoder.card


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_task_asks_for_the_files_that_its_commands_make(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tasks, "recorded", lambda commands, folder: None)
    place = _tasks.task(name, tmp_path)
    outs = [command.split("--out {folder}/")[1].split()[0] for command in COMMANDS[name]]
    assert [place.world.data.name, place.shown.name] == outs
    for command in COMMANDS[name]:
        assert f"--size {place.world.size} " in command
    if name.startswith("reacher"):
        assert f"--frames {50 * place.demonstrations} " in COMMANDS[name][1]


def test_an_unknown_task_is_answered_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "policy", "--out", str(tmp_path), "--policy.tasks", "atlantis"]) == 2
    assert "choose from reacher-64, reacher-84" in capsys.readouterr().err
