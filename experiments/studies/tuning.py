"""With which rate, optimiser and draws each method learns on a few thousand frames: where its small preset is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import RANDOM, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.ranges import check, number

_RATES = (("sgd", 1.0), ("sgd", 2.0), ("sgd", 4.0), ("adamw", 1e-3), ("adamw", 2e-3), ("adamw", 6e-3))
# Heads that are tried beside a method's own.
_HEADS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"simsiam": {"": {"bn": "default"}, " bn all": {"bn": "all"}}}


@dataclass(frozen=True)
class Tuning:
    """Every method with a few rates of SGD and AdamW, then with draws for every frame and shared; PushT alone is seen.

    Attributes:
        epochs: Passes over the frames, fewer than a user would make.
        seeds: Of each.
        only: Methods; all of them if none are named.
        tried: rates: optimisers and rates, every frame with its own draws; draws: the preset with both kinds of draws.
    """

    epochs: int = number(4, 1)
    seeds: int = number(1, 1)
    only: tuple[str, ...] = ()
    tried: tuple[Literal["rates", "draws"], ...] = ("rates", "draws")

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; the scores are in ``tuning.csv``."""
        from ssl_robot.experiments.commands._outline import names

        place = world("pusht", data)
        trials = [Trial(RANDOM, place, seed, RANDOM) for seed in range(3)]
        kinds = {"rates": self._rates, "draws": self._draws}
        chosen = self.only or names("methods")
        trials += [trial for method in chosen for kind in self.tried for trial in kinds[kind](place, method)]
        outcomes = run(trials, out, workers)
        written(out / "tuning.csv", outcomes)
        return markdown(outcomes)

    def _rates(self, place: World, method: str) -> Sequence[Trial]:
        usual = {"epochs": self.epochs, "weight_decay": 1e-4, "draws": "frame"}
        return [
            Trial(
                f"{method} {kind} {rate:g}{head}", place, seed, method, heads, {**usual, "optimizer": kind, "lr": rate}
            )
            for seed in range(self.seeds)
            for head, heads in _HEADS.get(method, {"": {}}).items()
            for kind, rate in _RATES
        ]

    def _draws(self, place: World, method: str) -> Sequence[Trial]:
        return [
            Trial(f"{method} draws {draws}", place, seed, method, {}, {"epochs": self.epochs, "draws": draws})
            for seed in range(self.seeds)
            for draws in ("frame", "batch")
        ]
