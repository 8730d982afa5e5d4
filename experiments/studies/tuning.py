"""Which rate and optimiser each method learns with on a few thousand frames: where its preset called small is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import RANDOM, Outcome, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.ranges import check, number

_RATES = (("sgd", 0.5), ("sgd", 1.0), ("sgd", 2.0), ("adamw", 2e-3), ("adamw", 6e-3))
# Settings of the methods' own that are tried at the best rate, one change each.
_OWN: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "barlow_twins": ({"redundancy": 0.02}, {"width": 128}),
    "byol": ({"keep": 0.95}, {"keep": 0.996}),
    "dino": ({"keep": 0.95}, {"teacher_temperature": 0.07}, {"classes": 256}),
    "looc": ({"keep": 0.95}, {"temperature": 0.1}),
    "mocov2": ({"keep": 0.95}, {"temperature": 0.1}),
    "mocov3": ({"keep": 0.95}, {"temperature": 0.1}),
    "simclr": ({"temperature": 0.1}, {"temperature": 0.5}),
    "simsiam": ({"width": 256}, {"width": 1024}),
    "swav": ({"prototypes": 100}, {"queue": 0}),
    "triplet": ({"margin": 0.2}, {"margin": 1.0}),
    "vicreg": ({"covariance": 5.0}, {"width": 128}),
}


@dataclass(frozen=True)
class Tuning:
    """Every method with a few rates of SGD and AdamW, then with a few of its own settings; PushT alone is looked at.

    Attributes:
        epochs: Passes over the frames, fewer than a user would make.
        seeds: Of each.
        only: Methods; all of them if none are named.
    """

    epochs: int = number(4, 1)
    seeds: int = number(1, 1)
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; the scores are in ``tuning.csv``."""
        from ssl_robot.experiments.commands._outline import names

        place = world("pusht", data)
        methods = self.only or names("methods")
        untrained = [Trial(RANDOM, place, seed, RANDOM) for seed in range(3)]
        rated = run([*untrained, *(trial for method in methods for trial in self._rates(place, method))], out, workers)
        tried = run([trial for method in methods for trial in self._own(rated, method)], out, workers)
        written(out / "tuning.csv", [*rated, *tried])
        return markdown([*rated, *tried])

    def _rates(self, place: World, method: str) -> Sequence[Trial]:
        usual = {"epochs": self.epochs, "weight_decay": 1e-4}
        return [
            Trial(f"{method} {kind} {rate:g}", place, seed, method, {}, {**usual, "optimizer": kind, "lr": rate})
            for kind, rate in _RATES
            for seed in range(self.seeds)
        ]

    def _own(self, rated: Sequence[Outcome], method: str) -> Sequence[Trial]:
        """At the rate with the best mean over the seeds."""
        found = [outcome for outcome in rated if outcome.trial.method == method]
        means = {
            outcome.trial.name: np.mean(
                [other.mean("kernel") for other in found if other.trial.name == outcome.trial.name]
            )
            for outcome in found
        }
        best = max(means, key=lambda name: float(np.nan_to_num(means[name], nan=-9)))
        return [
            replace(outcome.trial, name=f"{best}, {_words(settings)}", settings=settings)
            for settings in _OWN.get(method, ())
            for outcome in found
            if outcome.trial.name == best
        ]


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())
