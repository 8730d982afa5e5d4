"""One number for each arm, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from ssl_robot.audit import Audited
from ssl_robot.auditing.design import RECOMMENDED
from ssl_robot.auditing.runs import Result
from ssl_robot.probes import Score
from ssl_robot.reporting.figures import levels
from ssl_robot.reporting.overall import Level, overall


def answered(audited: Audited, arms: dict[str, list[list[float]]], **changes: object) -> Audited:
    """An audit whose arms read, seed by seed, each component as it is told."""
    key = audited.questions[0].key

    def score(place: int, value: float) -> Score:
        return Score("poses/block", str(place), "r2", "", value, value, value, 75, 0.0, 75, np.empty(0))

    results = [
        Result(arm, seed, {key: [replace(score(i, v), **changes) for i, v in enumerate(row)]})
        for arm, rows in arms.items()
        for seed, row in enumerate(rows)
    ]
    return replace(audited, results=results)


def level(audited: Audited, rows: list[list[float]]) -> Level:
    [found] = overall(answered(audited, {"full": rows}))
    return found


def test_it_is_the_mean_of_the_middle_half(audited: Audited) -> None:
    found = level(audited, [[-9.0, 0.2], [0.4, 1.0]])
    assert found.middle == pytest.approx(0.3)
    assert found.seeds == 2


def test_seeds_that_agree_have_no_interval(audited: Audited) -> None:
    found = level(audited, [[0.1, 0.9, 0.5]] * 5)
    assert found.low == found.middle == found.high


def test_one_encoder_has_no_interval(audited: Audited) -> None:
    found = level(audited, [[0.1, 0.9, 0.5]])
    assert (found.low, found.high, found.seeds) == (found.middle, found.middle, 1)


def test_seeds_are_drawn_whole(audited: Audited) -> None:
    """Two seeds that are good at everything or at nothing: a draw may hold only the one, or only the other."""
    found = level(audited, [[0.0] * 40, [1.0] * 40])
    assert (found.low, found.middle, found.high) == (0.0, 0.5, 1.0)


def test_the_interval_covers_the_mean_of_many_seeds(audited: Audited) -> None:
    """Of 60 studies of 20 seeds about 95% hold the truth, which is .5 by symmetry; 49 is what chance hardly gives."""
    rng = np.random.default_rng(0)
    studies = [level(audited, rng.normal(0.5, 0.1, (20, 1)).repeat(4, 1).tolist()) for _ in range(60)]
    assert sum(found.low <= 0.5 <= found.high for found in studies) >= 49


def test_the_first_recipe_is_first_and_the_recommended_one_last(audited: Audited) -> None:
    rows = [[0.1, 0.2], [0.3, 0.4]]
    arms = {"untrained": rows, RECOMMENDED: rows, "full": rows, "pixels": rows[:1]}
    assert [found.name for found in overall(answered(audited, arms))] == ["full", "untrained", "pixels", RECOMMENDED]


def test_what_is_no_share_and_what_stands_alone_is_left_out(audited: Audited) -> None:
    assert overall(answered(audited, {"full": [[0.1, 0.2]]}, metric="error", unit="deg")) == []
    assert overall(answered(audited, {"full": [[0.1]]})) == []
    assert overall(audited) == []  # one component has a share


def test_a_failed_run_is_not_counted(audited: Audited) -> None:
    whole = answered(audited, {"full": [[0.1, 0.2], [0.3, 0.4]]})
    broken = replace(whole, results=[*whole.results, Result("full", 2, {}, "out of memory")])
    assert overall(broken) == overall(whole)


def test_it_is_drawn(audited: Audited) -> None:
    found = overall(answered(audited, {"full": [[0.1, 0.2], [0.3, 0.4]], "pixels": [[0.5, 0.6]]}))
    [axis] = levels(found).axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["full", "pixels"]


def test_the_interval_is_as_wide_as_95_percent_take(audited: Audited) -> None:
    """The mean of a normal sample's middle half has a standard error of 1.09 sigma over the root of the sample."""
    rng = np.random.default_rng(1)
    studies = [level(audited, rng.normal(0.5, 0.1, (20, 1)).repeat(4, 1).tolist()) for _ in range(12)]
    widths = [found.high - found.low for found in studies]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 1.09 * 0.1 / 20**0.5, rel=0.2)
