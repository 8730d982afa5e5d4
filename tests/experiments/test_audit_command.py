"""``ssl-robot audit`` from the command line: what it leaves, what it refuses, and that it goes on where it was."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_robot.arrays import Arrays
from ssl_robot.auditing import runs
from ssl_robot.auditing.design import Study
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.experiments.commands._questions import reading
from ssl_robot.experiments.commands._recipe import doses
from ssl_robot.experiments.commands.audit import Audit
from ssl_robot.frames import Label
from ssl_robot.recipes import Recipe

TINY = ("--size", "16", "--seeds", "3", "--epochs", "1", "--batch-size", "32", "--target", "block", "--baselines")


@pytest.fixture(scope="module")
def data(exploration: Any, resets: Any) -> tuple[str, ...]:
    return str(exploration.path), "--probe-frames", str(resets.path)


def record(out: Path) -> Any:
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def done(data: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done") / "audit"
    words = ("--recipe", "crop", "--with", "flip", "--invariances", "flip", "--quick")
    assert main(["audit", *data, "--out", str(out), *TINY, *words]) == 0
    return out


def test_it_leaves_a_page_and_what_programs_read(done: Path) -> None:
    assert {"report.html", "report.json", "scores.csv"} <= {path.name for path in done.iterdir()}
    told = record(done)
    assert {row["design"] for row in told["verdicts"]} == {"potential", "leave_one_out"}
    assert {row["invariance"] for row in told["verdicts"]} == {"flip"}
    assert [arm["name"] for arm in told["arms"]][:3] == ["full", "without flip", "untrained"]


def test_it_goes_on_only_if_told_to(
    done: Path, data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "audit"
    shutil.copytree(done, out)
    words = ["audit", *data, "--out", str(out), *TINY, "--recipe", "crop", "--with", "flip", "--invariances", "flip"]
    assert main([*words, "--quick"]) == 2
    assert "add --resume" in capsys.readouterr().err
    encoders = {path: path.stat().st_mtime_ns for path in (out / runs.RUNS).rglob("*.safetensors")}
    assert main([*words, "--quick", "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdicts"] == record(done)["verdicts"]
    assert encoders == {path: path.stat().st_mtime_ns for path in (out / runs.RUNS).rglob("*.safetensors")}


def test_the_terminal_ends_with_the_answer_and_where_the_page_is(
    done: Path, data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "audit"
    shutil.copytree(done, out)
    words = ("--recipe", "crop", "--with", "flip", "--invariances", "flip", "--quick", "--resume")
    assert main(["audit", *data, "--out", str(out), *TINY, *words]) == 0
    *_, answer, page = capsys.readouterr().out.splitlines()
    assert answer.endswith(f"Train with {' and '.join(record(out)['recommended'])}.")
    assert "crop" in record(out)["recommended"]
    assert answer in (out / "report.html").read_text()
    assert page == str(out / "report.html")


def test_a_dry_run_says_what_would_be_done(
    data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--recipe", "crop", "--with", "flip", "hue", "--design", "both", "--groups", "geometry", "--dry-run")
    assert main(["audit", *data, "--out", str(tmp_path / "x"), *TINY, *words, "--invariances", "flip", "hue"]) == 2
    assert "geometry" in capsys.readouterr().err  # it has one of those asked about
    words = ("--recipe", "crop", "--with", "flip", "hue", "--design", "both", "--dry-run")
    assert main(["audit", *data, "--out", str(tmp_path / "x"), *TINY, *words, "--invariances", "flip", "hue"]) == 0
    out = capsys.readouterr().out
    assert "without flip: crop, hue" in out
    assert "with hue: crop, hue" in out
    assert "15 encoders (3 seeds each), 12 of them to be trained" in out  # of what two arms share there is one
    assert not (tmp_path / "x").exists()


def test_encoders_that_are_there_are_audited_without_training(
    done: Path, data: tuple[str, ...], tmp_path: Path
) -> None:
    run = next((done / runs.RUNS).iterdir())
    words = ("--encoder", str(run), "--invariances", "flip", "hue")
    assert main(["audit", *data, "--out", str(tmp_path), *TINY, *words]) == 0
    told = record(tmp_path)
    assert {(row["design"], row["encoder"]) for row in told["verdicts"]} == {("potential", str(run))}
    assert not (tmp_path / runs.RUNS).exists()
    assert any(line.startswith(f"{run},0,invariance") for line in (tmp_path / "scores.csv").read_text().splitlines())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--seeds", "2"), "--seeds 3 or more"),
        (("--invariances", "spin"), "'spin'"),
        (("--recipe", "none"), "nothing to ask about"),
        (("--recipe", "crop"), "views that do not differ"),
        (("--target", "spoon"), "spoon"),
        (("--workers", "0"), "--workers 1"),
        (("--sweep", "hue"), "write it as rotation.degrees"),
        (("--encoder", "nowhere"), "no encoder at nowhere"),
        (("--method", "magic"), "'magic'"),
        (("--policy", "nothing.h5"), "nothing.h5"),
        (("pixels", "nope"), "no encoder at nope"),  # of the baselines
        (
            ("--design", "add_one_in", "--invariances", "hue", "--sweep", "rotation.degrees=5"),
            "add it to --invariances",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: tuple[str, ...], says: str, data: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "audit"
    assert main(["audit", *data, "--out", str(out), *TINY, *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not out.exists()


def test_blindness_to_what_the_recipe_lacks_can_be_asked_about(data: tuple[str, ...], tmp_path: Path) -> None:
    """Nothing is left out of anything where nothing is trained."""
    words = ("--instant", "--recipe", "crop", "--invariances", "hue", "rotation")
    assert main(["audit", *data, "--out", str(tmp_path), *TINY, *words]) == 0
    told = record(tmp_path)
    assert {row["invariance"] for row in told["verdicts"]} == {"hue", "rotation"}
    assert (told["arms"], "seeds" in told["about"]) == ([], False)
    assert (tmp_path / "report.html").is_file()


def test_what_was_run_is_told_as_it_was(done: Path, resets: Any) -> None:
    about = record(done)["about"]
    used, whole = map(int, about["frames pre-trained on"].split(" of "))
    assert (used, whole) == (120, 120)  # no test episode begins like one of them
    parts = about["probe frames: training + validation + test"].split(" + ")
    assert sum(map(int, parts)) == len(resets)


def test_labels_that_never_change_are_refused() -> None:
    label = Label("state", ("x", "y"), ("", ""), (False, False))
    for moved, values in enumerate((np.ones((8, 2)), np.arange(16.0).reshape(8, 2))):
        frames = Arrays(np.zeros((8, 16, 16, 3), np.uint8), named={"state": (label, values)})
        if moved:
            assert reading(frames, ("state",), Study(Recipe.named("crop")), brief=True)
        else:
            with pytest.raises(InputError, match="Nothing of state ever changes"):
                reading(frames, ("state",), Study(Recipe.named("crop")), brief=True)


def test_nothing_to_ask_is_refused_however_it_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in range(12):
        path = tmp_path / "seen" / f"{row:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(row).integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    assert main(["import", str(path.parent), "--out", str(tmp_path / "video.h5")]) == 0
    capsys.readouterr()
    for words in (("--instant",), ("--encoder", "random"), ()):
        assert main(["audit", str(tmp_path / "video.h5"), "--out", str(tmp_path / "out"), *words]) == 2
        assert "nothing to ask of the encoders" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_strengths_are_read() -> None:
    assert doses(["rotation.degrees=5,45.5"]) == {"rotation.degrees": (5.0, 45.5)}


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_numbers(done: Path, data: tuple[str, ...], tmp_path: Path) -> None:
    """Killed when the first encoder has been asked and others are being trained."""
    out = tmp_path / "audit"
    words = ["--recipe", "crop", "--with", "flip", "--invariances", "flip", "--quick", "--resume"]
    command = [sys.executable, "-m", "ssl_robot.experiments.cli", "audit", *data, "--out", str(out), *TINY, *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(out.glob("runs/*/pose-*.json")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert record(out)["verdicts"] == record(done)["verdicts"]


@pytest.mark.parametrize(
    ("method", "asked", "expected"),
    [("simclr", "method", "auto"), ("mocov3", "method", "batch"), ("mocov3", "frame", "frame")],
)
def test_draws_are_the_methods_or_as_asked(tmp_path: Path, method: str, asked: Any, expected: str) -> None:
    study = Audit(tmp_path / "a.h5", tmp_path / "out", method=method, draws=asked)._study()
    assert study.training.draws == expected
