"""How much of everything each arm holds: one number with an interval, for the eye; it decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

from ssl_robot.audit import Audited
from ssl_robot.auditing.design import RECOMMENDED
from ssl_robot.auditing.verdicts import judged
from ssl_robot.probes import Score

_SHARES = ("r2", "success", "normalised", "accuracy", "ap")  # 1 is all there is to hold, in each of them
_CUT, _DRAWS, _SEED = 0.25, 2000, 0


@dataclass(frozen=True)
class Level:
    """An arm's scores taken together.

    Attributes:
        name: The arm, the baseline or the encoder.
        middle: Interquartile mean over components and seeds: the mean of the middle half of all scores, which one
            component that is read badly cannot pull down.
        low: Lower end of its 95% interval over seeds; the mean itself where there is one seed.
        high: Upper end.
        seeds: How many encoders.
    """

    name: str
    middle: float
    low: float
    high: float
    seeds: int


def overall(audited: Audited) -> list[Level]:
    """A level for each arm whose answers are whole, the one that the study began with first; none of one component.

    As in Agarwal 2021 (https://arxiv.org/abs/2108.13264), but that seeds are drawn whole: one encoder answers every
    component, so its scores are not independent.
    """
    levels, begun = [], audited.study.start
    arms = dict.fromkeys(r.arm for r in audited.results)
    for arm in sorted(arms, key=lambda arm: (arm != begun, arm == RECOMMENDED)):  # stable: the others as they stand
        of = [r for r in audited.results if r.arm == arm and not r.failure]
        keys = [q.key for q in audited.questions if q.role == "verdict"]
        rows = [[s for key in keys for s in _shares(result.answers.get(key, ()))] for result in of]
        if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            levels.append(_level(arm, np.array([[score.value for score in row] for row in rows])))
    return levels


def _shares(scores: Sequence[Score]) -> list[Score]:
    return [scores[i] for i in judged(scores) if scores[i].metric in _SHARES]


def _level(name: str, values: NDArray[np.float64]) -> Level:
    """Of scores, (seeds, components)."""
    drawn = np.random.default_rng(_SEED).integers(0, len(values), (_DRAWS, len(values)))
    means = trim_mean(values[drawn].reshape(_DRAWS, -1), _CUT, axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Level(name, float(trim_mean(values, _CUT, axis=None)), float(low), float(high), len(values))
