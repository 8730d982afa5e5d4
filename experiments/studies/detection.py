"""Does pre-training help a detector that gets few labels? Block and finger of PushT, as in SimSiam's table 5."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ssl_robot import __version__
from ssl_robot.config import key, plain
from ssl_robot.datasets.store import FrameStore
from ssl_robot.encoder import Card, load
from ssl_robot.experiments.studies._boxes import Scene, sheet
from ssl_robot.experiments.studies._detections import Outcome, markdown, written
from ssl_robot.experiments.studies._trials import Trial, run
from ssl_robot.experiments.studies._worlds import World, recorded, world
from ssl_robot.features import random_encoder, statistics
from ssl_robot.probes.detection import Detection as Probe
from ssl_robot.probing.detector import Detector, looked, wanted
from ssl_robot.ranges import check, number
from ssl_robot.readers import EncoderReader, Reader
from ssl_robot.splits import split
from ssl_robot.workers import performed

SCRATCH = "scratch"
_THINGS = (
    "collect gym_pusht/PushT-v0 --out {folder}/pusht-things.h5 --frames 500 --size 64 --reset-every 1 --seed 200000 "
    "--segmentation"
)
_SHOWN = 6  # test frames in the picture


@dataclass(frozen=True)
class Detection:
    """A detector on an encoder from scratch, on SimSiam's and on SimCLR's, tuned with it and frozen below it.

    Attributes:
        epochs: Passes of pre-training over the frames.
        seeds: Of each.
        methods: Whose encoders are asked, beside one from scratch.
        labelled: Frames that the detector learns from.
        steps: Batches that it learns for.
    """

    epochs: int = number(6, 1)
    seeds: int = number(2, 1)
    methods: tuple[str, ...] = ("simsiam", "simclr")
    labelled: int = number(100, 1)
    steps: int = number(150, 1)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; scores are in ``detection.csv``, boxes on frames in ``detection.png``."""
        place, (things,) = world("pusht", data), recorded((_THINGS,), data)
        trials = [
            Trial(method, place, seed, method, {}, {"epochs": self.epochs})
            for seed in range(self.seeds)
            for method in self.methods
        ]
        run(trials, out, workers)
        tasks = [task for seed in range(self.seeds) for task in self._tasks(trials, place, things, seed, out)]
        outcomes = _asked(tasks, workers)
        written(out / "detection.csv", outcomes)
        (out / "detection.png").write_bytes(sheet([o for o in outcomes if o.seed == 0], FrameStore(things)))
        return markdown(outcomes)

    def _tasks(self, trials: Sequence[Trial], place: World, things: Path, seed: int, out: Path) -> "list[_Task]":
        folders = {trial.name: trial.folder(out) for trial in trials if trial.seed == seed}
        arms: dict[str, Path | None] = {SCRATCH: None, **folders}
        return [
            _Task(name, folder, place.data, things, Probe(
                tune=tune, steps=self.steps, labelled=self.labelled, seed=seed), out / "detectors")
            for tune in (True, False)
            for name, folder in arms.items()
        ]  # fmt: skip


@dataclass(frozen=True)
class _Task:
    """A detector to train and to ask.

    Attributes:
        name: Of the arm.
        folder: Of the finished run; none from scratch.
        data: What encoders learn from.
        things: What detectors learn from.
        probe: How; its seed is that of fresh weights too.
        kept: Where answers go.
    """

    name: str
    folder: Path | None
    data: Path
    things: Path
    probe: Probe
    kept: Path

    @property
    def answer(self) -> Path:
        """Named by everything that it depends on."""
        prints = [FrameStore(path).fingerprint for path in (self.data, self.things)]
        run_name = self.folder.name if self.folder else SCRATCH
        content: list[Any] = [__version__, *prints, run_name, asdict(self.probe)]
        return self.kept / f"{self.name}-{self.probe.seed}-{key(*content)[:8]}.json"

    def reader(self) -> Reader:
        """The encoder that is asked."""
        if self.folder is not None:
            return EncoderReader(load(self.folder), self.name)
        frames = FrameStore(self.data)
        card = Card("small", 64, *statistics(frames, np.arange(len(frames))))
        return EncoderReader(random_encoder(card, self.probe.seed), self.name)


def _asked(tasks: Sequence[_Task], workers: int) -> list[Outcome]:
    """Train what has not been trained, and recall the rest, in the order given."""
    missing = [task for task in tasks if not task.answer.is_file()]
    with tqdm(total=len(tasks), initial=len(tasks) - len(missing), unit="detector", desc="detectors") as bar:
        list(performed(_perform, missing, workers, bar))
    return [Outcome(**json.loads(task.answer.read_text())) for task in tasks]


def _perform(task: _Task) -> None:
    frames, reader, probe = FrameStore(task.things), task.reader(), task.probe
    detector = probe.trained(reader, frames, split(frames).train)
    scores = [
        {name: value for name, value in vars(score).items() if name != "resampled"}
        for score in probe.scored(detector, frames)
    ]
    outcome = Outcome(task.name, probe.tune, probe.seed, scores, _scenes(probe, detector, frames))
    task.kept.mkdir(parents=True, exist_ok=True)
    partial = task.answer.with_suffix(".partial")
    partial.write_text(json.dumps(plain(asdict(outcome))))
    partial.replace(task.answer)


def _scenes(probe: Probe, detector: Detector, frames: FrameStore) -> list[Scene]:
    """A few test frames with what is there and what the detector finds."""
    test, numbers = split(frames).test, probe.numbers(frames)
    rows = test[np.linspace(0, len(test) - 1, _SHOWN).astype(np.int64)]
    return [
        Scene(
            int(row),
            [(item.thing, *item.box) for item in wanted(found, numbers)],
            [(int(t), float(s), *map(float, b)) for t, s, b in zip(said.things, said.scores, said.boxes, strict=True)],
        )
        for row, found, said in zip(rows, frames.maps(rows), looked(detector, frames, rows), strict=True)
    ]
