"""How well policies act that were cloned on top of encoders, beside the truth, pixels, and learning from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ssl_robot.experiments.studies._attempts import Attempt, attempted, markdown, written
from ssl_robot.experiments.studies._tasks import Task, task
from ssl_robot.experiments.studies._trials import Trial, run
from ssl_robot.probes.policy import Policy as Probe
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe

_METHODS = ("simsiam", "simclr")
_DRAWS = {"draws": "frame"}  # of every frame its own, in Reacher too
_SHIFTED = Recipe.named("shift").having("hue").having("gray")  # which hides nothing that the testbed asks for here


@dataclass(frozen=True)
class Policy:
    """Behaviour cloning in Reacher, MetaWorld and the testbed, on frozen encoders and others, and on none.

    Attributes:
        epochs: Of pre-training.
        seeds: Of each arm; an encoder and the policy on top of it have the same seed.
        tasks: reacher-64, reacher-84 and reacher-128 (pixels), reacher-64-500 (demonstrations, 50 in the others),
            drawer-open, reach or button-press; align-yaw or cued-side of the testbed, whose answers are known.
        arms: Rows of the table: nothing (proprioception alone), state, pixels, blind:INVARIANCE, untrained, simsiam and
            simclr, all frozen; +map for a feature map, as in simclr+map; +tuned for an encoder that is trained on;
            +shift for one that was trained on shifted frames of another hue; untrained+wide for the network that is
            made blind; scratch.
        learner: See the probe.
        updates: Of the arms that train an encoder, which are slow; 0: as many as the learner's.
    """

    epochs: int = number(6, 1)
    seeds: int = number(3, 1)
    tasks: tuple[str, ...] = ("reacher-64",)
    arms: tuple[str, ...] = (
        "nothing", "state", "pixels", "untrained", "simsiam", "simclr", "simclr+map", "simclr+map+tuned", "scratch+map",
    )  # fmt: skip
    learner: Literal["quick", "r3m", "cortexbench"] = "quick"
    updates: int = number(0, 0)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The tables, as Markdown; every policy's scores are in ``policy.csv``."""
        places = [task(name, data) for name in self.tasks]
        attempts = [
            attempt for seed in range(self.seeds) for place in places for attempt in self._attempts(place, seed)
        ]
        trials = {a.looks.folder(out): a.looks for a in attempts if isinstance(a.looks, Trial)}
        run(list(trials.values()), out, workers)
        came = attempted(attempts, out, workers)
        written(out / "policy.csv", came)
        return markdown(came)

    def _attempts(self, place: Task, seed: int) -> Sequence[Attempt]:
        looks = {"untrained": "random", "scratch": "random"}
        found = []
        for arm in self.arms:
            name, *special = arm.split("+")
            changes: dict[str, Any] = {"layer": "map"} if "map" in special else {}
            if name == "scratch" or "tuned" in special:
                changes |= {"weights": "scratch" if name == "scratch" else "tuned", "updates": self.updates}
            asked = Probe(
                learner=self.learner, demonstrations=place.demonstrations, steps=place.steps, seed=seed, **changes
            )
            recipe = _SHIFTED if "shift" in special else None
            trained = Trial(name, place.world, seed, name, {}, {"epochs": self.epochs, **_DRAWS}, recipe)
            seen = trained if name in _METHODS else looks.get(name, name)
            found.append(Attempt(arm, place, seed, seen, asked, "wide" if "wide" in special else "small"))
        return found
