"""Signs that a run is going wrong, while there is time to stop it."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

COLLAPSED = 0.1  # spread, near 1 in a healthy run
# Directions, mean of an epoch. On PushT, healthy runs with all of SimSiam's views stay above 1.29 (256 or 2,000
# frames); without stop-gradient they end between 1.02 and 1.12.
COLLINEAR = 1.18


def collapsed(epoch: Mapping[str, float]) -> bool:
    """Whether all frames had nearly the same embedding in an epoch, or its opposite.

    Args:
        epoch: Its figures, ``spread`` and ``directions`` among them.
    """
    return epoch["spread"] < COLLAPSED or epoch["directions"] < COLLINEAR


def guessed(matched: float, batch: int, frames: int) -> bool:
    """Whether views were told apart no better than by guessing, within three standard deviations of it.

    Args:
        matched: Share of frames whose other view was the nearest.
        batch: How many there were to choose from.
        frames: How many were looked at.
    """
    chance = 1 / batch
    return matched < chance + 3 * math.sqrt(chance * (1 - chance) / frames)


def directions(embeddings: Tensor) -> Tensor:
    """How many directions the embeddings take up: d if they point everywhere, 1 if all lie on one line.

    One over the mean squared cosine of different frames, as seen from their mean. SimSiam's last batch norm centres
    every batch, so that a collapse is a line through 0 on which ``spread`` stays at 2 * sqrt(f * (1 - f)), f the share
    of frames on one side; without such a norm, healthy embeddings may all lie on one side of 0.

    Args:
        embeddings: (b, d).

    Returns:
        A scalar, detached.
    """
    values = embeddings.detach().float()
    cosines = _cosines(_unit(values - values.mean(0)))
    b = len(cosines)
    return (b * (b - 1)) / (cosines.square().sum() - b).clamp(min=1e-12)


def _unit(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings.detach().float(), dim=1)


def _cosines(unit: Tensor) -> Tensor:
    return unit @ unit.T


def spread(embeddings: Tensor) -> Tensor:
    """How far unit embeddings spread over the sphere: 1 if evenly, 0 if they are all the same.

    The per-channel standard deviation of z/|z|, times the root of the number of channels (SimSiam, section 4.1: a
    healthy run lies near 1/sqrt(d) before that scaling).

    >>> import torch
    >>> float(spread(torch.ones(8, 4)))
    0.0

    Args:
        embeddings: (b, d).

    Returns:
        A scalar, detached.
    """
    return _spread(_unit(embeddings))


def _spread(unit: Tensor) -> Tensor:
    value: Tensor = unit.std(0).mean() * unit.shape[1] ** 0.5
    return value


def rank(embeddings: Tensor) -> Tensor:
    """How many directions matter: the exponential of the entropy of the singular values (RankMe, Garrido 2023).

    Args:
        embeddings: (b, d).

    Returns:
        A scalar between 1 and the smaller of b and d, detached; no number if an embedding is none.
    """
    rows = embeddings.detach().float()
    values = torch.linalg.svdvals(rows.nan_to_num(0, 0, 0))  # which refuses what is no number
    share = values / values.sum().clamp(min=1e-12) + 1e-7
    value: Tensor = (-(share * share.log()).sum()).exp()
    return value.where(rows.isfinite().all(), torch.nan)


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """How far apart two views of a frame lie on the sphere: mean squared distance (Wang and Isola 2020).

    Args:
        first: (b, d).
        second: (b, d).

    Returns:
        A scalar from 0, where views are not told apart, to 4, detached.
    """
    return _alignment(_unit(first), _unit(second))


def _alignment(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().sum(1).mean()


def matched(first: Tensor, second: Tensor) -> Tensor:
    """Share of frames whose other view is nearer than that of any other frame of the batch.

    What every method asks for in its own way. A network that has learnt nothing yet guesses, 1/b: in a scene where
    little moves, two views of a frame differ by more than two frames do.

    Args:
        first: (b, d).
        second: (b, d), rows of the same frames.

    Returns:
        A scalar from 0 to 1, detached.
    """
    return _matched(_unit(first), _unit(second))


def _matched(first: Tensor, second: Tensor) -> Tensor:
    nearest = (first @ second.T).argmax(1)
    return (nearest == torch.arange(len(first), device=first.device)).float().mean()


def uniformity(embeddings: Tensor) -> Tensor:
    """How evenly frames cover the sphere: log of the mean Gaussian potential of pairs (Wang and Isola 2020).

    Args:
        embeddings: (b, d), b at least 2.

    Returns:
        A scalar, detached: 0 if all are the same, lower the more evenly they lie.
    """
    return _uniformity(_cosines(_unit(embeddings)))


def _uniformity(cosines: Tensor) -> Tensor:
    squared = (2 - 2 * cosines).clamp(min=0)
    b = len(cosines)
    return (((-2 * squared).exp().sum() - b) / (b * (b - 1))).log()


def vitals(embeddings: Tensor) -> dict[str, Tensor]:
    """What is watched at every step, with the work that the figures share done once.

    Args:
        embeddings: Of two views, (2, b, d).
    """
    first, second = (_unit(part) for part in embeddings)
    return {
        "spread": _spread(first),
        "directions": directions(embeddings[0]),
        "alignment": _alignment(first, second),
        "uniformity": _uniformity(_cosines(first)),
        "matched": _matched(first, second),
    }
