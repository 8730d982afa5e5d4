"""Policies learnt and asked, one for each arm and seed. Finished ones are kept and not repeated."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ssl_robot import __version__, baselines
from ssl_robot.config import key
from ssl_robot.datasets.store import FrameStore
from ssl_robot.encoder import FILE, load
from ssl_robot.errors import InputError
from ssl_robot.experiments.studies._tables import listed
from ssl_robot.experiments.studies._tasks import Task
from ssl_robot.experiments.studies._trials import Trial
from ssl_robot.probes.policy import Policy
from ssl_robot.probes.reinforcement import Reinforcement
from ssl_robot.readers import EncoderReader, Reader
from ssl_robot.workers import performed

Question = Policy | Reinforcement


@dataclass(frozen=True)
class Attempt:
    """A policy to be learnt and asked.

    Attributes:
        name: Of the row it belongs to.
        task: What it shall do.
        seed: Of random weights and of learning.
        looks: A baseline by name, or the trial that its encoder comes from.
        question: How it learns; with this seed.
        backbone: Network of a baseline's random weights.
    """

    name: str
    task: Task
    seed: int
    looks: str | Trial
    question: Question
    backbone: str = "small"

    def reader(self, out: Path) -> Reader:
        """What it looks through."""
        if isinstance(self.looks, Trial):
            return EncoderReader(load(self.looks.folder(out) / FILE), self.looks.name)
        frames = FrameStore(self.task.shown)
        like = replace(baselines.usual(frames), size=self.task.world.size, backbone=self.backbone)
        return baselines.named(self.looks, frames, like, self.seed)

    def file(self, out: Path) -> Path:
        """Named by everything that the answer depends on."""
        shown = FrameStore(self.task.shown).fingerprint
        content = key(__version__, shown, self.reader(out).key, type(self.question).__name__, asdict(self.question))
        name = "_".join(f"{self.name}-{self.task.name}-{self.seed}-{content[:8]}".replace(",", "").split())
        return out / "attempts" / f"{name}.json"


@dataclass(frozen=True)
class Came:
    """What an attempt came to.

    Attributes:
        attempt: Which one.
        scores: By metric: value, low, high, chance, n.
        failure: Why there are none, if it failed.
    """

    attempt: Attempt
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failure: str = ""


def attempted(attempts: Sequence[Attempt], out: Path, workers: int) -> list[Came]:
    """Perform what has not been done, and recall the rest, in the order given."""
    (out / "attempts").mkdir(parents=True, exist_ok=True)
    done = {attempt.file(out): _recalled(attempt, out) for attempt in attempts}
    missing = [(attempt, out) for attempt in attempts if done[attempt.file(out)] is None]
    with tqdm(total=len(attempts), initial=len(attempts) - len(missing), unit="policy", desc="policies") as bar:
        for came in performed(_perform, missing, workers, bar):
            done[came.attempt.file(out)] = came
    return [found for attempt in attempts if (found := done[attempt.file(out)]) is not None]


def _perform(work: tuple[Attempt, Path]) -> Came:
    attempt, out = work
    try:
        came = Came(attempt, _asked(attempt, out))
    except InputError as error:
        came = Came(attempt, failure=str(error))
    file = attempt.file(out)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({"scores": came.scores, "failure": came.failure}))
    partial.replace(file)
    return came


def _recalled(attempt: Attempt, out: Path) -> Came | None:
    file = attempt.file(out)
    if not file.is_file():
        return None
    came = Came(attempt, **json.loads(file.read_text()))
    return None if came.failure else came


def _asked(attempt: Attempt, out: Path) -> dict[str, dict[str, Any]]:
    with contextlib.closing(attempt.task.arena()) as arena:
        found = attempt.question.ask(attempt.reader(out), FrameStore(attempt.task.shown), arena)
    kept = ("value", "low", "high", "chance", "n")
    return {score.metric: {name: getattr(score, name) for name in kept} for score in found}


def written(path: Path, came: Sequence[Came]) -> None:
    """One line for each attempt and metric, with the interval over its roll-outs."""
    lines: list[dict[str, Any]] = []
    for one in came:
        begun = {"task": one.attempt.task.name, "arm": one.attempt.name, "seed": one.attempt.seed}
        for metric, score in one.scores.items():
            lines.append({**begun, "metric": metric, **{name: f"{value:.4f}" for name, value in score.items()}})
        if one.failure:
            lines.append({**begun, "failure": one.failure})
    listed(path, lines)


def markdown(came: Sequence[Came]) -> str:
    """A table for each task: mean and standard deviation over the seeds, in the order of the arms."""
    tables = []
    for name in dict.fromkeys(one.attempt.task.name for one in came):
        here = [one for one in came if one.attempt.task.name == name]
        metrics = list(dict.fromkeys(metric for one in here for metric in one.scores))
        lines = [
            f"**{name}**",
            "",
            "| " + " | ".join(["", *metrics, "seeds"]) + " |",
            "|" + " --- |" * (len(metrics) + 2),
        ]
        for arm in dict.fromkeys(one.attempt.name for one in here):
            lines.append(_line(arm, [one for one in here if one.attempt.name == arm], metrics))
        lines.append(_line("acting at random", [], metrics, here))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _line(arm: str, came: Sequence[Came], metrics: Sequence[str], chance: Sequence[Came] = ()) -> str:
    """A row of the table: of an arm's scores, or of what acting at random scores beside them."""
    cells = []
    for metric in metrics:
        values = [one.scores[metric]["value"] for one in came if metric in one.scores]
        values = values or [one.scores[metric]["chance"] for one in chance if metric in one.scores][:1]
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
    failed = sum(bool(one.failure) for one in came)
    seeds = f"{len(came)}" + (f", {failed} failed" if failed else "") if came else ""
    return "| " + " | ".join([arm, *cells, seeds]) + " |"
