"""What the command line says methods and remedies can be set to is what they can be set to."""

import os
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

import ssl_robot.methods
import ssl_robot.probes
import ssl_robot.remedies
from ssl_robot import catalogue
from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments import cli
from ssl_robot.experiments.commands._outline import names, outline
from ssl_robot.training import Training

KINDS = {"methods": ssl_robot.methods, "remedies": ssl_robot.remedies, "probes": ssl_robot.probes}
METHODS = catalogue.names(ssl_robot.methods)
EVERY = [(kind, name) for kind, package in KINDS.items() for name in catalogue.names(package)]

every = pytest.mark.parametrize(("kind", "name"), EVERY)


@pytest.mark.parametrize("kind", list(KINDS))
def test_names_are_the_catalogues(kind: str) -> None:
    assert list(names(kind)) == catalogue.names(KINDS[kind])


@every
def test_settings_are_those_of_the_class(kind: str, name: str) -> None:
    """Their names, order, types, defaults and what is said about them."""
    real, outlined = catalogue.found(KINDS[kind], name), outline(kind, name).settings
    assert [item.name for item in fields(outlined)] == [item.name for item in fields(real)]
    hints = get_type_hints(real)
    preset = real.small.method if kind == "methods" else {}
    for ours, theirs in zip(fields(outlined), fields(real), strict=True):
        assert ours.type == hints[ours.name], ours.name
        assert theirs.default is not MISSING, ours.name
        assert ours.default == preset.get(ours.name, theirs.default), ours.name
        assert type(ours.default) is type(theirs.default), ours.name
    assert outlined.__name__ == real.__name__
    documented = " ".join(str(real.__doc__).split())
    assert " ".join(str(outlined.__doc__).split()) == documented


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("preset", ["small", "paper"])
def test_presets_are_those_of_the_class(name: str, preset: Any) -> None:
    """Defaults are what the method made with it has."""
    real, outlined = catalogue.found(ssl_robot.methods, name), outline("methods", name, preset)
    made, known = real.made(preset, {}), real.preset(preset)
    shown = outlined.settings()
    assert all(getattr(shown, item.name) == getattr(made, item.name) for item in fields(real))
    said = outlined.presets[preset]
    assert said.get("recipe", known.recipe) == known.recipe
    assert said.get("training", {}) == known.training
    assert said.get("method", {}) == known.method


def parsed(*words: str) -> Any:
    """The command that a line makes, without running it."""
    return cli._chosen(["pretrain", "frames.h5", "--out", "run", *words])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("preset", ["small", "paper"])
def test_a_line_without_settings_trains_as_the_preset_has_it(name: str, preset: Any) -> None:
    """Method, views and training, also what has no option of its own, as clipping."""
    command, cls = parsed("--method", name, "--preset", preset), catalogue.found(ssl_robot.methods, name)
    assert command._method() == cls.made(preset, {})
    assert command._training() == Training.of(cls, preset, {})
    assert command.recipe == cls.preset(preset).recipe


@pytest.mark.parametrize("name", catalogue.names(ssl_robot.remedies))
def test_a_line_without_settings_has_the_remedys_own(name: str) -> None:
    assert parsed("--remedies", name)._remedies() == [catalogue.found(ssl_robot.remedies, name)()]


def test_a_line_changes_what_it_says_and_nothing_else() -> None:
    words = ["--method", "barlow_twins", "--preset", "paper", "--barlow-twins.hidden", "64", "--lr", "0.1"]
    words += ["--remedies", "augself", "essl", "--essl.weight", "0.08", "--augself.of", "hue", "crop"]
    command = parsed(*words, "--rotation.degrees", "30")
    cls = catalogue.found(ssl_robot.methods, "barlow_twins")
    assert command._method() == cls.made("paper", {"hidden": 64})
    assert command._training() == Training.of(cls, "paper", {"lr": 0.1})
    augself, essl = command._remedies()
    assert (augself.of, augself.weight, essl.weight) == (("hue", "crop"), 1.0, 0.08)
    assert command.strengths == ("rotation.degrees=30",)


@pytest.mark.parametrize("word", ["--method=simclr", "--method simclr"])
def test_a_method_is_named_either_way(word: str) -> None:
    assert parsed(*word.split(" "), "--simclr.temperature=0.3")._method().temperature == 0.3


HELP = """
import sys
from ssl_robot.experiments import cli
try: cli.main(["pretrain", *sys.argv[1:], "--help"])
except SystemExit as end: assert end.code == 0
heavy = {'torch', 'gymnasium', 'matplotlib', 'h5py', 'scipy', 'av', 'pyarrow', 'numpy'} & set(sys.modules)
assert not heavy, heavy
"""


def helped(*words: str) -> str:
    """What help prints, from a process that loads nothing heavy for it."""
    done = subprocess.run(
        [sys.executable, "-c", HELP, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", METHODS)
def test_help_shows_every_setting_of_a_method(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["pretrain", "--method", name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for item in fields(catalogue.found(ssl_robot.methods, name)):
        assert f"--{name}.{item.name}".replace("_", "-") in text


def test_help_shows_a_presets_settings_and_those_of_remedies_and_loads_nothing_heavy() -> None:
    text = helped("--method", "mocov2", "--preset", "paper", "--remedies", "essl")
    assert "65536" in text
    assert "0.999" in text
    assert "--essl.weight" in text
    assert "--augself.weight" not in text
    assert "--simsiam.width" not in text
    lines = [line for line in text.splitlines() if "--lr " in line or "--batch-size" in line]
    assert any("0.03" in line for line in lines)
    assert any("256" in line for line in lines)


SHORT = ["--epochs", "1", "--size", "16", "--batch-size", "64", "--device", "cpu", "--precision", "fp32"]


def test_settings_reach_the_runs_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, resets: FrameStore
) -> None:
    run = tmp_path / "run"
    words = ["pretrain", str(resets.path), "--out", str(run), *SHORT, "--method", "simclr", "--remedies", "essl"]
    assert cli.main([*words, "--simclr.temperature", "0.3", "--simclr.hidden=32", "--essl.hidden", "16"]) == 0
    capsys.readouterr()
    origin = yaml.safe_load((run / "config.yaml").read_text())["origin"]
    assert origin["method"] == "simclr"
    assert (origin["simclr"]["temperature"], origin["simclr"]["hidden"], origin["simclr"]["width"]) == (0.3, 32, 128)
    assert origin["remedies"] == ["essl"]
    assert (origin["essl"]["hidden"], origin["essl"]["weight"]) == (16, 0.4)
    header = (run / "metrics.csv").read_text().splitlines()[0]
    assert {"loss", "essl"} <= set(header.split(","))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--method", "simclr", "--simclr.temprature", "0.3"], "simclr"),
        (["--method", "simclr", "--simclr.temperature", "warm"], "temperature"),
        (["--method", "byol", "--simclr.temperature", "0.3"], "is a setting of simclr: add --method simclr"),
        (["--barlow-twins.hidden=3"], "--barlow-twins.hidden is a setting of barlow_twins: add --method barlow_twins"),
        (["--method", "simclear"], "choose from barlow_twins"),
        (["--remedies", "esl"], "choose from augself, essl"),
        (["--preset", "mine"], "choose from small, paper"),
        (["--remedies", "essl", "--augself.weight", "2"], "is a setting of augself: add --remedies augself"),
    ],
)
def test_what_is_not_known_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, resets: FrameStore, words: list[str], says: str
) -> None:
    """Exit code 2, the name that was wrong, and nothing written."""
    out = tmp_path / "run"
    try:
        code = cli.main(["pretrain", str(resets.path), "--out", str(out), *SHORT, *words])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == cli.USAGE
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert not out.exists()
