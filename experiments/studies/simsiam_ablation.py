"""What keeps SimSiam from collapsing, on a robot's frames: section 4 of the paper, repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_robot.experiments.studies._pictures import curves
from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import RANDOM, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe

USUAL = "as usual"
_HEADS = {"bn": "default"}  # the paper's; the preset for small data has batch norm on the predictor's output too
_RATE = {"lr": 2.0}
# What is changed: hyper-parameters, or fields of the training.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    USUAL: {},
    "no stop-gradient": {"stop_gradient": False},
    "no predictor": {"predictor": "none"},
    "fixed predictor": {"predictor": "fixed"},
    "predictor's rate decays": {"predictor_lr": "cosine"},
    "one-sided": {"symmetric": False},
    "one-sided, two pairs": {"symmetric": False},
    "cross-entropy": {"similarity": "cross_entropy"},
    "no batch norm in the heads": {"bn": "none"},
    "batch norm in hidden layers": {"bn": "hidden"},
    "batch norm everywhere": {"bn": "all"},
    "width 128": {"width": 128},
    "width 2048": {"width": 2048},
    "views together": {"together": True},
    "batch 32": {"batch_size": 32},
    "batch 64": {"batch_size": 64},
    "batch 256": {"batch_size": 256},
    "batch 512": {"batch_size": 512},
}
_SHOWN = (USUAL, "no stop-gradient", "no predictor", "fixed predictor", "no batch norm in the heads")


@dataclass(frozen=True)
class SimsiamAblation:
    """One thing changed at a time, on PushT.

    Attributes:
        epochs: Passes over the frames.
        seeds: Of each.
    """

    epochs: int = number(5, 1)
    seeds: int = number(1, 1)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; scores are in ``simsiam_ablation.csv``, a picture in ``simsiam_ablation.png``."""
        place = world("pusht", data)
        trials = [trial for seed in range(self.seeds) for trial in self._trials(place, seed)]
        outcomes = run(trials, out, workers)
        written(out / "simsiam_ablation.csv", outcomes)
        (out / "simsiam_ablation.png").write_bytes(curves(outcomes, _SHOWN))
        return markdown(outcomes)

    def _trials(self, place: World, seed: int) -> Sequence[Trial]:
        found = [Trial(RANDOM, place, seed, RANDOM)]
        for name, changes in VARIANTS.items():
            training = {key: value for key, value in changes.items() if key in ("together", "batch_size")}
            settings = {**_HEADS, **{key: value for key, value in changes.items() if key not in training}}
            four = Recipe.named("simsiam").having_views(2) if "two pairs" in name else None
            found.append(
                Trial(name, place, seed, "simsiam", settings, {"epochs": self.epochs, **_RATE, **training}, four)
            )
        return found
