"""Verdicts on scores whose answer is known."""

import numpy as np
import pytest

from ssl_robot.probes import Score
from ssl_robot.verdicts import potential, trained


def score(value, metric="r2", unit="", chance=0.0, noise=0.005):
    resampled = value + noise * np.random.default_rng(0).normal(size=1000)
    return Score("poses/block", "x", metric, unit, value, value - noise, value + noise, 100, chance, 100, resampled)


def runs(values, **kinds):
    return [[score(value, **kinds)] for value in values]


def verdict(without, having, start=(0.0, 0.01, -0.01, 0.0), **kinds):
    pairs = {"flip": (runs(without, **kinds), runs(having, **kinds))}
    return trained("add_one_in", pairs, runs(start, **kinds), "output")[0]


def test_a_loss_hurts():
    found = verdict([0.9, 0.91, 0.9, 0.89], [0.5, 0.52, 0.5, 0.49])
    assert (found.verdict, found.held) == ("hurts", True)
    assert found.effect == pytest.approx(-0.3975)
    assert found.low < found.effect < found.high


def test_a_gain_helps():
    assert verdict([0.5, 0.52, 0.5, 0.49], [0.9, 0.91, 0.9, 0.89]).verdict == "helps"


def test_larger_errors_hurt():
    angles = {"metric": "error", "unit": "deg", "chance": 90.0}
    found = verdict([30, 31, 29, 30], [60, 61, 59, 62], start=(88, 89, 90, 88), **angles)
    assert (found.verdict, found.unit, found.margin) == ("hurts", "deg", 3.0)
    assert verdict([60, 61, 59, 62], [30, 31, 29, 30], start=(88, 89, 90, 88), **angles).verdict == "helps"


def test_a_small_sure_change_is_negligible():
    assert verdict([0.9, 0.91, 0.9, 0.89], [0.89, 0.9, 0.89, 0.88]).verdict == "negligible"


def test_noise_is_no_evidence():
    assert verdict([0.9, 0.5, 0.7, 0.2], [0.5, 0.9, 0.3, 0.7]).verdict == "no_evidence"


def test_what_was_never_held_cannot_be_lost():
    found = verdict([0.2, 0.21, 0.2, 0.19], [0.05, 0.06, 0.05, 0.04], start=(0.3, 0.31, 0.3, 0.3))
    assert (found.verdict, found.held) == ("no_evidence", False)


def test_potential_harm_has_the_sign_of_what_is_lost():
    flip = potential("flip", [score(0.9)], [score(0.1)], "output")[0]
    assert (flip.verdict, flip.held) == ("hurts", True)
    assert potential("flip", [score(0.9)], [score(0.91)], "output")[0].verdict == "negligible"
    assert not potential("flip", [score(0.0, noise=0.05)], [score(0.0)], "output")[0].held
