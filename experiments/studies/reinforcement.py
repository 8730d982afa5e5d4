"""What learning by trial and error makes of features, in Reacher: noisy, and shown because it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ssl_robot.experiments.studies._attempts import Attempt, attempted, markdown, written
from ssl_robot.experiments.studies._tasks import Task, task
from ssl_robot.experiments.studies._trials import Trial, run
from ssl_robot.probes.reinforcement import Reinforcement as Probe
from ssl_robot.ranges import check, number

_TRAINED = "simclr"


@dataclass(frozen=True)
class Reinforcement:
    """PPO or SAC on nothing but proprioception, on the truth, and on the feature maps of two encoders.

    Attributes:
        epochs: Of pre-training.
        seeds: Of learning, and of untrained weights; the trained encoder is the same for all.
        interactions: Steps in the world.
        algorithm: ppo or sac.
        arms: Rows of the table: nothing, state, untrained+map and simclr+map.
    """

    epochs: int = number(6, 1)
    seeds: int = number(3, 1)
    interactions: int = number(20_000, 1)
    algorithm: Literal["ppo", "sac"] = "ppo"
    arms: tuple[str, ...] = ("nothing", "state", "untrained+map", "simclr+map")

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; every policy's scores are in ``reinforcement.csv``."""
        place = task("reacher-64", data)
        trained = Trial(_TRAINED, place.world, 0, _TRAINED, {}, {"epochs": self.epochs, "draws": "frame"})
        if any(arm.startswith(_TRAINED) for arm in self.arms):
            run([trained], out, workers)
        came = attempted(self._attempts(place, trained), out, workers)
        written(out / "reinforcement.csv", came)
        return markdown(came)

    def _attempts(self, place: Task, trained: Trial) -> Sequence[Attempt]:
        found = []
        for seed in range(self.seeds):
            for arm in self.arms:
                name, _, layer = arm.partition("+")
                looks = trained if name == _TRAINED else "random" if name == "untrained" else name
                asked = Probe(
                    algorithm=self.algorithm,
                    interactions=self.interactions,
                    layer="map" if layer == "map" else "output",
                    seed=seed,
                )
                found.append(Attempt(arm, place, seed, looks, asked))
        return found
