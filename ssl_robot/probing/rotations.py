"""Rotations as a head can regress them, without jumps and without the twofold sign of quaternions.

Rotations are matrices that take an object's own axes to the world's, (n, 3, 3) float64. A shape that looks the same
after a turn about its third axis has one representation for all turns that look the same.
"""

import math
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TINY = 1e-12


def of_quaternions(quaternions: Tensor) -> Tensor:
    """Matrices of quaternions (w, x, y, z) of any length but zero; a quaternion and its negative are one rotation.

    >>> of_quaternions(torch.tensor([[-2.0, 0.0, 0.0, 0.0]]))[0].diagonal().tolist()
    [1.0, 1.0, 1.0]
    """
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def quaternions_of(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternions (w, x, y, z) with w >= 0 of matrices, (n, 4).

    The symmetric matrix whose first eigenvector is the quaternion (Bar-Itzhack 2000): no case is near-singular.
    """
    r = np.moveaxis(matrices, 0, -1)
    k = np.empty((4, 4, len(matrices)))
    k[0] = r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    k[1] = k[0, 1], r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[0, 2] + r[2, 0]
    k[2] = k[0, 2], k[1, 2], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2]
    k[3] = k[0, 3], k[1, 3], k[2, 3], r[2, 2] - r[0, 0] - r[1, 1]
    found: NDArray[np.float64] = np.linalg.eigh(np.moveaxis(k, -1, 0))[1][:, :, -1]
    return np.where(found[:, :1] < 0, -found, found)


def numbers(matrices: Tensor, fold: float = 1) -> Tensor:
    """What a head regresses: the same for all turns about the third axis that look the same, and smooth.

    Without symmetry the first two columns, 6 numbers (Zhou 2019, https://arxiv.org/abs/1812.07035). With an axis of
    full symmetry where that axis points, 3 numbers. With an n-fold axis that axis and the n-th power of the first two
    columns, read as one complex vector: a turn by an n-th of a circle multiplies its n-th power by 1.

    Args:
        matrices: (n, 3, 3).
        fold: How many times a whole turn about the third axis looks the same; infinite for round shapes.

    Returns:
        (n, 6), (n, 3), or (n, 3 + (fold + 1)(fold + 2)).
    """
    if fold == 1:
        return matrices[:, :, :2].mT.flatten(1)
    axis = matrices[:, :, 2]
    if math.isinf(fold):
        return axis
    power = _power(torch.complex(matrices[:, :, 0], matrices[:, :, 1]), int(fold))
    return torch.cat([axis, power.real, power.imag], 1)


def nearest(found: Tensor, fold: float = 1) -> Tensor:
    """Rotations that regressed numbers stand for, (n, 3, 3); one of those that look the same.

    Args:
        found: As ``numbers`` gives them, only roughly.
        fold: As given to ``numbers``.
    """
    if fold == 1:
        first = _unit(found[:, :3])
        second = _unit(_without(found[:, 3:], first), _across(first))
        return torch.stack([first, second, torch.linalg.cross(first, second)], 2)
    axis = _unit(found[:, :3])
    first = _across(axis)
    second = torch.linalg.cross(axis, first)
    if math.isinf(fold):
        return torch.stack([first, second, axis], 2)
    real, imaginary = found[:, 3:].chunk(2, 1)
    phase = (_power(torch.complex(first, second), int(fold)).conj() * torch.complex(real, imaginary)).sum(1).angle()
    cos, sin = (part[:, None] for part in ((phase / fold).cos(), (-phase / fold).sin()))
    return torch.stack([cos * first + sin * second, cos * second - sin * first, axis], 2)


def error(one: Tensor, other: Tensor, fold: float = 1) -> Tensor:
    """Angle in degrees from one rotation to the nearest that looks like the other, from 0 to 180.

    >>> quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> [round(error(quarter, torch.eye(3)[None], fold).item(), 3) for fold in (1, 3, 4, math.inf)]
    [90.0, 30.0, 0.0, 0.0]

    Args:
        one: (n, 3, 3).
        other: (n, 3, 3), or (1, 3, 3) for all.
        fold: How many times a whole turn about the third axis looks the same.
    """
    if math.isinf(fold):
        return _degrees((one[:, :, 2] - other[:, :, 2]).norm(dim=1) / 2)
    between = one.mT @ other
    if fold > 1:  # the turn about the axis that brings them closest is known; the nearest that looks the same follows
        turn = torch.atan2(between[:, 0, 1] - between[:, 1, 0], between[:, 0, 0] + between[:, 1, 1])
        between = between @ _about_third((turn * fold / (2 * math.pi)).round() * (2 * math.pi / fold))
    return _degrees((between - torch.eye(3, dtype=one.dtype)).norm(dim=(1, 2)) / 8**0.5)


def _degrees(half_chord: Tensor) -> Tensor:
    """The arc over a chord of the unit circle, given half of it."""
    return torch.rad2deg(2 * half_chord.clamp(max=1).asin())


def _about_third(angle: Tensor) -> Tensor:
    """Turns about the third axis, radians."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [torch.stack(row, 1) for row in ((cos, -sin, zero), (sin, cos, zero), (zero, zero, one))]
    return torch.stack(rows, 1)


def _power(vectors: Tensor, n: int) -> Tensor:
    """The n-th symmetric power of complex vectors of length sqrt(2), of length 1: (rows, (n + 1)(n + 2) / 2)."""
    exponents = [(i, j, n - i - j) for i, j in product(range(n + 1), repeat=2) if i + j <= n]
    powers = torch.stack([vectors**i for i in range(n + 1)], 2)
    columns = []
    for i, j, k in exponents:
        ways = math.factorial(n) / (math.factorial(i) * math.factorial(j) * math.factorial(k))
        columns.append((ways / 2**n) ** 0.5 * powers[:, 0, i] * powers[:, 1, j] * powers[:, 2, k])
    return torch.stack(columns, 1)


def _unit(vectors: Tensor, otherwise: Tensor | None = None) -> Tensor:
    """Vectors of length 1; what has no direction gets the other one, or that of the first axis."""
    length = vectors.norm(dim=1, keepdim=True)
    fallback = torch.eye(3, dtype=vectors.dtype)[:1] if otherwise is None else otherwise
    return torch.where(length > _TINY, vectors / length.clamp(min=_TINY), fallback)


def _without(vectors: Tensor, direction: Tensor) -> Tensor:
    """The part of vectors that is perpendicular to directions of length 1."""
    return vectors - (vectors * direction).sum(1, keepdim=True) * direction


def _across(directions: Tensor) -> Tensor:
    """A direction perpendicular to each, made from the axis that it leans to least."""
    axes = torch.eye(3, dtype=directions.dtype)[directions.abs().argmin(1)]
    return _unit(_without(axes, directions))
