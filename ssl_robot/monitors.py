"""Signs that a run is going wrong, while there is time to stop it."""

import torch.nn.functional as F
from torch import Tensor

COLLAPSED = 0.1  # of the spread of a healthy run; collapsed runs measured here lie below .01, healthy ones above .8


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
