"""How sure a score is: what it would have been with other test episodes."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
RESAMPLES = 1000


def counts(episodes: NDArray[np.int64]) -> Array:
    """How often each test row counts: once each in the first line, then episodes drawn with replacement.

    The same episodes are always drawn alike, so that scores of two encoders can be subtracted line by line.

    >>> counts(np.array([4, 4, 9])).shape
    (1001, 3)

    Args:
        episodes: Of each test row, (rows,).

    Returns:
        (1 + resamples, rows).
    """
    _, place = np.unique(episodes, return_inverse=True)
    count = int(place.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return np.concatenate([np.ones((1, len(place))), drawn[:, place]])


def means(values: NDArray[np.generic], weights: Array) -> Array:
    """The mean of what each row scored, for each resample."""
    found: Array = weights @ np.asarray(values, np.float64) / weights.sum(1)
    return found


def r2(predicted: Tensor, truth: Tensor, weights: Array) -> Array:
    """1 - residual / variance for each resample, (1 + resamples,); 0 where the truth does not vary.

    Args:
        predicted: (rows,), or (rows, columns) whose residuals and variances are added up.
        truth: The same shape.
        weights: From ``counts``.
    """
    y = truth.reshape(len(truth), -1).numpy()
    residual = (predicted - truth).reshape(len(truth), -1).square().sum(1).numpy()
    centred, n = y - y.mean(0), weights.sum(1)
    spread = weights @ np.square(centred).sum(1) - np.square(weights @ centred).sum(1) / n
    return np.where(spread > 1e-12, 1 - (weights @ residual) / np.maximum(spread, 1e-12), 0.0)


def interval(resampled: Array) -> tuple[float, float, float]:
    """The score itself, and the ends of its 95% interval.

    Args:
        resampled: The score, then those of the resamples.
    """
    low, high = np.percentile(resampled[1:], [2.5, 97.5])
    return float(resampled[0]), float(low), float(high)
