"""Signs that a run is going wrong, while there is time to stop it."""

import torch.nn.functional as F
from torch import Tensor

COLLAPSED = 0.1  # spread, near 1 in a healthy run
# Directions, mean of an epoch. On PushT, healthy runs with all of SimSiam's views stay above 1.29 (256 or 2,000
# frames); without stop-gradient they end between 1.02 and 1.12.
COLLINEAR = 1.18


def directions(embeddings: Tensor) -> Tensor:
    """How many directions the embeddings take up: d if they point everywhere, 1 if all lie on one line.

    One over the mean squared cosine of different frames. SimSiam's last batch norm centres every batch, so that a
    collapse is a line through 0 on which ``spread`` stays at 2 * sqrt(f * (1 - f)), f the share of frames on one side.

    Args:
        embeddings: (b, d).

    Returns:
        A scalar, detached.
    """
    unit = F.normalize(embeddings.detach().float(), dim=1)
    b = len(unit)
    return (b * (b - 1)) / ((unit @ unit.T).square().sum() - b).clamp(min=1e-12)


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
    unit = F.normalize(embeddings.detach().float(), dim=1)
    value: Tensor = unit.std(0).mean() * unit.shape[1] ** 0.5
    return value
