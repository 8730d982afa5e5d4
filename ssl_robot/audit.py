"""Invariances x probes x seeds: which of them cost an encoder what control needs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_robot import __version__, backbones
from ssl_robot.baselines import named
from ssl_robot.baselines.blind import Averaged
from ssl_robot.config import key, plain
from ssl_robot.encoder import FILE, Card, Encoder, Layer, load
from ssl_robot.errors import InputError
from ssl_robot.features import random_encoder, statistics
from ssl_robot.frames import Frames, find_label
from ssl_robot.invariances import Source
from ssl_robot.methods import Method
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose
from ssl_robot.readers import EncoderReader
from ssl_robot.recipes import Recipe
from ssl_robot.splits import split
from ssl_robot.training import Training
from ssl_robot.verdicts import Finding, potential, trained
from ssl_robot.workers import performed

LAYERS: tuple[Layer, ...] = ("output", "map")


@dataclass(frozen=True)
class Study:
    """What a trained audit compares.

    Attributes:
        recipe: The recipe that invariances are added to or left out of.
        invariances: Those asked about.
        design: Add each to the recipe, or leave each out of it.
        targets: Labels to read.
        seeds: Pre-training runs per recipe.
        backbone: Name of the network.
        method: The objective.
        training: How long and how fast; its seed is replaced.
    """

    recipe: Recipe
    invariances: tuple[str, ...]
    targets: tuple[str, ...]
    design: Literal["add_one_in", "leave_one_out"] = "add_one_in"
    seeds: int = 5
    backbone: str = "small"
    method: Method = field(default_factory=Simsiam)
    training: Training = field(default_factory=Training)

    def check(self) -> None:
        """Refuse what cannot be studied, before an hour is spent on the rest.

        Raises:
            InputError: If there is nothing to compare, no interval to be had, or no such backbone.
        """
        if not self.invariances:
            raise InputError("There is nothing to ask about: name at least one of --invariances.")
        if self.seeds < 2:
            raise InputError(f"{self.seeds} seed(s) give no interval: ask for --seeds 2 or more, better 5.")
        backbones.build(self.backbone, 0)
        self.arms()

    def asked(self) -> Recipe:
        """The invariances asked about, at their strengths.

        Raises:
            InputError: If one is not known, or is to be left out of a recipe that lacks it.
        """
        if self.design == "add_one_in":
            return Recipe.from_dict({name: {} for name in self.invariances})
        self.arms()  # refuses those that the recipe lacks
        strengths = self.recipe.as_dict()
        return Recipe.from_dict({name: strengths[name] for name in self.invariances})

    def arms(self) -> dict[str, Recipe]:
        """The recipes to train, the common one first.

        Raises:
            InputError: If an invariance to add is in the recipe already, or one to leave out is not.
        """
        present = set(self.invariances) & set(self.recipe.names)
        if self.design == "leave_one_out":
            return {"reference": self.recipe, **{name: self.recipe.without(name) for name in self.invariances}}
        if present:
            raise InputError(
                f"The recipe has {', '.join(sorted(present))} already: leave it out of --invariances, "
                "or ask with --design leave_one_out."
            )
        return {"reference": self.recipe, **{name: self.recipe.having(name) for name in self.invariances}}


@dataclass(frozen=True)
class Result:
    """Scores of one encoder on every target.

    Attributes:
        arm: Name of the arm.
        seed: Pre-training seed.
        scores: Per layer, the scores of all targets.
        failure: Why there are none, if the run failed.
    """

    arm: str
    seed: int
    scores: Mapping[str, list[Score]]
    failure: str = ""


def instant(
    frames: Frames, targets: Sequence[str], recipe: Recipe, size: int, backbone: str = "wide"
) -> tuple[list[Finding], list[Result]]:
    """Potential harm: what features that are exactly blind to an invariance can no longer tell. No training.

    Another time or camera cannot be averaged over from a frame alone: those are left to training.

    Args:
        frames: Frames with labels; many independent poses.
        targets: Labels to read.
        recipe: The invariances asked about, with their strengths.
        size: Frames are resized to this.
        backbone: Network with random weights whose features are averaged.

    Returns:
        The findings, and the scores behind them: plain features, blind ones, and raw pixels.
    """
    encoder = random_encoder(Card(backbone, size, *statistics(frames, np.arange(len(frames)))))
    ask = Pose(target=tuple(targets), control=False)

    with tqdm(total=2 + len(recipe.names), unit="encoder", desc="potential harm") as bar:
        plain_scores = ask.ask(EncoderReader(encoder, "plain"), frames)
        bar.update()
        results = [
            Result("pixels", 0, {"output": replace(ask, head="ridge").ask(named("pixels", frames), frames)}),
            Result("plain", 0, {"output": plain_scores}),
        ]
        bar.update()
        findings: list[Finding] = []
        for name, item in zip(recipe.names, recipe.invariances, strict=True):
            bar.update()
            if isinstance(item, Source):
                continue
            averaged = Averaged(encoder, item, f"blind:{name}")
            scores = ask.ask(averaged, frames)
            results.append(Result(averaged.name, 0, {"output": scores}))
            findings += potential(name, plain_scores, scores, "output")
    return findings, results


def run(study: Study, frames: Frames, probed: Frames, out: Path, workers: int = 2) -> list[Result]:
    """Train every arm with every seed and probe it; finished runs are kept and not repeated.

    Args:
        study: What to compare.
        frames: Frames to pre-train on.
        probed: Frames with labels, for the probe; may be the same.
        out: Folder for the runs.
        workers: Processes side by side, one thread each.

    Raises:
        InputError: If a label or an invariance is not known, or fewer than two seeds are asked for.
    """
    study.check()
    if workers < 1:
        raise InputError(f"{workers} workers do nothing: ask for --workers 1 or more.")
    for target in study.targets:
        find_label(probed, target)
    rows = _unexamined(frames, probed)
    arms = study.arms()
    tasks = [
        _Task(study, arm, recipe, seed, frames, rows, probed, out)
        for seed in range(study.seeds)
        for arm, recipe in (*arms.items(), ("random", Recipe()))
    ]
    results = [_recalled(task) for task in tasks]
    missing = [task for task, result in zip(tasks, results, strict=True) if result is None]
    with tqdm(total=len(tasks), initial=len(tasks) - len(missing), unit="run", desc="trained audit") as bar:
        fresh = list(performed(_perform, missing, workers, bar))
    done = {(result.arm, result.seed): result for result in (*filter(None, results), *fresh)}
    return [done[task.arm, task.seed] for task in tasks]


def findings(study: Study, results: Sequence[Result]) -> list[Finding]:
    """Verdicts on every invariance from the trained encoders, per layer; arms with failed runs are left out."""
    by_arm = {arm: [r for r in results if r.arm == arm] for arm in {r.arm for r in results}}
    whole = {arm for arm, runs in by_arm.items() if not any(r.failure for r in runs)}
    asked = [name for name in study.invariances if name in whole]
    if not asked or "reference" not in whole:
        return []
    found: list[Finding] = []
    for layer in LAYERS:
        scores = {arm: [r.scores[layer] for r in by_arm[arm]] for arm in whole}
        pairs = {name: (scores["reference"], scores[name]) for name in asked}
        if study.design == "leave_one_out":
            pairs = {name: (having_not, having) for name, (having, having_not) in pairs.items()}
        found += trained(study.design, pairs, scores["random"], layer)
    return found


@dataclass(frozen=True)
class _Task:
    study: Study
    arm: str
    recipe: Recipe
    seed: int
    frames: Frames
    rows: NDArray[np.int64]
    probed: Frames
    out: Path

    @property
    def training(self) -> Training:
        return Training(**{**asdict(self.study.training), "seed": self.seed})

    @property
    def folder(self) -> Path:
        """Named by everything the encoder depends on."""
        recipe = "random" if self.arm == "random" else list(self.recipe.as_dict().items())  # their order counts
        content = (
            __version__,
            torch.__version__,
            recipe,
            self.training,
            self.study.method,
            self.study.backbone,
            self.frames.fingerprint,
            self.rows.tolist(),
        )
        return self.out / "runs" / f"{self.arm}-{self.seed}-{key(*content)[:8]}"

    @property
    def answer(self) -> Path:
        """Named by what was asked on top."""
        return self.folder / f"scores-{key(__version__, self.questions, self.probed.fingerprint)[:8]}.json"

    @property
    def questions(self) -> list[Pose]:
        """One for each layer."""
        return [Pose(target=self.study.targets, layer=layer, control=False) for layer in LAYERS]


def _unexamined(frames: Frames, probed: Frames) -> NDArray[np.int64]:
    """Rows whose episode does not begin like one of the probe's test episodes."""
    examined = np.unique(probed.contents[probed.episodes[split(probed).test]])
    return np.flatnonzero(~np.isin(frames.contents, examined)[frames.episodes])


def _perform(task: _Task) -> Result:
    """Train one encoder and put every question to it."""
    try:
        reader = EncoderReader(_encoder(task), task.arm)
        scores: dict[str, list[Score]] = {ask.layer: ask.ask(reader, task.probed) for ask in task.questions}
    except (InputError, OSError, MemoryError) as error:  # one run that fails must not cost the page of the others
        return Result(task.arm, task.seed, {}, str(error) or type(error).__name__)
    result = Result(task.arm, task.seed, scores)
    _remember(task, result)
    return result


def _encoder(task: _Task) -> Encoder:
    if (task.folder / FILE).is_file():
        return load(task.folder)
    if task.arm == "random":
        card = Card(task.study.backbone, task.training.size, *statistics(task.frames, task.rows))
        encoder = random_encoder(card, task.seed)
        task.folder.mkdir(parents=True, exist_ok=True)
        encoder.save(task.folder / FILE)
        return encoder
    study = task.study
    return pretrain(
        task.frames,
        task.rows,
        study.method,
        task.recipe,
        study.backbone,
        task.training,
        task.folder,
        quiet=True,
        resume=True,
    )


def _remember(task: _Task, result: Result) -> None:
    partial = task.answer.with_suffix(".partial")
    values = {layer: [{**vars(s), "resampled": []} for s in scores] for layer, scores in result.scores.items()}
    partial.write_text(json.dumps(plain(values)))
    partial.replace(task.answer)


def _recalled(task: _Task) -> Result | None:
    if not task.answer.is_file():
        return None
    values = json.loads(task.answer.read_text())
    scores = {layer: [Score(**{**item, "resampled": np.empty(0)}) for item in items] for layer, items in values.items()}
    return Result(task.arm, task.seed, scores)
