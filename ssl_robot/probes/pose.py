"""Where things are and which way they point, component by component."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot import regression
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Label, find_label
from ssl_robot.probes import Reading, Score
from ssl_robot.readers import Reader
from ssl_robot.regression import Head
from ssl_robot.splits import Split, split

Sums = NDArray[np.float64]
_RESAMPLES = 1000


@dataclass(frozen=True)
class Pose(Reading):
    """Where things are and which way they point, read off frozen features component by component.

    Attributes:
        target: Labels to read; all but the actions if not given.
        layer: The vector a policy reads, or the feature map.
        head: Closed-form read-out: kernel (radial basis functions) or ridge (linear), or the mean of the 20 nearest
            neighbours by cosine.
    """

    target: tuple[str, ...] = ()
    layer: Literal["output", "map"] = "output"
    head: Literal["kernel", "ridge", "neighbours"] = "kernel"

    def ask(self, reader: Reader, frames: Frames) -> list[Score]:
        """R2 of every component, and its error in its unit."""
        asked = self.target or tuple(name for name in frames.label_names if name != "actions")
        if not asked:
            raise InputError("The recording has no labels to read: a probe needs poses or states beside the frames.")
        parts, features = split(frames), reader.everything(frames, self.layer)
        if self.layer == "map":
            features = F.adaptive_avg_pool2d(features, 4).flatten(1)
        return [item for name in asked for item in score(features, frames, name, parts, self.head)]


def score(features: Tensor, frames: Frames, target: str, parts: Split, head: Head = "kernel") -> list[Score]:
    """How well a label can be read off features.

    Args:
        features: One row per frame, (frames, d).
        frames: Where the label and the episodes come from.
        target: Name of the label.
        parts: Rows for the head, for its regularisation and for the scores.
        head: See ``regression.fit``.
    """
    label = find_label(frames, target)
    values = torch.from_numpy(frames.values(label.name))
    missing = int((~values.isfinite().all(1)).sum())
    if missing:
        raise InputError(f"{label.name} is not known in {missing} row(s): ask for other labels with --target.")
    columns, names = _columns(values, label)
    predicted = regression.fit(features, columns, parts, head).predicted
    test = torch.from_numpy(parts.test)
    weights = _resamples(frames.episodes[parts.test])
    episodes = len(np.unique(frames.episodes[parts.test]))
    chance = columns[torch.from_numpy(parts.train)].mean(0).expand_as(predicted)
    scores = []
    for i, name in enumerate(names):
        truth = columns[test, i]
        r2, guess = (_r2(guessed[:, i], truth, weights) for guessed in (predicted, chance))
        scores.append(Score(label.name, name, "r2", "", *_interval(r2), len(test), float(guess[0]), episodes, r2[1:]))
    for name, unit, right, wrong in _errors(predicted, chance, columns[test], label):
        value, guess = _mean(right, weights), _mean(wrong, weights)
        scores.append(
            Score(label.name, name, "error", unit, *_interval(value), len(test), float(guess[0]), episodes, value[1:])
        )
    return scores


def _columns(values: Tensor, label: Label) -> tuple[Tensor, list[str]]:
    """What a head regresses: an angle becomes its cosine and sine."""
    columns: list[Tensor] = []
    names: list[str] = []
    for i, component in enumerate(label.components):
        if label.circular[i]:
            columns += [values[:, i].cos(), values[:, i].sin()]
            names += [f"{component} cos", f"{component} sin"]
        else:
            columns.append(values[:, i])
            names.append(component)
    return torch.stack(columns, 1), names


def _errors(
    predicted: Tensor, chance: Tensor, truth: Tensor, label: Label
) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Absolute errors of each component in its unit, of the head and of chance; angles in degrees."""
    column = 0
    for i, component in enumerate(label.components):
        if label.circular[i]:
            right, wrong, true = (
                torch.atan2(part[:, column + 1], part[:, column]) for part in (predicted, chance, truth)
            )
            yield component, "deg", _turn(right - true), _turn(wrong - true)
            column += 2
        else:
            right, wrong = ((part[:, column] - truth[:, column]).abs() for part in (predicted, chance))
            yield component, label.units[i], right, wrong
            column += 1


def _turn(difference: Tensor) -> Tensor:
    """Size of an angle in degrees, the short way round."""
    return torch.rad2deg((torch.remainder(difference + math.pi, 2 * math.pi) - math.pi).abs())


def _resamples(episodes: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each test row counts: once each in the first line, then episodes drawn with replacement."""
    _, place = np.unique(episodes, return_inverse=True)
    count = int(place.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    return np.concatenate([np.ones((1, len(place))), drawn[:, place]])


def _r2(predicted: Tensor, truth: Tensor, weights: NDArray[np.float64]) -> Sums:
    """1 - residual / variance for each resample, (1 + resamples,); 0 where the truth does not vary."""
    y, residual = truth.numpy(), (predicted - truth).square().numpy()
    n = weights.sum(1)
    spread = weights @ np.square(y - y.mean()) - np.square(weights @ (y - y.mean())) / n
    return np.where(spread > 1e-12, 1 - (weights @ residual) / np.maximum(spread, 1e-12), 0.0)


def _mean(errors: Tensor, weights: NDArray[np.float64]) -> Sums:
    means: Sums = weights @ errors.numpy() / weights.sum(1)
    return means


def _interval(resampled: Sums) -> tuple[float, float, float]:
    low, high = np.percentile(resampled[1:], [2.5, 97.5])
    return float(resampled[0]), float(low), float(high)
