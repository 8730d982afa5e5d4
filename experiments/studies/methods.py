"""Every method on the same frames, with the same views and budget: tuned on PushT, then asked elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_robot.experiments.studies._pictures import rows
from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import IMAGENET, PIXELS, RANDOM, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe

BASE = "simsiam"


@dataclass(frozen=True)
class Methods:
    """Every method's preset for small data, SimSiam with each remedy and with a later frame as second view.

    Attributes:
        epochs: Passes over the frames.
        seeds: Of each.
        worlds: Where; those that were not tuned on say more.
    """

    epochs: int = number(6, 1)
    seeds: int = number(1, 1)
    worlds: tuple[str, ...] = ("pusht", "reacher", "g1")

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The tables, as Markdown; scores are in ``methods.csv``, a picture in ``methods.png``."""
        places = [world(name, data, g1) for name in self.worlds]
        trials = [trial for seed in range(self.seeds) for place in places for trial in self._trials(place, seed)]
        outcomes = run(trials, out, workers)
        written(out / "methods.csv", outcomes)
        (out / "methods.png").write_bytes(rows(outcomes))
        return markdown(outcomes, BASE)

    def _trials(self, place: World, seed: int) -> Sequence[Trial]:
        from ssl_robot.experiments.commands._outline import names

        training = {"epochs": self.epochs}
        found = [Trial(name, place, seed, name) for name in (RANDOM, PIXELS, IMAGENET)]
        found += [Trial(name, place, seed, name, {}, training) for name in names("methods")]
        found += [
            Trial(f"{BASE} + {name}", place, seed, BASE, {}, training, remedies={name: {}})
            for name in names("remedies")
        ]
        later = Recipe.named("time")
        return [*found, Trial(f"{BASE}, a later frame", place, seed, BASE, {}, training, later)]
