"""Whether small encoders hold what the testbed's tasks ask for: what is not there cannot be lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from ssl_robot.envs.tabletop import PREFIX, TASKS
from ssl_robot.experiments.studies._pictures import grid
from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import PIXELS, RANDOM, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe

_METHODS = ("simclr", "simsiam")
_TWINS = ("", "Nuisance", "Flat", "FlatNuisance")
_SIZE = 84


@dataclass(frozen=True)
class Testbed:
    """SimCLR and SimSiam on the testbed, with rotation and without, and a picture of its tasks.

    Attributes:
        epochs: Passes over the frames.
        seeds: Of each.
    """

    epochs: int = number(10, 1)
    seeds: int = number(1, 1)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; the scores are in ``testbed.csv``, the tasks in ``tasks.png``."""
        outcomes = run(self._trials(world("testbed", data)), out, workers)
        written(out / "testbed.csv", outcomes)
        (out / "tasks.png").write_bytes(pictured())
        return markdown(outcomes)

    def _trials(self, place: World) -> Sequence[Trial]:
        usual = Recipe.named("shift").having("hue").having("gray")
        recipes = {"": usual, " + rotation": usual.having("rotation")}
        trials = [Trial(PIXELS, place, 0, PIXELS)]
        for seed in range(self.seeds):
            trials.append(Trial(RANDOM, place, seed, RANDOM))
            for method in _METHODS:
                for name, recipe in recipes.items():
                    trials.append(Trial(method + name, place, seed, method, {}, {"epochs": self.epochs}, recipe))
        return trials


def pictured() -> bytes:
    """Every task at the start of an episode, when its expert is done, and in its twins, as PNG."""
    titles = ("at first", "done", "nuisance", "flat", "flat nuisance")
    return grid([task.name for task in TASKS], titles, [_episode(task.name, seed) for seed, task in enumerate(TASKS)])


def _episode(task: str, seed: int) -> list[np.ndarray[Any, Any]]:
    """Five pictures of one scene."""
    firsts, done = [], []
    for twin in _TWINS:
        env: Any = gym.make(f"{PREFIX}{task}{twin}-v0", size=_SIZE).unwrapped
        env.reset(seed=seed)
        firsts.append(env.picture(_SIZE))
        over = False
        while not (twin or over):
            _, _, over, *_ = env.step(env.expert())
        if not twin:
            done.append(env.picture(_SIZE))
        env.close()
    return [firsts[0], *done, *firsts[1:]]
