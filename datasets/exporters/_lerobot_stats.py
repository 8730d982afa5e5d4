"""The statistics that LeRobot keeps of every feature, for each episode and for all of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_LEVELS = np.arange(256) / 255.0

Stats = Mapping[str, NDArray[Any]]


def of_numbers(values: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Statistics of a feature over the rows of an episode, each of (width,).

    Args:
        values: (rows, width).
    """
    quantiles = np.quantile(values, list(_QUANTILES.values()), axis=0)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "count": np.array([len(values)]),
        **dict(zip(_QUANTILES, quantiles, strict=True)),
    }


class Pixels:
    """How often each level was seen in each channel: all statistics follow from that, exactly."""

    def __init__(self) -> None:
        self._seen = np.zeros((3, 256), np.int64)
        self._frames = 0

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Count the pixels of a frame, (h, w, 3)."""
        for channel in range(3):
            self._seen[channel] += np.bincount(frame[..., channel].reshape(-1), minlength=256)
        self._frames += 1

    def stats(self) -> dict[str, NDArray[Any]]:
        """Statistics of the levels from 0 to 1, each of (3, 1, 1); ``count`` is of frames."""
        share = self._seen / self._seen.sum(1, keepdims=True)
        mean = share @ _LEVELS
        below = np.cumsum(share, 1)
        levels = [_LEVELS[(below < quantile - 1e-12).sum(1)] for quantile in _QUANTILES.values()]
        found = {
            "min": _LEVELS[(self._seen > 0).argmax(1)],
            "max": _LEVELS[255 - (self._seen[:, ::-1] > 0).argmax(1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(share @ _LEVELS**2 - mean**2, 0.0)),
            **dict(zip(_QUANTILES, levels, strict=True)),
        }
        return {**{name: value.reshape(3, 1, 1) for name, value in found.items()}, "count": np.array([self._frames])}


class Total:
    """A feature's statistics over all episodes, from those of each.

    Quantiles are the mean of the episodes' own, weighted by their rows, as LeRobot aggregates them.
    """

    def __init__(self) -> None:
        self._count = 0
        self._low: Any = np.inf
        self._high: Any = -np.inf
        self._sums: dict[str, Any] = dict.fromkeys(("mean", "square", *_QUANTILES), 0.0)

    def add(self, stats: Stats) -> None:
        """Count an episode."""
        count = int(stats["count"][0])
        self._count += count
        self._low, self._high = np.minimum(self._low, stats["min"]), np.maximum(self._high, stats["max"])
        values = {**stats, "square": stats["std"] ** 2 + stats["mean"] ** 2}
        self._sums = {name: total + count * values[name] for name, total in self._sums.items()}

    def stats(self) -> dict[str, Any]:
        """The statistics as JSON takes them."""
        means = {name: total / self._count for name, total in self._sums.items()}
        std = np.sqrt(np.maximum(means.pop("square") - means["mean"] ** 2, 0.0))
        found = {"min": self._low, "max": self._high, "mean": means.pop("mean"), "std": std, **means}
        return {**{name: value.tolist() for name, value in found.items()}, "count": [self._count]}
