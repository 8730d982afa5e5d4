"""Invariances x probes x seeds: which of them cost an encoder what control needs, and what to train instead."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from ssl_robot.auditing import remedy, runs
from ssl_robot.auditing.bystanders import Bystander, bystanders, interview
from ssl_robot.auditing.design import RECOMMENDED, UNTRAINED, Arm, Contrast, Study
from ssl_robot.auditing.pairs import Gap, gap
from ssl_robot.auditing.pairs import verdicts as verdicts
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Lesson, Result, Task, perform, recalled, tasks
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.encoder import FILE, Card
from ssl_robot.errors import InputError, KilledError
from ssl_robot.features import random_encoder, statistics
from ssl_robot.frames import Frames
from ssl_robot.pretrain import check
from ssl_robot.splits import split

_SAMPLE = 0.3  # minutes of training from which the length of a whole run is told
_RESERVE = 256 * 2**20  # bytes that are left free


class Crew(Protocol):
    """What performs tasks, side by side or on many machines."""

    def __call__(self, perform: Callable[[Any], Any], tasks: Sequence[Any], *, bar: "tqdm[Any]") -> Iterator[Any]:
        """Results as they come.

        Args:
            perform: A function of a module.
            tasks: What can be pickled.
            bar: Moves on with every result.

        Raises:
            KilledError: After all other results, if there are tasks that end their process each time.
        """


@dataclass(frozen=True)
class Audited:
    """What an audit came to.

    Attributes:
        questions: What was asked.
        findings: Verdicts of every design, role and question.
        results: Scores of the arms, the recommended one last, then of the bystanders.
        study: What was, or would be, compared.
        recommended: The recipe that the verdicts speak for: the one that the study began with, if they say nothing
            against it; none, where nothing was trained or trained encoders have no verdict.
        skipped: Invariances that no training was spent on, for exact blindness to them costs nothing.
        beside: Names of the bystanders among the results.
    """

    questions: Sequence[Question]
    findings: Sequence[Finding]
    results: Sequence[Result]
    study: Study
    recommended: Arm | None = None
    skipped: Sequence[str] = ()
    beside: Sequence[str] = field(default_factory=tuple)

    @property
    def trained(self) -> bool:
        """Whether arms of the study were trained and asked, and not only what is there without."""
        return any(result.arm not in self.beside for result in self.results)


def lesson(frames: Frames, questions: Sequence[Question], others: Sequence[Frames] = ()) -> Lesson:
    """What encoders learn from: all of a recording but episodes that begin like one the probes are examined on."""
    examined = [q.frames.contents[q.frames.episodes[split(q.frames).test]] for q in questions if q.opened is None]
    tested = np.unique(np.concatenate(examined)) if examined else np.empty(0, np.uint64)
    return Lesson(frames, np.flatnonzero(~np.isin(frames.contents, tested)[frames.episodes]), others)


def answerable(questions: Sequence[Question]) -> None:
    """Refuse an audit that could give no verdict.

    Raises:
        InputError: If nothing is asked that decides.
    """
    if not any(question.role == "verdict" for question in questions):
        raise InputError(
            "There is nothing to ask of the encoders: the recording has no labels; give --policy DEMOS.h5, or "
            "--probe-frames with labels."
        )


def prepared(study: Study, learnt: Lesson, questions: Sequence[Question], out: Path) -> list[Task]:
    """The tasks of a study, after a look at whether they can be done.

    Raises:
        InputError: If the study, its recipes or the disk do not allow for it.
    """
    study.check()
    answerable(questions)
    arms = list(study.arms().values())
    for arm in arms:
        if arm.trained:
            check(learnt.frames, learnt.rows, arm.recipe, learnt.others)
    found = tasks(study, arms, learnt, questions, out)
    _check_room(study, [task for task in found if not (task.folder / FILE).is_file()], out)
    return found


def compared(
    study: Study, learnt: Lesson, questions: Sequence[Question], out: Path, crew: Crew
) -> tuple[list[Result], list[Finding]]:
    """Train every arm with every seed, ask, and draw verdicts: scores and findings.

    Args:
        study: What to compare.
        learnt: What to learn from.
        questions: What to ask.
        out: Folder for the runs; finished ones in it are not repeated.
        crew: What performs the tasks.

    Raises:
        InputError: If it cannot be done.
    """
    results = _performed(prepared(study, learnt, questions, out), crew, "trained audit")
    return results, verdicts(study.contrasts(), questions, results)


def run(
    study: Study, learnt: Lesson, questions: Sequence[Question], out: Path, crew: Crew, prove: bool = True
) -> Audited:
    """Compare, then train what the verdicts recommend and what the study began with, and ask both: see ``compared``.

    That takes seeds of its own: those that chose a recipe would flatter it. Without a proof it is only named.

    Raises:
        InputError: If it cannot be done.
    """
    results, findings = compared(study, learnt, questions, out, crew)
    if not any(finding.role == "verdict" for finding in findings):  # silence speaks for no recipe, the first neither
        return Audited(questions, findings, results, study)
    arm = remedy.recommended(study, findings)
    begun = study.arms()[study.start]
    if prove and (arm.recipe, arm.remedies) != (begun.recipe, begun.remedies):
        arms = [arm, begun, study.arms()[UNTRAINED]]
        proof = _performed(tasks(study.anew, arms, learnt, questions, out), crew, "recommended recipe")
        findings += verdicts([_proof(study)], questions, proof)
        results += proof
    return Audited(questions, findings, results, study, arm)


def _proof(study: Study) -> Contrast:
    """The recommended recipe against the one that the study began with."""
    return Contrast(RECOMMENDED, "remedy", study.start, RECOMMENDED)


def gaps(audited: Audited) -> list[Gap]:
    """What is missing from the verdicts on the study's arms, and from those on the recommended recipe."""
    if not audited.trained:
        return []
    tables = (audited.study, audited.study.contrasts()), (audited.study.anew, [_proof(audited.study)])
    found = []
    for study, contrasts in tables:
        own = [r for r in audited.results if r.seed in study.seed_range and r.arm not in audited.beside]
        if lost := list(dict.fromkeys(r.arm for r in own if r.failure)):
            found.append(gap(lost, contrasts, own))
    return found


def performed(
    study: Study, arms: Sequence[Arm], learnt: Lesson, questions: Sequence[Question], out: Path, crew: Crew
) -> list[Result]:
    """Some arms of a study, trained with every seed and asked, without verdicts."""
    return _performed(tasks(study, arms, learnt, questions, out), crew, "arms")


def interviewed(names: Sequence[str], questions: Sequence[Question], like: Card, out: Path, crew: Crew) -> list[Result]:
    """Answers of baselines and of encoders that are there already."""
    listed: list[Bystander] = bystanders(names, questions, like, out)
    done: dict[str, Result] = {}
    why = ""
    with tqdm(total=len(listed), unit="encoder", desc="beside") as bar:
        try:
            for result in crew(interview, listed, bar=bar):
                done[result.arm] = result
        except KilledError as error:
            why = str(error)
    return [done.get(one.name, Result(one.name, 0, failure=why)) for one in listed]


def card(frames: Frames, size: int, backbone: str) -> Card:
    """What an encoder of this audit would know of its frames."""
    return Card(backbone, size, *statistics(frames, np.arange(len(frames))))


def _performed(listed: Sequence[Task], crew: Crew, what: str) -> list[Result]:
    """What has not been done, done, and the rest recalled, in the order given."""
    unlike = {task.folder.name: task for task in _unlike(listed)}
    missing = [task for task in unlike.values() if not task.done]
    fresh: dict[str, Result] = {}
    with tqdm(total=len(unlike), initial=len(unlike) - len(missing), unit="run", desc=what) as bar:
        try:
            for result in crew(perform, missing, bar=bar):
                runs.keep(unlike[result.folder], result)
                fresh[result.folder] = result
        except KilledError as error:
            lost = [task for task in missing if task.folder.name not in fresh]
            fresh |= {task.folder.name: runs.failed(task, error) for task in lost}
    return [replace(fresh[t.folder.name], arm=t.arm.name) if t.folder.name in fresh else recalled(t) for t in listed]


def _unlike(listed: Sequence[Task]) -> list[Task]:
    """Tasks of which no two write to the same folder: arms of one recipe are one run."""
    return list({task.folder: task for task in listed}.values())


def _check_room(study: Study, missing: Sequence[Task], out: Path) -> None:
    """Refuse a study that would fill the disk.

    Raises:
        InputError: If there is less room than its encoders take.
    """
    weights = sum(p.numel() for p in random_encoder(Card(study.backbone, 64, (0.5,) * 3, (0.2,) * 3)).parameters())
    needed = 4 * weights * (len(missing) + 8) + _RESERVE * bool(missing)  # checkpoints hold several copies
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"{place} has {free / 2**20:,.0f} MB left and {len(missing)} runs take about {needed / 2**20:,.0f}: make "
            "room, or choose another --out."
        )


@dataclass(frozen=True)
class Plan:
    """What a study would take.

    Attributes:
        runs: Encoders, those that are there already among them.
        train: Encoders that are to be trained.
        ask: Answers that are to be had.
        seconds: Of one training run, and of all questions to one encoder, on one thread.
        workers: Runs side by side.
    """

    runs: int
    train: int
    ask: int
    seconds: tuple[float, float]
    workers: int

    @property
    def minutes(self) -> float:
        """About how long it would take."""
        return (self.train * self.seconds[0] + self.ask * self.seconds[1]) / self.workers / 60


def plan(study: Study, learnt: Lesson, questions: Sequence[Question], out: Path, crew: Crew, workers: int) -> Plan:
    """What a study would take, from half a minute of its own work.

    Raises:
        InputError: If it cannot be done.
    """
    listed = _unlike(prepared(study, learnt, questions, out))
    train = [task for task in listed if task.arm.trained and not (task.folder / FILE).is_file()]
    ask = [task for task in listed if not task.done]
    seconds = (0.0, 0.0)
    if ask:
        with tqdm(total=1, unit="run", desc="calibration", leave=False) as bar:
            [seconds] = crew(_calibrate, [next(iter(train), ask[0])], bar=bar)  # to its end: or its worker is killed
    return Plan(len(listed), len(train), len(ask), seconds, workers)


def _calibrate(task: Task) -> tuple[float, float]:
    """Seconds of a whole training run, from a part of one, and of all its questions."""
    with tempfile.TemporaryDirectory() as folder:
        short = replace(
            task,
            arm=replace(task.arm, trained=True),
            out=Path(folder),
            training=replace(task.training, max_minutes=0.3),
        )
        return runs.timed(short)
