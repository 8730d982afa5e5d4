"""Studies: trials are kept, tables say what came out, and CIFAR-10 is read without running anything in it."""

import csv
import importlib.util
import io
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ssl_robot.experiments.studies
from ssl_robot import catalogue
from ssl_robot.baselines import named
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.experiments.studies import _trials, cifar10, pose, testbed
from ssl_robot.experiments.studies._pictures import curves, grid, rows
from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import IMAGENET, PIXELS, RANDOM, Outcome, Trial
from ssl_robot.experiments.studies._worlds import COMMANDS, World, world
from ssl_robot.probes import Score
from ssl_robot.readers import Reader

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, resets: FrameStore, exploration: FrameStore) -> World:
    """A folder with the recordings that the studies would make, only smaller."""
    folder = tmp_path_factory.mktemp("recordings")
    shutil.copy(exploration.path, folder / "pusht.h5")
    shutil.copy(resets.path, folder / "pusht-poses.h5")
    return world("pusht", folder)


def outcome(place: World, name: str, seed: int, r2: float, failure: str = "") -> Outcome:
    epochs = [
        {"epoch": i, "loss": -0.5 - i / 10, "spread": 0.9, "directions": 3.0, "rank": 5.0, "knn_r2": r2} for i in (0, 1)
    ]
    scores = {} if failure else {head: {"block x": r2, "block y": r2 / 2} for head in ("kernel", "neighbours")}
    return Outcome(Trial(name, place, seed, "simsiam"), scores, [] if failure else epochs, 2.0, failure)


def test_baselines_stand_in_for_an_encoder_as_they_are(
    place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained, and each has a folder of its own."""
    asked: list[str] = []

    def known(name: str, frames: FrameStore) -> Reader:
        asked.append(name)
        return named("state", frames)

    monkeypatch.setattr(_trials, "named", known)
    monkeypatch.setattr(_trials, "pretrain", lambda *given, **settings: pytest.fail("trained"))
    trials = [Trial(name, place, 0, name) for name in (PIXELS, IMAGENET)]
    outcomes = [_trials._perform((trial, tmp_path)) for trial in trials]
    assert asked == [PIXELS, IMAGENET]
    assert [outcome.failure for outcome in outcomes] == ["", ""]
    assert min(outcomes[1].r2["kernel"].values()) > 0.9
    assert len({trial.folder(tmp_path) for trial in trials}) == 2


def test_a_finished_trial_is_not_repeated(place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = {"epochs": 1, "batch_size": 16, "size": 16}
    trials = [
        Trial("untrained", place, 0, RANDOM),
        Trial("pixels", place, 0, PIXELS),
        Trial("small", place, 0, "simsiam", {"width": 32}, training, remedies={"essl": {"hidden": 16}}),
    ]
    first = _trials.run(trials, tmp_path, workers=1)
    assert [o.failure for o in first] == ["", "", ""]
    assert set(first[2].r2["kernel"]) == {
        "block x",
        "block y",
        "block angle cos",
        "block angle sin",
        "agent_pos x",
        "agent_pos y",
    }
    assert "essl" in first[2].epochs[-1]
    monkeypatch.setattr(
        _trials, "performed", lambda perform, tasks, workers, bar: iter(()) if not tasks else pytest.fail("repeated")
    )
    again = _trials.run(trials, tmp_path, workers=1)
    assert [o.r2 for o in again] == [o.r2 for o in first]


def test_another_setting_is_another_trial(place: World, tmp_path: Path) -> None:
    trials = [
        Trial("a", place, 0, "simsiam"),
        Trial("a", place, 1, "simsiam"),
        Trial("a", place, 0, "simsiam", {"width": 64}),
        Trial("a", place, 0, "simsiam", {}, {"lr": 0.5}),
        Trial("a", place, 0, "simsiam", remedies={"essl": {}}),
        Trial("a", place, 0, "byol"),
    ]
    assert len({trial.folder(tmp_path) for trial in trials}) == len(trials)


def test_a_trial_that_fails_does_not_cost_the_others(place: World, tmp_path: Path) -> None:
    """A learning rate beyond all bounds."""
    training = {"epochs": 1, "batch_size": 16, "size": 16, "lr": 1e30, "warmup": 0.0, "precision": "fp32"}
    trials = [Trial("wild", place, 0, "simsiam", {"width": 32}, training), Trial("untrained", place, 0, RANDOM)]
    wild, untrained = _trials.run(trials, tmp_path, workers=1)
    assert "no number" in wild.failure
    assert untrained.r2
    assert "1, 1 failed" in markdown([wild, untrained])


def test_the_table_ranks_by_the_mean_and_counts_seeds(place: World, tmp_path: Path) -> None:
    outcomes = [
        outcome(place, name, seed, r2 + seed / 100) for name, r2 in (("low", 0.2), ("high", 0.8)) for seed in (0, 1)
    ]
    lines = markdown(outcomes, "low").splitlines()
    assert lines[0] == "**pusht**"
    assert lines[4].startswith("| high | 0.604 ± 0.005 |")
    assert lines[5].endswith("| 1.00 | 2 |")
    written(tmp_path / "all.csv", outcomes)
    with (tmp_path / "all.csv").open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert [(line["name"], line["seed"], line["kernel block x"]) for line in kept[:2]] == [
        ("low", "0", "0.2000"),
        ("low", "1", "0.2100"),
    ]


def test_pictures_are_drawn_though_some_trials_failed(place: World) -> None:
    outcomes = [
        outcome(place, "simsiam", 0, 0.4),
        outcome(place, "byol", 0, 0.0, "it broke"),
        outcome(place, RANDOM, 0, 0.1),
    ]
    assert rows(outcomes).startswith(PNG)
    assert curves(outcomes, ["simsiam", "byol"]).startswith(PNG)


@pytest.mark.parametrize("count", [1, 3])
def test_a_grid_shows_every_frame(count: int) -> None:
    frames = [[np.full((8, 8, 3), 40 * i + 90 * j, np.uint8) for i in range(2)] for j in range(count)]
    picture = grid([f"row {j}" for j in range(count)], ("a", "b"), frames)
    drawn = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    shades = {tuple(pixel) for pixel in np.unique(drawn.reshape(-1, 3), axis=0).tolist()}
    assert shades >= {(40 * i + 90 * j,) * 3 for i in range(2) for j in range(count)}


def test_the_testbeds_arms_differ_in_rotation_alone(place: World) -> None:
    trials = {(trial.name, trial.seed): trial for trial in testbed.Testbed(epochs=3, seeds=2)._trials(place)}
    assert len(trials) == 1 + 2 * 5
    for method in ("simclr", "simsiam"):
        for seed in (0, 1):
            usual, turned = trials[method, seed], trials[f"{method} + rotation", seed]
            assert turned.views.without("rotation") == usual.views
            assert "rotation" in turned.views.names
            assert usual.schedule == turned.schedule
            assert usual.schedule.epochs == 3


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="mujoco is not installed")
def test_the_testbeds_recordings_are_made_where_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer frames than a study has."""
    short = [re.sub(r"--frames \d+ --size \d+", "--frames 20 --size 16", line) for line in COMMANDS["testbed"]]
    monkeypatch.setitem(COMMANDS, "testbed", short)
    made = world("testbed", tmp_path)
    assert len(FrameStore(made.data)) == len(FrameStore(made.probed)) == 20
    assert set(made.targets) <= set(FrameStore(made.probed).label_names)


def test_a_real_recording_is_asked_for_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "study",
        "methods",
        "--out",
        str(tmp_path / "out"),
        "--data",
        str(tmp_path / "data"),
        "--methods.worlds",
        "g1",
    ]
    assert main(words) == 2
    assert "give the recording's folder to --g1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "methods --methods.worlds atlantis",
            "'atlantis' is not one of the worlds: choose from pusht",
        ),
        ("methods --methods.seeds 0", "methods.seeds is 0, but must be a whole number from 1"),
        ("simsiam_ablation --workers 0", "--workers is 0, but must be at least 1"),
    ],
)
def test_a_study_that_makes_no_sense_is_answered_in_a_sentence(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", *words.split(), "--out", str(tmp_path / "out"), "--data", str(tmp_path / "data")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_an_unknown_study_is_answered_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "alchemy", "--out", str(tmp_path)]) == 2
    assert "simsiam_ablation" in capsys.readouterr().err


def test_a_study_may_be_named_after_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a folder that is called like one is not it."""
    words = ["study", "--out", str(tmp_path), "--data", "tuning", "methods", "--methods.worlds", "g1"]
    assert main(words) == 2
    assert "--g1" in capsys.readouterr().err


@pytest.mark.slow
def test_the_pose_study_asks_every_control_once(
    place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pose, "CONTROLS", ("state", "blind:flip"))
    words = ["study", "pose", "--out", str(tmp_path), "--data", str(place.data.parent), "--workers", "1"]
    words += ["--pose.worlds", "pusht"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "| state | ridge | 1.00 | 1.00 | 1.00 | 1.00 |" in told
    with (tmp_path / "pusht.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["reader"] for line in lines} == set(pose.CONTROLS)
    sine = {(line["reader"], line["head"]): line for line in lines if line["component"] == "angle sin"}
    assert float(sine["blind:flip", "kernel"]["value"]) < 0.2
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert main(words) == 0
    assert capsys.readouterr().out == told
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}


def test_joints_are_summed_up_by_arm_and_hand(tmp_path: Path) -> None:
    """Medians, each with its control's."""

    def joint(name: str, value: float) -> Score:
        return Score("state", name, "r2", "", value, 0, 1, 9, 0, 2, np.empty(0), split="session", control=value / 10)

    names = ("kLeftElbow", "kRightShoulderRoll", "kRightElbow", "kRightWristYaw", "kLeftHandPinky", "kRightHandRing")
    scores = [joint(name, i) for i, name in enumerate(names)]
    question = pose.Question(tmp_path, "runs/simsiam-ab12", "small", pose._READINGS[-1])
    lines = pose._joints([(question, scores)]).splitlines()
    assert lines[2] == "| session | simsiam | map | softmax | 0.00 (0.00) | 4.00 (0.40) | 2.00 (0.20) | 5.00 (0.50) |"
    pose._written(tmp_path / "g1.csv", [(question, scores)])
    with (tmp_path / "g1.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["reader"], first["component"], first["value"], first["split"]) == (
        "simsiam", "kLeftElbow", "0", "session",
    )  # fmt: skip


@pytest.mark.parametrize("name", catalogue.names(ssl_robot.experiments.studies))
def test_every_study_shows_its_settings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["study", name, "--help"])
    assert f"--{name.replace('_', '-')}.epochs" in capsys.readouterr().out


@pytest.fixture
def pictures() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (40, 32, 32, 3), np.uint8), random.integers(0, 3, 40)


def pickled(folder: Path, images: Any, classes: Any) -> None:
    flat = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    for i, name in enumerate([*cifar10._TRAINED, *cifar10._EXAMINED]):
        part = slice(None) if name in cifar10._EXAMINED else slice(8 * i, 8 * i + 8)
        record = {b"data": flat[part], b"labels": classes[part].tolist()}
        (folder / name).write_bytes(pickle.dumps(record, protocol=2))


def test_cifars_pickles_are_read_as_pictures(tmp_path: Path, pictures: tuple[Any, Any]) -> None:
    pickled(tmp_path, *pictures)
    images, classes = cifar10._read(tmp_path, cifar10._TRAINED, "train")
    np.testing.assert_array_equal(images, pictures[0])
    np.testing.assert_array_equal(classes, pictures[1])


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_a_file_that_would_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in cifar10._TRAINED:
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="which CIFAR's do not"):
        cifar10._read(tmp_path, cifar10._TRAINED, "train")
    assert not (tmp_path / "sprung").exists()


def test_folders_of_pictures_are_classes(tmp_path: Path) -> None:
    for kind, colour in (("ant", (255, 0, 0)), ("bee", (0, 0, 255))):
        (tmp_path / "train" / kind).mkdir(parents=True)
        Image.new("RGB", (40, 30), colour).save(tmp_path / "train" / kind / "one.png")
    images, classes = cifar10._read(tmp_path, cifar10._TRAINED, "train")
    assert images.shape == (2, 32, 32, 3)
    assert classes.tolist() == [0, 1]
    assert images[0, 0, 0].tolist() == [255, 0, 0]


def test_neither_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cifar-10-batches-py"):
        cifar10._read(tmp_path, cifar10._TRAINED, "train")


@pytest.mark.slow
def test_cifar_runs_and_reports_the_neighbours(tmp_path: Path, pictures: tuple[Any, Any]) -> None:
    pickled(tmp_path, *pictures)
    told = cifar10.Cifar10(epochs=2, batch_size=16).run(tmp_path / "out", tmp_path, None, 1)
    assert told.startswith("neighbours' accuracy after 2 epochs: 0.")
    with (tmp_path / "out" / "cifar10" / "metrics.csv").open(newline="") as file:
        assert all(0 <= float(line["knn_accuracy"]) <= 1 for line in csv.DictReader(file))
    encoder = tmp_path / "out" / "cifar10" / "encoder.safetensors"
    before = encoder.stat().st_mtime_ns
    assert cifar10.Cifar10(epochs=2, batch_size=16).run(tmp_path / "out", tmp_path, None, 1) == told
    assert encoder.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="a finished run with other settings"):
        cifar10.Cifar10(epochs=3, batch_size=16).run(tmp_path / "out", tmp_path, None, 1)
