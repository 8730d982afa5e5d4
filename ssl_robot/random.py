"""Random numbers that depend on what they are for, not on when they were drawn.

A view's parameters must be the same whatever the batch is cut into, on any device; a stateful generator cannot
give that, a hash of (seed, step, sample, stream) can.
"""

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit number, the step of splitmix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def uniforms(seed: int, step: int, samples: Tensor, stream: int, count: int) -> Tensor:
    """Numbers in [0, 1), the same for the same arguments on every device.

    The finaliser of splitmix64 (Steele, Lea and Flood 2014), applied to each coordinate in turn.

    >>> uniforms(0, 0, torch.tensor([7, 8]), 0, 2)[0].equal(uniforms(0, 0, torch.tensor([7]), 0, 2)[0])
    True

    Args:
        seed: The run's seed.
        step: Counts the batches.
        samples: Which samples, int64, (b,).
        stream: Keeps apart draws that serve different purposes.
        count: Numbers per sample.

    Returns:
        (b, count) float32.
    """
    columns = torch.arange(count, device=samples.device)
    return table(seed, step, samples, torch.full_like(columns, stream), columns)


def table(seed: int, step: int, samples: Tensor, streams: Tensor, columns: Tensor) -> Tensor:
    """Numbers in [0, 1) for several purposes at once: column j is number ``columns[j]`` of stream ``streams[j]``.

    Args:
        seed: The run's seed.
        step: Counts the batches.
        samples: Which samples, int64, (b,).
        streams: The purpose of each column, int64, (n,).
        columns: Which of that purpose's numbers, int64, (n,).

    Returns:
        (b, n) float32.
    """
    state = _mix(_mix(torch.full_like(streams, seed)) + step)
    state = _mix(_mix(state + streams)[None] + samples[:, None])
    return _shift(_mix(state + columns), 40).to(torch.float32) / 2**24


def normals(u: Tensor) -> Tensor:
    """Independent numbers of mean 0 and standard deviation 1, always finite (Box and Muller 1958).

    Args:
        u: (b, n) in [0, 1), n even.

    Returns:
        (b, n).
    """
    share, turn = u.chunk(2, 1)
    radius, angle = (-2 * (1 - share).log()).sqrt(), 2 * math.pi * turn
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)


def _mix(state: Tensor) -> Tensor:
    state = state + _GOLDEN
    state = (state ^ _shift(state, 30)) * _MIX_1
    state = (state ^ _shift(state, 27)) * _MIX_2
    return state ^ _shift(state, 31)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical shift right: torch's own keeps the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)
