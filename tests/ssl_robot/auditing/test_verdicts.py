"""Verdicts on scores whose answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ssl_robot.arrays import Arrays
from ssl_robot.auditing.design import Contrast
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.verdicts import Finding, called, judged, potential, trained
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose

ASKED = Question(Pose(), Arrays(np.zeros((1, 4, 4, 3), np.uint8)))


def score(
    value: float, metric: str = "r2", unit: str = "", chance: float = 0.0, noise: float = 0.005, episodes: int = 100,
    component: str = "x",
) -> Score:  # fmt: skip
    resampled = value + noise * np.random.default_rng(0).normal(size=1000)
    low, high = value - noise, value + noise
    return Score("poses/block", component, metric, unit, value, low, high, 100, chance, episodes, resampled)


def runs(values: Sequence[float], **kinds: Any) -> list[list[Score]]:
    return [[score(value, **kinds)] for value in values]


def found(arms: dict[str, Sequence[float]], start: Sequence[float] = (0.0, 0.01, -0.01, 0.0), **kinds: Any) -> Any:
    """Findings on arms that are all set against ``without``."""
    names = [name for name in arms if name != "without"]
    contrasts = [Contrast(name, "add_one_in", "without", name) for name in names]
    scores = {name: runs(values, **kinds) for name, values in arms.items()}
    return dict(zip(names, called(trained(ASKED, contrasts, scores, runs(start, **kinds))), strict=True))


def verdict(without: Sequence[float], having: Sequence[float], **kinds: Any) -> Finding:
    finding: Finding = found({"without": without, "flip": having}, **kinds)["flip"]
    return finding


def test_a_loss_hurts() -> None:
    line = verdict([0.9, 0.91, 0.9, 0.89], [0.5, 0.52, 0.5, 0.49])
    assert (line.verdict, line.held, line.safe) == ("hurts", True, False)
    assert line.effect == pytest.approx(-0.3975)
    assert line.low < line.effect < line.high


def test_a_gain_helps() -> None:
    line = verdict([0.5, 0.52, 0.5, 0.49], [0.9, 0.91, 0.9, 0.89])
    assert (line.verdict, line.safe) == ("helps", True)


def test_larger_errors_hurt() -> None:
    angles = {"metric": "error", "unit": "deg", "chance": 90.0}
    line = verdict([30, 31, 29, 30], [60, 61, 59, 62], start=(88, 89, 90, 88), **angles)
    assert (line.verdict, line.unit, line.margin, line.better) == ("hurts", "deg", 3.0, -line.effect)
    assert verdict([60, 61, 59, 62], [30, 31, 29, 30], start=(88, 89, 90, 88), **angles).verdict == "helps"


def test_a_small_sure_change_is_negligible() -> None:
    line = verdict([0.9, 0.91, 0.9, 0.89], [0.89, 0.9, 0.89, 0.88])
    assert (line.verdict, line.safe) == ("negligible", True)


def test_noise_is_no_evidence() -> None:
    line = verdict([0.9, 0.5, 0.7, 0.2], [0.5, 0.9, 0.3, 0.7])
    assert (line.verdict, line.safe) == ("no_evidence", False)


def test_what_was_never_held_cannot_be_lost() -> None:
    line = verdict([0.2, 0.21, 0.2, 0.19], [0.05, 0.06, 0.05, 0.04], start=(0.3, 0.31, 0.3, 0.3))
    assert (line.verdict, line.held) == ("no_evidence", False)


@pytest.mark.parametrize("step", [-0.01, 0.01])
def test_whether_something_is_held_does_not_hang_on_the_sign_of_noise(step: float) -> None:
    start = (0.3, 0.31, 0.29, 0.3)
    line = verdict([0.3, 0.35, 0.25, 0.3], np.array([0.3, 0.25, 0.35, 0.3]) + step, start=start)
    same = verdict([0.3, 0.31, 0.29, 0.3], np.array([0.31, 0.3, 0.3, 0.29]) + step, start=start)
    assert (line.held, line.verdict) == (False, "no_evidence")  # it may well read less than random weights do
    assert (same.held, same.verdict) == (True, "negligible")


def test_calls_that_are_never_made_let_no_other_pass() -> None:
    """Fifteen effects that are sure and too small to matter, beside ten of nothing."""
    rng, calls = np.random.default_rng(6), 0
    pair = {"a": runs([0.9, 0.91]), "b": runs([0.88, 0.88])}
    [plain] = trained(ASKED, [Contrast("flip", "add_one_in", "a", "b")], pair, runs([0.0, 0.01]))
    small = replace(plain, p=1e-9, low=-0.03, high=-0.01, held=True)
    for _ in range(200):
        noisy = [replace(small, p=float(p), low=0.01, high=0.2, effect=0.1) for p in rng.uniform(size=10)]
        lines = called([small] * 15 + noisy)
        assert {line.verdict for line in lines[:15]} == {"negligible"}
        calls += any(line.verdict != "no_evidence" for line in lines[15:])
    assert calls <= 20


def test_what_could_have_been_seen_is_told_at_the_table_s_own_threshold() -> None:
    """Among more questions an effect must be larger; one that is within the margin is not called at all."""
    rng = np.random.default_rng(7)
    wide = {name: 0.6 + rng.normal(0, 0.1, 5) for name in ("without", "a", "b", "c")}
    few = found({name: wide[name] for name in ("without", "a")}, np.zeros(5))["a"].detectable
    lines = called([replace(found(wide, np.zeros(5))["a"], p=0.5)] * 20)
    assert few < lines[0].detectable
    sharp = found({"without": [0.9, 0.901, 0.9, 0.899], "a": [0.9, 0.899, 0.9, 0.901]})["a"]
    assert sharp.detectable == sharp.margin


@pytest.mark.parametrize(("gain", "held"), [(0.04, False), (0.06, True)])
def test_what_is_held_within_the_margin_has_no_weight(gain: float, held: bool) -> None:
    """Sure to be more than an untrained encoder holds, but no more than would be called negligible if it were lost."""
    start = np.array([0.3, 0.31, 0.3, 0.29])
    lost = verdict(start + gain, start - 0.2, start=start)
    assert (lost.held, lost.verdict) == (True, "hurts")  # the untrained one holds it as well
    lost = verdict(gain + 0.01 * start, -0.03 * start, start=0 * start)
    assert lost.held == held
    gained = verdict(0.5 * start, start + gain, start=start)
    assert gained.verdict == ("helps" if held else "regains")  # what random weights read comes back


def test_what_an_untrained_encoder_reads_too_can_be_lost() -> None:
    """A colour that every network shows, until one is trained to ignore it."""
    start = (0.98, 0.99, 0.97, 0.98)
    line = verdict([0.99, 0.98, 0.97, 0.98], [0.2, 0.25, 0.22, 0.24], start=start)
    assert (line.verdict, line.held) == ("hurts", True)
    kept = verdict([0.99, 0.98, 0.97, 0.98], [0.98, 0.98, 0.98, 0.97], start=start)
    assert (kept.verdict, kept.held) == ("negligible", True)  # and not: never held, for both read it
    noisy = verdict([0.2, 0.3, 0.1, 0.2], [0.35, 0.46, 0.24, 0.36], start=(0.3, 0.3, 0.3, 0.3))  # up to what was there
    assert (noisy.verdict, noisy.held) == ("regains", True)
    back = verdict([0.6, 0.61, 0.59, 0.6], [0.98, 0.98, 0.97, 0.98], start=start)  # no more than what was there
    assert (back.verdict, back.held) == ("regains", True)
    sunk = verdict([0.6, 0.61, 0.59, 0.6], [0.2, 0.25, 0.22, 0.24], start=start)  # training alone had taken it
    assert (sunk.verdict, sunk.held) == ("no_evidence", False)


def test_few_episodes_carry_no_verdict() -> None:
    assert verdict([0.9, 0.91, 0.9, 0.89], [0.5, 0.52, 0.5, 0.49], episodes=9).verdict == "no_evidence"


def test_many_comparisons_raise_the_bar() -> None:
    """Of tables of ten arms that are nothing about 5% call something, though each row alone would in 5%."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        arms = {name: 0.5 + rng.normal(0, 0.1, 5) for name in ("without", *map(str, range(10)))}
        hits += any(line.verdict in ("hurts", "helps", "regains") for line in found(arms, np.zeros(5)).values())
    assert hits <= 20


def test_shares_have_margins_and_returns_none_where_success_is_told() -> None:
    scores = [score(0.5, "success", component=""), score(0.7, "normalised", component=""), score(-3.0, "return")]
    assert judged(scores) == [0]
    assert judged(scores[1:]) == [0]
    line = verdict([0.9, 0.92, 0.88, 0.9], [0.5, 0.52, 0.5, 0.49], metric="success", component="")
    assert (line.verdict, line.margin, line.unit, line.what) == ("hurts", 0.05, "success", "block")


def test_errors_in_the_components_unit_stand_beside() -> None:
    def both(r2: float, error: float) -> list[Score]:
        return [score(r2), score(error, "error", "m")]

    scores = {"a": [both(0.9, 0.01)] * 3, "b": [both(0.5, 0.03)] * 3}
    (line,) = trained(ASKED, [Contrast("flip", "add_one_in", "a", "b")], scores, [both(0.1, 0.05)] * 3)
    assert (line.error_without, line.error_having, line.error_unit) == (pytest.approx(0.01), pytest.approx(0.03), "m")


def test_potential_harm_has_the_sign_of_what_is_lost() -> None:
    def one(before: Score, after: Score) -> Finding:
        return potential("flip", ASKED, "wide", [before], [after])[0]

    assert (one(score(0.9), score(0.1)).verdict, one(score(0.9), score(0.1)).held) == ("hurts", True)
    assert one(score(0.9), score(0.91)).verdict == "negligible"
    assert not one(score(0.0, noise=0.05), score(0.0)).held
    assert [one(score(value), score(-0.2)).held for value in (0.04, 0.06)] == [False, True]  # sure, but of weight?


TINY = np.array([0.001, -0.001, 0.0, 0.002])


def test_seeds_are_set_against_themselves() -> None:
    """What one seed reads differs from another by far more than by what the invariance takes."""
    seeds = np.array([0.3, 0.5, 0.7, 0.9])
    assert verdict(seeds, seeds - 0.1 + TINY).verdict == "hurts"
    start = np.array([0.1, 0.3, 0.5, 0.7])
    line = verdict(start - 0.1, start + 0.2 + TINY, start=start)
    assert (line.verdict, line.held) == ("helps", True)


def test_a_table_is_one_design_and_one_role_of_all_components() -> None:
    row = replace(verdict([0.6, 0.61, 0.6, 0.59], [0.9, 0.91, 0.9, 0.89]), p=0.02, held=True, episodes=100)
    elsewhere = [replace(row, design="leave_one_out", p=0.9)] * 20 + [replace(row, role="sensitivity", p=0.9)] * 20
    assert called([row, *elsewhere])[0].p == pytest.approx(0.02)
    assert called([row, replace(row, component="y", probe="linear", p=0.9)])[0].p == pytest.approx(0.04)


def test_a_larger_error_is_not_safe_and_a_smaller_one_is() -> None:
    angles: dict[str, Any] = {"metric": "error", "unit": "deg", "chance": 90.0, "start": (88, 89, 90, 88)}
    less, more = (30, 31, 29, 30), (60, 61, 59, 62)
    assert (verdict(less, more, **angles).safe, verdict(more, less, **angles).safe) == (False, True)


@pytest.mark.parametrize("arms", [1, 10])
def test_whether_something_is_held_does_not_hang_on_how_often_its_arm_is_compared(arms: int) -> None:
    """Three seeds that all ten comparisons share are still three."""
    rng = np.random.default_rng(0)
    having = {str(i): rng.normal(-0.4, 0.05, 3) for i in range(arms)}
    assert not any(line.held for line in found({"without": (0.1, 0.2, 0.3), **having}, start=np.zeros(3)).values())


@pytest.mark.parametrize(("level", "held"), [(0.04, False), (0.06, True)])
def test_what_an_untrained_encoder_reads_within_the_margin_is_not_there_to_be_lost(level: float, held: bool) -> None:
    start = np.full(4, level)
    assert verdict(start, start - 0.5 + TINY, start=start).held == held


def test_potential_harm_is_of_what_is_surely_held_on_either_side() -> None:
    def one(before: Score, after: Score) -> Finding:
        return potential("flip", ASKED, "wide", [before], [after])[0]

    assert not one(score(0.3, noise=0.3), score(-0.5)).held
    line = one(score(0.0), score(0.5))
    assert (line.verdict, line.held) == ("helps", True)


def test_ten_episodes_carry_a_verdict() -> None:
    assert verdict([0.9, 0.91, 0.9, 0.89], [0.5, 0.52, 0.5, 0.49], episodes=10).verdict == "hurts"


def test_a_finding_tells_the_dose_and_what_was_read() -> None:
    scores = {"a": runs([0.9, 0.91, 0.9]), "b": runs([0.5, 0.52, 0.5])}
    swept = [Contrast("hue", "sweep", "a", "b", dose) for dose in (0.05, 0.5)]
    lines = trained(ASKED, swept, scores, runs([0.0, 0.01, 0.0]))
    assert [(line.design, line.dose) for line in lines] == [("sweep", 0.05), ("sweep", 0.5)]
    assert {line.layer for line in lines} == {scores["a"][0][0].layer}
    beside = replace(ASKED, role="sensitivity", part="projector")
    lines = trained(beside, swept, scores, runs([0.0, 0.01, 0.0]))
    assert {line.layer for line in lines} == {"projector"}
