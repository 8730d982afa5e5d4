"""Intervals for paired differences when there are few seeds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """One estimate per row of a table.

    Attributes:
        mean: Mean differences, (rows,).
        low: Lower ends of the 95% intervals.
        high: Upper ends.
        p: Two-sided p-values.
        df: Degrees of freedom of all.
    """

    mean: Array
    low: Array
    high: Array
    p: Array
    df: float


def moderated_t(differences: Array, level: float = 0.95) -> Estimates:
    """Paired t for several rows at once; each row's variance is shrunk towards what the rows have in common.

    With three to eight seeds a row's own variance is a poor guess; borrowing from the other rows more than doubles
    the power (Smyth 2004, limma). Rows that are differences from one common arm are correlated by a half, so that
    they know less together than their number says: the degrees of freedom are capped accordingly. Rows of very
    unequal variance remain too bold where they are the noisy ones.

    >>> estimates = moderated_t(np.array([[0.9, 1.0, 1.1], [-0.1, 0.0, 0.1]]))
    >>> bool(estimates.low[0] > 0), bool(estimates.low[1] > 0)
    (True, False)

    Args:
        differences: (rows, seeds); at least two seeds.
        level: Of the intervals.
    """
    rows, seeds = differences.shape
    own = differences.var(1, ddof=1)
    prior, prior_df = _prior(own, seeds - 1)
    df = min(prior_df + seeds - 1, _effective(rows) * (seeds - 1))  # no more than all rows together know
    shrunk = own if prior_df == 0 else _shrunk(own, seeds - 1, prior, prior_df)
    error = np.sqrt(np.maximum(shrunk, 1e-24) / seeds)
    mean = differences.mean(1)
    reach = stats.t.ppf((1 + level) / 2, df)
    p = 2 * stats.t.sf(np.abs(mean) / error, df)
    return Estimates(mean, mean - reach * error, mean + reach * error, p, df)


def detectable(reach: float, df: float, threshold: float, level: float = 0.95, power: float = 0.9) -> float:
    """The difference that a study finds with some power where a p-value must lie below a threshold.

    Args:
        reach: Half the width of the interval.
        df: Its degrees of freedom.
        threshold: Of the two-sided p-value.
        level: Of the interval.
        power: How often it shall be found.
    """
    error = reach / stats.t.ppf((1 + level) / 2, df)
    return float((stats.t.ppf(1 - threshold / 2, df) + stats.t.ppf(power, df)) * error)


def adjusted(p: Array, called: NDArray[np.bool_] | None = None) -> Array:
    """P-values so adjusted that calling those below .05 keeps false calls to 5% of the calls (Benjamini and Hochberg).

    Where some are never called, whatever their p-value, they count among the tests but not among the calls (Katsevich,
    Sabatti and Bogomolov 2021, https://arxiv.org/abs/1809.01792): else they would let others pass.

    >>> adjusted(np.array([0.01, 0.02, 0.03, 0.5])).round(3).tolist()
    [0.04, 0.04, 0.04, 0.5]

    Args:
        p: Two-sided.
        called: Which may be called; all if not given.

    Returns:
        Adjusted; 1 for what is never called.
    """
    may = np.ones(len(p), bool) if called is None else called
    values = np.ones(len(p))
    order = np.flatnonzero(may)[np.argsort(p[may], kind="stable")]
    shares = p[order] * len(p) / np.arange(1, len(order) + 1)
    values[order] = np.minimum(np.minimum.accumulate(shares[::-1])[::-1], 1)
    return values


def covariance(x: Array) -> Array:
    """Covariance of samples that may be fewer than their numbers, always invertible (Ledoit and Wolf 2004).

    It is drawn towards a multiple of the identity, by as much as makes it nearest to the true one on average
    (https://doi.org/10.1016/S0047-259X(03)00096-4).

    Args:
        x: (n, d).

    Returns:
        (d, d).
    """
    n, d = x.shape
    centred = x - x.mean(0)
    sample: Array = centred.T @ centred / n
    middle = float(np.trace(sample)) / d
    apart = float(np.square(sample).sum()) - d * middle**2  # squared distance to the identity's multiple
    noise = (float(np.square(np.square(centred).sum(1)).sum()) / n - float(np.square(sample).sum())) / n
    share = min(noise, apart) / apart if apart > 0 else 1.0
    floor = 1e-12 + 1e-9 * middle
    shrunk: Array = (1 - share) * sample + (share * middle + floor) * np.eye(d)
    return shrunk


def _effective(rows: int) -> float:
    """Independent rows whose mean variance is as well known as that of rows correlated by a half."""
    return rows / (1 + (rows - 1) * 0.5**2)


def _shrunk(own: Array, df: int, prior: float, prior_df: float) -> Array:
    if np.isinf(prior_df):
        return np.full_like(own, prior)
    shrunk: Array = (prior_df * prior + df * own) / (prior_df + df)
    return shrunk


def _prior(variances: Array, df: int) -> tuple[float, float]:
    """Scale and degrees of freedom of the variances' common prior, from the moments of their logarithms."""
    positive = variances[variances > 0]
    if len(positive) < 2:
        return float(variances.mean()), 0.0
    logs = np.log(positive) - special.digamma(df / 2) + np.log(df / 2)
    excess = logs.var(ddof=1) - special.polygamma(1, df / 2)
    if excess < 1e-6:  # the variances differ by no more than chance: one variance for all
        return float(positive.mean()), float("inf")
    half = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-3, 1e6)
    return float(np.exp(logs.mean() + special.digamma(half) - np.log(half))), 2 * float(half)
