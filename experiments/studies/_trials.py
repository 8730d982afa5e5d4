"""One encoder trained and asked: what every study is made of. Finished trials are kept and not repeated."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import ssl_robot.methods
import ssl_robot.remedies
from ssl_robot import __version__, catalogue
from ssl_robot.baselines import named
from ssl_robot.config import key, plain
from ssl_robot.datasets.store import FrameStore
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.experiments.studies._worlds import World
from ssl_robot.features import random_encoder, statistics
from ssl_robot.methods import Method
from ssl_robot.pretrain import pretrain
from ssl_robot.probes.pose import Pose
from ssl_robot.probing.regression import Head
from ssl_robot.readers import EncoderReader, Reader
from ssl_robot.recipes import Recipe
from ssl_robot.records import METRICS, SUMMARY
from ssl_robot.splits import split
from ssl_robot.training import Training
from ssl_robot.workers import performed

RANDOM, PIXELS, IMAGENET = "untrained", "pixels", "efficientnet_lite0"
_BASELINES = (PIXELS, IMAGENET)  # stand in for an encoder as they are
_HEADS: tuple[Head, ...] = ("kernel", "neighbours")


@dataclass(frozen=True)
class Trial:
    """An encoder to train and to ask.

    Attributes:
        name: Of the row it belongs to.
        world: Where frames and questions come from.
        seed: Of training.
        method: Name; or one of the baselines.
        settings: Hyper-parameters of the method that are not its preset's.
        training: Fields of ``Training`` that are not the preset's.
        recipe: Views; the preset's if not given.
        remedies: Further tasks and their settings.
        backbone: Name of the network.
    """

    name: str
    world: World
    seed: int
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    remedies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backbone: str = "small"

    @property
    def built(self) -> Method:
        """The method as it is asked for."""
        cls: Any = catalogue.found(ssl_robot.methods, self.method)
        made: Method = cls.made("small", self.settings)
        return made

    @property
    def views(self) -> Recipe:
        """The recipe as it is asked for."""
        return self.recipe or Recipe.named(type(self.built).small.recipe)

    @property
    def schedule(self) -> Training:
        """How it is trained: one thread, on a CPU, never stopped for a collapse, which is what a study may look for."""
        usual = {"size": self.world.size, "device": "cpu", "on_collapse": "warn"}
        return Training.of(type(self.built), "small", {**usual, **self.training, "seed": self.seed})

    def folder(self, out: Path) -> Path:
        """Named by everything that the answer depends on."""
        content: list[Any] = [__version__, self.world.files, self.world.targets, self.backbone, self.seed]
        if self.method not in (RANDOM, *_BASELINES):
            recipe = list(self.views.as_dict().items())  # their order counts
            content += [self.method, self.built, asdict(self.schedule), recipe, self.remedies]
        name = "_".join(f"{self.name}-{self.world.name}-{self.seed}-{key(*content)[:8]}".replace(",", "").split())
        return out / "runs" / name


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        trial: Which one.
        r2: By head and component, of the test rows.
        epochs: Figures of training, epoch by epoch.
        seconds: Of an epoch, on one thread, beside another such process.
        failure: Why there is none, if it failed.
    """

    trial: Trial
    r2: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    epochs: Sequence[Mapping[str, float]] = ()
    seconds: float = float("nan")
    failure: str = ""

    def mean(self, head: Head) -> float:
        """Mean R2 over all components; not a number if it failed."""
        return float(np.mean(list(self.r2[head].values()))) if self.r2 else float("nan")


def run(trials: Sequence[Trial], out: Path, workers: int) -> list[Outcome]:
    """Perform what has not been done, and recall the rest, in the order given."""
    done = {trial.folder(out): _recalled(trial, out) for trial in trials}
    missing = [(trial, out) for trial in trials if done[trial.folder(out)] is None]
    with tqdm(total=len(trials), initial=len(trials) - len(missing), unit="run", desc="study") as bar:
        for outcome in performed(_perform, missing, workers, bar):
            done[outcome.trial.folder(out)] = outcome
    return [found for trial in trials if (found := done[trial.folder(out)]) is not None]


def _perform(task: tuple[Trial, Path]) -> Outcome:
    trial, out = task
    folder = trial.folder(out)
    try:
        outcome = _asked(trial, folder)
    except InputError as error:
        outcome = Outcome(trial, failure=str(error))
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "outcome.partial"
    partial.write_text(json.dumps(plain({**vars(outcome), "trial": trial.name})))
    partial.replace(folder / "outcome.json")
    return outcome


def _recalled(trial: Trial, out: Path) -> Outcome | None:
    file = trial.folder(out) / "outcome.json"
    if not file.is_file():
        return None
    outcome = Outcome(**{**json.loads(file.read_text()), "trial": trial})
    return None if outcome.failure else outcome  # it may have failed for want of room


def _asked(trial: Trial, folder: Path) -> Outcome:
    world = trial.world
    probed = FrameStore(world.probed)
    epochs: list[dict[str, float]] = []
    seconds = float("nan")
    baseline = trial.method in _BASELINES
    reader = named(trial.method, probed) if baseline else EncoderReader(_encoder(trial, folder), trial.name)
    if trial.method not in (RANDOM, *_BASELINES):
        with (folder / METRICS).open(newline="") as file:
            epochs = [{name: float(value) for name, value in line.items() if value} for line in csv.DictReader(file)]
        summary = json.loads((folder / SUMMARY).read_text())
        seconds = 60 * summary["minutes"] / len(epochs)
    return Outcome(trial, {head: _r2(world, reader, probed, head) for head in _HEADS}, epochs, seconds)


def _r2(world: World, reader: Reader, probed: FrameStore, head: Head) -> dict[str, float]:
    found: dict[str, float] = {}
    for score in Pose(target=tuple(world.targets), head=head, control=False).ask(reader, probed):
        wanted = world.targets[score.target]
        if score.metric == "r2" and (not wanted or score.component in wanted):
            found[f"{score.target.rpartition('/')[2]} {score.component}"] = score.value
    return found


def _encoder(trial: Trial, folder: Path) -> Encoder:
    world = trial.world
    frames, probed = FrameStore(world.data), FrameStore(world.probed)
    rows = _unexamined(frames, probed)
    if trial.method == RANDOM:
        return random_encoder(Card(trial.backbone, world.size, *statistics(frames, rows)), trial.seed)
    remedies = [catalogue.found(ssl_robot.remedies, name)(**kept) for name, kept in trial.remedies.items()]
    return pretrain(
        frames, rows, trial.built, trial.views, trial.backbone, trial.schedule, folder, quiet=True, resume=True,
        remedies=remedies,
    )  # fmt: skip


def _unexamined(frames: FrameStore, probed: FrameStore) -> NDArray[np.int64]:
    """Rows whose episode does not begin like one of the probe's test episodes."""
    examined = np.unique(probed.contents[probed.episodes[split(probed).test]])
    return np.flatnonzero(~np.isin(frames.contents, examined)[frames.episodes])
