"""What a pose probe reads: positive controls on PushT, and a robot's joints from real video by every head."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ssl_robot import __version__
from ssl_robot.baselines import named
from ssl_robot.config import key, plain
from ssl_robot.datasets.store import FrameStore
from ssl_robot.encoder import FILE, Card
from ssl_robot.experiments.studies._worlds import world
from ssl_robot.features import statistics
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.probes import Score
from ssl_robot.probes import pose as probe
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe
from ssl_robot.splits import sessions_of, split
from ssl_robot.training import Training
from ssl_robot.workers import performed

CONTROLS = ("state", "random", "pixels", "efficientnet_lite0", "blind:rotation", "blind:flip", "blind:hue")
SESSION, GAP = "observation.state:kLeftShoulderYaw", 0.02  # the left arm rests, in each session at another angle
_SIDES = ("Left", "Right")
_GROUPS = {"arm": ("Shoulder", "Elbow", "Wrist"), "hand": ("Hand",)}
_READINGS = (
    probe.Pose(head="ridge"),
    probe.Pose(head="kernel"),
    probe.Pose(head="neighbours"),
    probe.Pose(head="mlp"),
    probe.Pose(layer="map", head="ridge"),
    probe.Pose(layer="map", head="kernel"),
    probe.Pose(layer="map", head="neighbours"),
    probe.Pose(layer="map", head="mlp"),
    probe.Pose(layer="map", head="attentive"),
    probe.Pose(layer="map", head="softmax"),
)
_SIZE = 64


@dataclass(frozen=True)
class Pose:
    """Baselines that are exactly blind on PushT, then every head and layer on G1, by episode and by session.

    Attributes:
        epochs: Passes of SimSiam over G1's frames, test episodes and sessions left out; 0 trains nothing.
        worlds: Which of the two.
    """

    epochs: int = number(20, 0)
    worlds: tuple[str, ...] = ("pusht", "g1-96")

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The tables, as Markdown; every score is in ``pusht.csv`` and ``g1-96.csv``."""
        told: list[str] = []
        for name in self.worlds:
            place = world(name, data, g1)
            questions = _about_pusht(place.probed) if name == "pusht" else self._about_g1(place.probed, out)
            answers = _asked(questions, out, workers)
            _written(out / f"{name}.csv", answers)
            told.append(f"**{name}**\n\n{_controls(answers) if name == 'pusht' else _joints(answers)}")
        return "\n\n".join(told)

    def _about_g1(self, data: Path, out: Path) -> "list[Question]":
        readers = ["random", "pixels", *([str(self._trained(data, out))] if self.epochs else [])]
        target = ("observation.state",)
        return [
            Question(data, reader, "small", replace(ask, target=target, session=session, session_gap=GAP))
            for session in ("", SESSION)
            for reader in readers
            for ask in _READINGS
        ]

    def _trained(self, data: Path, out: Path) -> Path:
        """SimSiam's folder; it has seen neither the test episodes nor the test session."""
        frames = FrameStore(data)
        divided = split(frames), split(frames, sessions=sessions_of(frames, SESSION, GAP))
        rows = np.setdiff1d(np.arange(len(frames)), np.concatenate([parts.test for parts in divided]))
        wanted = {"size": _SIZE, "device": "cpu", "on_collapse": "warn", "epochs": self.epochs, "seed": 0}
        training = Training.of(Simsiam, "small", wanted)
        folder = out / "runs" / f"simsiam-{key(__version__, frames.fingerprint, rows.tolist(), training)[:8]}"
        recipe = Recipe.named(Simsiam.small.recipe)
        if not (folder / FILE).is_file():
            pretrain(frames, rows, Simsiam.made("small", {}), recipe, "small", training, folder, resume=True)
        return folder


@dataclass(frozen=True)
class Question:
    """A probe to put to a reader.

    Attributes:
        data: The recording.
        reader: A baseline's name, or a run directory.
        backbone: Network of random weights.
        probe: The probe.
    """

    data: Path
    reader: str
    backbone: str
    probe: probe.Pose


Answers = Sequence[tuple[Question, list[Score]]]


def _about_pusht(data: Path) -> list[Question]:
    """All with the network whose random weights hold a pose already, which is the one that ``blind`` averages over."""
    asks = probe.Pose(target=("poses/block",)), probe.Pose(target=("poses/block",), head="ridge")
    return [Question(data, name, "wide", ask) for name in CONTROLS for ask in asks]


def _asked(questions: Sequence[Question], out: Path, workers: int) -> Answers:
    """The answers in order; those that are there already are recalled."""
    missing = [(question, out) for question in questions if not _file(question, out).is_file()]
    with tqdm(total=len(questions), initial=len(questions) - len(missing), unit="probe", desc="study") as bar:
        for _ in performed(_perform, missing, workers, bar):
            pass
    return [(question, list(_recalled(_file(question, out)))) for question in questions]


def _file(question: Question, out: Path) -> Path:
    content = key(__version__, asdict(question), FrameStore(question.data).fingerprint)
    return out / "runs" / f"{question.probe.head}-{content}.json"


def _perform(task: tuple[Question, Path]) -> None:
    question, out = task
    frames = FrameStore(question.data)
    like = Card(question.backbone, _SIZE, *statistics(frames, split(frames).train))
    scores = question.probe.ask(named(question.reader, frames, like), frames)
    file = _file(question, out)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(plain([{**vars(score), "resampled": []} for score in scores])))
    partial.replace(file)


def _recalled(file: Path) -> Iterator[Score]:
    for item in json.loads(file.read_text()):
        yield Score(**{**item, "resampled": np.empty(0)})


def _written(path: Path, answers: Answers) -> None:
    """One line for each score."""
    columns = (
        "layer", "head", "split", "seed", "component", "metric", "unit", "value", "low", "high", "chance", "control",
        "n", "episodes",
    )  # fmt: skip
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["reader", *columns])
        for question, scores in answers:
            for score in scores:
                cells = [getattr(score, name) for name in columns]
                rounded = [f"{cell:.3f}" if isinstance(cell, float) else cell for cell in cells]
                writer.writerow([_called(question.reader), *rounded])
    partial.replace(path)


def _called(reader: str) -> str:
    """A baseline's name, or the method whose run it is."""
    return Path(reader).name.partition("-")[0]


def _controls(answers: Answers) -> str:
    """R2 of each component and the angle's error in degrees, of each reader; the control's error in brackets."""
    lines: list[str] = []
    for question, scores in answers:
        wanted = [score for score in scores if score.metric == "r2" or score.unit == "deg"]
        if not lines:
            names = [f"{s.component}, {'R2' if s.metric == 'r2' else 'deg'}" for s in wanted]
            lines += ["| features | head | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 2)]
        cells = [f"{s.value:.2f}" if s.metric == "r2" else f"{s.value:.1f} ({s.control:.0f})" for s in wanted]
        lines.append(f"| {question.reader} | {question.probe.head} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _joints(answers: Answers) -> str:
    """Median R2 over the joints of each arm and hand, with the control's in brackets."""
    groups = [(side, group) for side in _SIDES for group in _GROUPS]
    head = ["split", "features", "layer", "head", *(f"{side.lower()} {group}" for side, group in groups)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for question, scores in answers:
        cells = [scores[0].split, _called(question.reader), question.probe.layer, question.probe.head]
        for side, group in groups:
            found = [s for s in scores if s.metric == "r2" and _belongs(s.component, side, _GROUPS[group])]
            values, controls = (np.median([getattr(s, name) for s in found]) for name in ("value", "control"))
            cells.append(f"{values:.2f} ({controls:.2f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _belongs(component: str, side: str, parts: Sequence[str]) -> bool:
    return component.startswith(tuple(f"k{side}{part}" for part in parts))
