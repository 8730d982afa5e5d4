"""Does the audit find what is planted? The testbed's predictions, asked of fresh seeds with everything frozen."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ssl_robot import audit
from ssl_robot.auditing.design import Study
from ssl_robot.auditing.potential import harmless, instant
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Lesson, Result
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.config import plain
from ssl_robot.datasets.store import FrameStore
from ssl_robot.envs.tabletop import TASKS, hurt_by, predictions
from ssl_robot.experiments.studies._transfer import Transfer
from ssl_robot.experiments.studies._worlds import recorded
from ssl_robot.methods.simclr import Simclr
from ssl_robot.probes.pose import Pose
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training
from ssl_robot.workers import performed

# One exploration serves all tasks; poses are asked on the plain table, and heads that learnt them there on its twin.
COMMANDS = (
    "collect ssl_robot.envs.tabletop:FindMovingFlat-v0 --out {folder}/planted.h5 --frames 4000 --size 64 "
    "--explorer pink_noise --reset-every 40",
    "collect ssl_robot.envs.tabletop:AlignYawFlat-v0 --out {folder}/planted-poses.h5 --frames 2000 --size 64 "
    "--reset-every 1 --seed 100000",
    "collect ssl_robot.envs.tabletop:AlignYawFlatNuisance-v0 --out {folder}/planted-nuisance.h5 --frames 2000 "
    "--size 64 --reset-every 1 --seed 200000",
)
_TABLES = ("plain", "nuisance")
INVARIANCES = ("hue", "gray", "flip", "vertical_flip", "rotation", "crop", "time", "brightness")
_STRENGTHS: Mapping[str, Mapping[str, float]] = {
    "time": {"furthest": 39, "slope": 0},  # a whole lap of what moves
    "gray": {"p": 0.5},
    "hue": {"turn": 0.5},
}
_SIZE = 64
_TRAINING: Mapping[str, object] = {"size": _SIZE, "device": "cpu", "on_collapse": "warn"}


@dataclass(frozen=True)
class Power:
    """The audit on the testbed, whose answers are known: which planted pairs it calls, and what it calls besides.

    Attributes:
        seeds: Pre-training runs per recipe.
        first: The first of them; those below 100 served to design the study.
        epochs: Passes over the frames.
    """

    seeds: int = number(8, 3)
    first: int = number(100, 0)
    epochs: int = number(10, 1)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The tables, as Markdown; every verdict is in ``power.json``, the scores in ``scores.csv``."""
        study, learnt, questions = planted(data, self.seeds, self.first, self.epochs)
        results, _ = audit.compared(study, learnt, questions, out, partial(performed, workers=workers))
        tables = {t: audit.verdicts(study.contrasts(), [q], results) for t, q in zip(_TABLES, questions, strict=True)}
        lines = [{"table": table, **vars(finding)} for table, found in tables.items() for finding in found]
        (out / "power.json").write_text(json.dumps(plain(lines), indent=1))
        scored(out / "scores.csv", questions, results)
        bound = instant(questions[:1], study.asked, _SIZE)
        return f"{_planted(tables['plain'])}\n\n{_spared(tables)}\n\n{_skipped(bound, tables['plain'])}"


def planted(folder: Path, seeds: int, first: int, epochs: int) -> tuple[Study, Lesson, list[Question]]:
    """The frozen study: each invariance added to small shifts, which leave everything to be seen.

    Args:
        folder: Where recordings are or go.
        seeds: Runs per recipe.
        first: The first seed.
        epochs: Passes over the frames.
    """
    explored, plain_table, nuisance = (FrameStore(path) for path in recorded(COMMANDS, folder))
    transfer = Transfer(("scene",), control=False, learnt=str(plain_table.path))
    questions = [Question(Pose(("scene",), control=False), plain_table), Question(transfer, nuisance)]
    study = Study(
        _full(), Recipe.named("shift"), INVARIANCES, "add_one_in", seeds=seeds, first=first,
        method=Simclr.made("small", {}), training=Training.of(Simclr, "small", {**_TRAINING, "epochs": epochs}),
    )  # fmt: skip
    return study, audit.lesson(explored, questions), questions


def _full() -> Recipe:
    """Every invariance at the strength at which it is asked about."""
    return Recipe.from_dict({name: dict(_STRENGTHS.get(name, {})) for name in INVARIANCES})


def scored(path: Path, questions: Sequence[Question], results: Sequence[Result]) -> None:
    """A line for each arm, seed, recording and component."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("arm", "seed", "table", "component", "metric", "value"))
        for result in results:
            for table, question in zip(_TABLES, questions, strict=True):
                for score in result.answers.get(question.key, ()):
                    line = result.arm, result.seed, table, score.component, score.metric, f"{score.value:.4f}"
                    writer.writerow(line)


def _planted(found: Sequence[Finding]) -> str:
    """For each task and invariance that hides what it needs: the component most surely lost."""
    lines = ["| task | invariance hides | without | with | effect (95% interval) | verdict |", "|" + " --- |" * 6]
    pairs = called = 0
    for task in TASKS:
        for name in (name for name in hurt_by(task) if name in INVARIANCES):
            hidden = [p.component for p in predictions() if (p.invariance, p.effect) == (name, "hidden")]
            rows = [f for f in found if f.invariance == name and f.component in hidden and f.component in task.needs]
            row = min(rows, key=lambda f: (f.verdict != "hurts", f.high))
            pairs, called = pairs + 1, called + (row.verdict == "hurts")
            word = row.verdict.replace("_", " ") if row.held else "never held"
            lines.append(
                f"| {task.name} | {name}: {row.component} | {row.without:.2f} | {row.having:.2f} | {row.effect:+.2f} "
                f"({row.low:+.2f} to {row.high:+.2f}) | {word} |"
            )
    return "\n".join([f"**{called} of {pairs} planted pairs are called *hurts*.**", "", *lines])


def _spared(tables: Mapping[str, Sequence[Finding]]) -> str:
    """What blindness must not cost, and what training with an invariance cost of it all the same."""
    spared = {(p.invariance, p.component) for p in predictions() if p.effect != "hidden"}
    lines = ["| table | invariance | held | called *hurts* | which |", "|" + " --- |" * 5]
    for table, found in tables.items():
        for name in INVARIANCES:
            asked = [f for f in found if f.invariance == name and (name, f.component) in spared and f.metric == "r2"]
            hurt = [f for f in asked if f.verdict == "hurts"]
            if asked:
                which = ", ".join(f"{f.component} ({f.without:.2f} to {f.having:.2f})" for f in hurt)
                held = f"{sum(f.held for f in asked)} of {len(asked)}"
                lines.append(f"| {table} | {name} | {held} | {len(hurt)} | {which} |")
    return "\n".join(["**Components that the invariance does not hide:**", "", *lines])


def _skipped(bound: Sequence[Finding], found: Sequence[Finding]) -> str:
    """What --skip-harmless would have left out, and which verdicts that would have cost."""
    names = harmless(bound)
    lost = [f"{f.invariance}: {f.component}" for f in found if f.invariance in names and f.verdict == "hurts"]
    return (
        f"Exact blindness costs nothing: {', '.join(names) or 'of none of them'}. Verdicts *hurts* that skipping them "
        f"would have lost: {'; '.join(lost) or 'none'}."
    )
