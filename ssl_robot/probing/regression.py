"""Head-form heads that read numbers off frozen features; those that are trained are in ``learned``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.splits import Split

Head = Literal["kernel", "ridge", "neighbours"]
_PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_SCALES = (0.1, 0.3, 1.0, 3.0)  # of the squared distance, relative to its median
_NEIGHBOURS, _TEMPERATURE = 20, 0.1
_MOST_ROWS = 3000  # the closed form is cubic in the training rows


@dataclass(frozen=True)
class Fit:
    """Predictions for the test rows.

    Attributes:
        predicted: (test rows, targets).
        rows: Training rows used.
    """

    predicted: Tensor
    rows: int


def fit(features: Tensor, targets: Tensor, split: Split, head: Head = "kernel") -> Fit:
    """Fit on the training rows, choose penalty and width on the validation rows, predict the test rows.

    Each target has its own penalty and width: position and angle want different ones. Features are standardised.

    Args:
        features: (rows, d).
        targets: (rows, targets).
        split: Which rows are which.
        head: ``kernel`` for radial basis functions, ``ridge`` for a linear read-out, ``neighbours`` for the mean of
            the 20 training rows with the highest cosine, each weighed by its softmax at temperature .1 (Wu 2018, whose
            classes are numbers here): nothing is fitted and nothing chosen.
    """
    if head == "neighbours":
        return _of_neighbours(features, targets, split)
    train = torch.from_numpy(_thinned(split.train))
    validation, test = torch.from_numpy(split.validation), torch.from_numpy(split.test)
    x = standardised(features.double(), train)
    mean, std = targets[train].mean(0), targets[train].std(0).clamp(min=1e-12)
    y = (targets - mean) / std
    best_error = torch.full((y.shape[1],), torch.inf, dtype=torch.float64)
    best = torch.zeros(len(test), y.shape[1], dtype=torch.float64)
    asked = torch.cat([validation, test])
    for gram, cross in _kernels(x, train, asked, head):
        values, vectors = torch.linalg.eigh(gram)
        projected, mapped = vectors.T @ y[train], cross @ vectors
        for penalty in _PENALTIES:
            predicted = mapped @ (projected / (values.clamp(min=0) + penalty)[:, None])
            error = (predicted[: len(validation)] - y[validation]).square().mean(0)
            better = error < best_error
            best_error = torch.where(better, error, best_error)
            best[:, better] = predicted[len(validation) :, better]
    return Fit(best * std + mean, len(train))


def _of_neighbours(features: Tensor, targets: Tensor, split: Split) -> Fit:
    train, test = torch.from_numpy(split.train), torch.from_numpy(split.test)
    unit = F.normalize(features.double(), dim=1)
    cosines, places = (unit[test] @ unit[train].T).topk(min(_NEIGHBOURS, len(train)), dim=1)
    weights = (cosines / _TEMPERATURE).softmax(1)
    return Fit((weights[:, :, None] * targets[train][places]).sum(1), len(train))


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(rows) <= _MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.int64)]


def standardised(x: Tensor, train: Tensor) -> Tensor:
    """Features with mean 0 and standard deviation 1 over the training rows; what hardly moves is not blown up.

    Args:
        x: (rows, d).
        train: Numbers of the training rows.
    """
    std = x[train].std(0)
    floor = 1e-3 * std.mean() + 1e-12  # a feature that hardly moves is noise, not to be blown up
    return (x - x[train].mean(0)) / std.clamp(min=float(floor))


def _kernels(x: Tensor, train: Tensor, asked: Tensor, head: Head) -> Iterator[tuple[Tensor, Tensor]]:
    """Gram matrices among the training rows, and from the asked rows to them."""
    if head == "ridge":
        scale = len(train) * x.shape[1] ** 0.5
        yield x[train] @ x[train].T / scale, x[asked] @ x[train].T / scale
        return
    near, far = (torch.cdist(x[rows], x[train]).square() for rows in (train, asked))
    median = near.median().clamp(min=1e-12)
    for scale in _SCALES:
        yield torch.exp(-scale * near / median), torch.exp(-scale * far / median)
