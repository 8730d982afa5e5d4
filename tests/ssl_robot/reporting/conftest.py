"""An audit whose answers are written by hand: nothing is trained."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ssl_robot import audit
from ssl_robot.auditing.design import RECOMMENDED, Contrast, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import potential
from ssl_robot.frames import Label
from ssl_robot.probes import Score
from ssl_robot.probes.invariance import Invariance
from ssl_robot.probes.pose import Pose
from ssl_robot.recipes import Recipe
from ssl_robot.reporting.record import About

SEEDS = 5
LABEL = Label("poses/block", ("x", "angle"), ("m", "rad"), (False, True))
# What each arm's encoders read: R2 of x, its error in metres, degrees of the angle.
READ = {
    "full": (0.50, 0.031, 62.0),
    "without rotation": (0.90, 0.012, 40.0),
    "without hue": (0.50, 0.031, 62.0),
    "base": (0.80, 0.015, 50.0),
    "with rotation": (0.45, 0.033, 70.0),
    "with hue": (0.90, 0.012, 45.0),
    "rotation.degrees 10": (0.88, 0.013, 41.0),
    "rotation.degrees 90": (0.60, 0.029, 60.0),
    "untrained": (0.20, 0.050, 80.0),
    RECOMMENDED: (0.91, 0.012, 40.0),
    "pixels": (0.70, 0.020, 85.0),
}
COSINE = {"rotation": {"full": 0.8, "without rotation": 0.2, "base": 0.1, "with rotation": 0.7}, "hue": {}}


def score(component: str, metric: str, unit: str, value: float, chance: float) -> Score:
    noise = 0.005 * np.random.default_rng(0).normal(size=1000)
    return Score(
        "poses/block", component, metric, unit, value, value, value, 75, chance, 75, value + noise, head="kernel"
    )


def pose(arm: str, seed: int, layer: str = "output") -> list[Score]:
    x, metres, degrees = READ[arm]
    off = 0.02 * float(np.random.default_rng([seed, len(arm), ord(arm[-1])]).normal())
    rows = [("x", "r2", "", x + off, 0.0), ("x", "error", "m", metres - off / 50, 0.1)]
    found = [score(*row) for row in (*rows, ("angle", "error", "deg", degrees - 40 * off, 90.0))]
    return [replace(one, layer=layer) for one in found]


def seen(arm: str) -> list[Score]:
    found = []
    for name in ("rotation", "hue"):
        cosine = COSINE[name].get(arm, 0.5)
        found += [replace(score("invariance", "cosine", "", cosine, 0.0), target=name)]
        found += [replace(score("readable", "r2", "", 1 - cosine, 0.0), target=name)]
    return found


def course(seed: int) -> list[dict[str, float]]:
    healthy = {"spread": 0.8, "directions": 5.0}
    return [{"epoch": float(e), "loss": -e / 4 - seed / 50, "rank": 9.0 + e, **healthy} for e in range(4)]


@pytest.fixture(scope="session")
def shown(memory: Any) -> Any:
    """40 frames of noise with places beside them."""
    rng = np.random.default_rng(0)
    return memory(rng.integers(0, 255, (40, 24, 24, 3), np.uint8), named={"poses/block": (LABEL, rng.random((40, 2)))})


@pytest.fixture(scope="session")
def questions(shown: Any) -> list[Question]:
    return [
        Question(Pose(("poses/block",)), shown),
        Question(Pose(("poses/block",), "map"), shown, role="sensitivity"),
        Question(Invariance(("rotation", "hue")), shown, role="mechanism"),
    ]


@pytest.fixture(scope="session")
def made(questions: list[Question]) -> Callable[..., audit.Audited]:
    """An audit of both designs in which rotation hurts everything and hue does not matter, or helps."""

    def results(arms: Sequence[str], first: int = 0) -> list[Result]:
        read, mapped, changed = (question.key for question in questions)
        found = []
        for arm in arms:
            for seed in range(first, first + (SEEDS if arm != "pixels" else 1)):
                answers = {read: pose(arm, seed), mapped: pose("full", seed, "map"), changed: seen(arm)}
                epochs = course(seed) if arm not in ("untrained", "pixels") else []
                found.append(Result(arm, seed, answers, "", epochs, f"{seed}-{arm}"))
        return found

    def make(**changes: Any) -> audit.Audited:
        recipe = Recipe.named("shift").having("rotation").having("hue")
        study = Study(
            recipe, Recipe.named("shift"), ("rotation", "hue"), "both", (), {"rotation.degrees": (10.0, 90.0)}, SEEDS
        )
        done, proof = results(list(study.arms())), results(["full", "untrained", RECOMMENDED], SEEDS)
        found = audit.verdicts(study.contrasts(), questions, done)
        found += audit.verdicts([Contrast(RECOMMENDED, "remedy", "full", RECOMMENDED)], questions, proof)
        plain, blind = pose("base", 0), pose("untrained", 0)
        bound = [
            *potential("rotation", questions[0], "untrained wide network", plain, blind),
            *potential("hue", questions[0], "untrained wide network", plain, plain),
        ]
        arm = replace(study.arms()["without rotation"], name=RECOMMENDED)
        done = [*done, *proof, *results(["pixels"])]
        return replace(audit.Audited(questions, [*bound, *found], done, study, arm, (), ("pixels",)), **changes)

    return make


@pytest.fixture(scope="session")
def audited(made: Callable[..., audit.Audited]) -> audit.Audited:
    return made()


@pytest.fixture(scope="session")
def about(audited: audit.Audited, shown: Any) -> About:
    return About(audited, shown, shown, "ssl-robot audit frames.h5 --out report --camera wrist", 30)
