"""Encoders trained and asked, one for each recipe and seed. What is finished is kept by its content, not repeated."""

import csv
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot import __version__
from ssl_robot.auditing.design import Arm, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.config import key, plain
from ssl_robot.encoder import FILE, Card, Encoder, load
from ssl_robot.errors import InputError
from ssl_robot.features import random_encoder, statistics
from ssl_robot.frames import Frames
from ssl_robot.methods import Method
from ssl_robot.monitors import collapsed
from ssl_robot.pretrain import pretrain
from ssl_robot.probes import Score
from ssl_robot.projection import ProjectorReader
from ssl_robot.readers import EncoderReader, Reader
from ssl_robot.recipes import name_of
from ssl_robot.records import METRICS, SUMMARY
from ssl_robot.training import Training

RUNS = "runs"


@dataclass(frozen=True)
class Lesson:
    """What every encoder of a study learns from.

    Attributes:
        frames: The recording.
        rows: Which of its frames; the probes' test episodes are not among them.
        others: The same moments through other cameras, for recipes with ``camera``.
    """

    frames: Frames
    rows: NDArray[np.int64]
    others: Sequence[Frames] = ()


@dataclass(frozen=True)
class Result:
    """Answers of one encoder.

    Attributes:
        arm: Name of the arm, or of the baseline.
        seed: Pre-training seed.
        answers: By the question's key.
        failure: Why there are none, if the run failed.
        epochs: Figures of training, epoch by epoch; none for what is not trained.
        folder: The run directory's name.
    """

    arm: str
    seed: int
    answers: Mapping[str, Sequence[Score]] = field(default_factory=dict)
    failure: str = ""
    epochs: Sequence[Mapping[str, float]] = ()
    folder: str = ""

    @property
    def collapsed(self) -> bool:
        """Whether all frames had nearly the same embedding, or its opposite, when training ended."""
        return bool(self.epochs) and collapsed(self.epochs[-1])


@dataclass(frozen=True)
class Task:
    """An encoder to train and to ask.

    Attributes:
        arm: What it is trained on.
        seed: Of training.
        method: The objective.
        backbone: Name of the network.
        training: How long and how fast; with this seed.
        lesson: What it learns from.
        questions: What it is asked.
        out: Folder of the audit.
    """

    arm: Arm
    seed: int
    method: Method
    backbone: str
    training: Training
    lesson: Lesson
    questions: tuple[Question, ...]
    out: Path

    @property
    def folder(self) -> Path:
        """Named by everything the encoder depends on, so that arms of one recipe share it."""
        content: list[Any] = [__version__, torch.__version__, self.seed, self.backbone, self.training.size]
        content += [self.lesson.frames.fingerprint, self.lesson.rows.tolist()]
        if self.arm.trained:
            recipe = list(self.arm.recipe.as_dict().items())  # their order counts
            remedies = [(name_of(item), item) for item in self.arm.remedies]
            cameras = [frames.fingerprint for frames in self.lesson.others]
            content += [recipe, remedies, name_of(self.method), self.method, self.training, cameras]
        return self.out / RUNS / f"{self.seed}-{key(*content)[:12]}"

    def answer(self, question: Question) -> Path:
        """Where the answer to a question is kept."""
        return self.folder / f"{question.name}-{question.key}.json"

    @property
    def done(self) -> bool:
        """Whether nothing is left to be trained or asked."""
        return all(self.answer(question).is_file() for question in self.questions)


def tasks(study: Study, arms: Sequence[Arm], lesson: Lesson, questions: Sequence[Question], out: Path) -> list[Task]:
    """Every arm with every seed, seed by seed, so that an interrupted study has whole pairs."""
    found = []
    for seed in study.seed_range:
        training = replace(study.training, seed=seed)
        for arm in arms:
            asked = tuple(q for q in questions if q.part == "backbone" or arm.trained)
            found.append(Task(arm, seed, study.method, study.backbone, training, lesson, asked, out))
    return found


def perform(task: Task) -> Result:
    """Train one encoder, unless it is there, and put those questions to it that have no answer yet.

    Whatever goes wrong is a result too, for it must not cost the page of the others: only a signal ends this.
    """
    try:
        encoder = _encoder(task)
        for question in task.questions:
            if not task.answer(question).is_file():
                remember(task.answer(question), question.ask(_reader(task, encoder, question)))
        return recalled(task)
    except Exception as error:
        return failed(task, error)


def failed(task: Task, error: Exception) -> Result:
    """What a task came to that an error ended."""
    return Result(task.arm.name, task.seed, failure=reason(error), folder=task.folder.name)


def reason(error: Exception) -> str:
    """The first line of an error, and its kind where nobody wrote it for users."""
    line = str(error).strip().partition("\n")[0]
    kind = [] if isinstance(error, InputError) else [type(error).__name__]
    return ": ".join([*kind, *([line] if line else [])])


def recalled(task: Task) -> Result:
    """What a finished task came to."""
    found = {question.key: list(answers(task.answer(question))) for question in task.questions}
    return Result(task.arm.name, task.seed, found, "", _epochs(task.folder / METRICS), task.folder.name)


def _encoder(task: Task) -> Encoder:
    if (task.folder / FILE).is_file():
        return load(task.folder)
    lesson = task.lesson
    if not task.arm.trained:
        card = Card(task.backbone, task.training.size, *statistics(lesson.frames, lesson.rows))
        encoder = random_encoder(card, task.seed)
        task.folder.mkdir(parents=True, exist_ok=True)
        encoder.save(task.folder / FILE)
        return encoder
    return pretrain(
        lesson.frames, lesson.rows, task.method, task.arm.recipe, task.backbone, task.training, task.folder,
        quiet=True, others=lesson.others, resume=True, remedies=task.arm.remedies,
    )  # fmt: skip


def _reader(task: Task, encoder: Encoder, question: Question) -> Reader:
    if question.part == "projector":
        return ProjectorReader(encoder, task.method, task.folder, task.arm.name)
    return EncoderReader(encoder, task.arm.name)


def remember(path: Path, scores: Sequence[Score]) -> None:
    """Write answers, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(plain([{**asdict(score), "resampled": []} for score in scores])))
    partial.replace(path)


def answers(path: Path) -> Iterator[Score]:
    """Answers that were written, without their resamplings."""
    for item in json.loads(path.read_text()):
        yield Score(**{**item, "resampled": np.empty(0)})


def _epochs(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in line.items() if value} for line in csv.DictReader(file)]


def keep(task: Task, result: Result) -> None:
    """Write answers that another machine gave into this one's folder, where they are not there yet."""
    for question in task.questions:
        path = task.answer(question)
        if question.key in result.answers and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            remember(path, result.answers[question.key])


def timed(task: Task) -> tuple[float, float]:
    """Seconds that a whole run takes, from one that is cut short, and seconds of its questions."""
    encoder = _encoder(task)
    summary = json.loads((task.folder / SUMMARY).read_text())
    whole = task.training.epochs * (len(task.lesson.rows) // summary["batch"])
    began = time.perf_counter()
    for question in task.questions:
        question.ask(_reader(task, encoder, question))
    return 60 * summary["minutes"] * whole / max(summary["steps"], 1), time.perf_counter() - began
