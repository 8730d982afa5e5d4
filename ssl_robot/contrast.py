"""One picture's views among those of others: the losses that contrast."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.distributed import gathered, rank
from ssl_robot.heads import exact


@exact
def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Each view finds its partner among all views of all frames but itself (SimCLR, Chen 2020, equation 1).

    The mean over the 2 b views; the authors' code adds up the two halves' means instead, twice as much.

    Args:
        first: (b, d).
        second: (b, d), row i of the same frame as row i of the first.
        temperature: Divides the cosines.

    Returns:
        A scalar.
    """
    b = len(first)
    z = F.normalize(torch.cat([first, second]), dim=1)
    every = torch.cat([gathered(part) for part in z.split(b)])
    rows = torch.arange(b, device=z.device) + rank() * b
    own = torch.cat([rows, rows + len(every) // 2])
    logits = z @ every.T / temperature
    itself = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, own[:, None], True)
    return F.cross_entropy(logits.masked_fill(itself, -torch.inf), own.roll(b))


@exact
def among_keys(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Each query finds its key among those of the batch, over all processes (MoCo v3, Chen 2021, equation 1).

    Args:
        queries: (b, d).
        keys: (b, d), row i of the same frame as row i of the queries.
        temperature: Divides the cosines.

    Returns:
        A scalar, the mean over the queries.
    """
    rows = torch.arange(len(queries), device=queries.device) + rank() * len(queries)
    every = F.normalize(gathered(keys), dim=1)
    return F.cross_entropy(F.normalize(queries, dim=1) @ every.T / temperature, rows)


@exact
def among_earlier(queries: Tensor, keys: Tensor, earlier: Tensor, temperature: float) -> Tensor:
    """Each query finds its key among those of earlier batches (MoCo, He 2020, equation 1).

    Args:
        queries: (b, d).
        keys: (b, d), row i of the same frame as row i of the queries; or (b, k, d), of which the first is the key and
            the others are no better than earlier ones.
        earlier: (n, d), of unit length.
        temperature: Divides the cosines.

    Returns:
        A scalar, the mean over the queries.
    """
    q = F.normalize(queries, dim=1)
    own = F.normalize(keys.view(len(keys), -1, keys.shape[-1]), dim=2)
    logits = torch.cat([torch.einsum("bd,bkd->bk", q, own), q @ earlier.T], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.int64, device=q.device))
