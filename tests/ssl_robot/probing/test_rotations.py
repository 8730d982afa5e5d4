"""Rotations against their definitions: turns that look the same are the same, others are as far as they are."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from ssl_robot.probing import rotations

FOLDS = [1, 2, 3, 4, 7, 12, math.inf]
every = pytest.mark.parametrize("fold", FOLDS)
SEEDS = st.integers(0, 2**32 - 2)


def drawn(seed: int, rows: int = 20) -> Tensor:
    return torch.from_numpy(Rotation.random(rows, random_state=np.random.RandomState(seed)).as_matrix())


def turned(matrices: Tensor, axis: int, degrees: float) -> Tensor:
    vector = np.eye(3)[axis] * math.radians(degrees)
    return matrices @ torch.from_numpy(Rotation.from_rotvec(vector).as_matrix())


@given(SEEDS)
def test_quaternions_are_scipys_of_either_sign_and_any_length(seed: int) -> None:
    random = np.random.default_rng(seed)
    quaternions = random.normal(size=(20, 4))
    expected = Rotation.from_quat(quaternions[:, [1, 2, 3, 0]]).as_matrix()
    for scale in (1.0, -3.0):
        found = rotations.of_quaternions(torch.from_numpy(scale * quaternions))
        np.testing.assert_allclose(found, expected, atol=1e-12)
    back = rotations.quaternions_of(expected)
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1)
    assert (back[:, 0] >= 0).all()
    np.testing.assert_allclose(rotations.of_quaternions(torch.from_numpy(back)), expected, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_quaternions_too(axis: int) -> None:
    """There the formula that starts from the trace divides by 0."""
    half = turned(torch.eye(3, dtype=torch.float64)[None], axis, 180).numpy()
    np.testing.assert_allclose(np.abs(rotations.quaternions_of(half)[0]), np.eye(4)[axis + 1], atol=1e-8)


@every
@given(SEEDS)
def test_numbers_stand_for_what_they_were_made_from(fold: float, seed: int) -> None:
    matrices = drawn(seed)
    found = rotations.nearest(rotations.numbers(matrices, fold), fold)
    np.testing.assert_allclose(found @ found.mT, np.broadcast_to(np.eye(3), found.shape), atol=1e-12)
    np.testing.assert_allclose(torch.linalg.det(found), 1)
    assert rotations.error(found, matrices, fold).max() < 1e-6
    if fold == 1:
        np.testing.assert_allclose(found, matrices, atol=1e-12)


@every
@given(SEEDS)
def test_turns_that_look_the_same_have_the_same_numbers_and_no_others_do(fold: float, seed: int) -> None:
    matrices = drawn(seed)
    same = turned(matrices, 2, 360 / fold if math.isfinite(fold) else 77)
    torch.testing.assert_close(rotations.numbers(same, fold), rotations.numbers(matrices, fold), atol=1e-9, rtol=0)
    assert rotations.error(same, matrices, fold).max() < 1e-6
    for axis, degrees in ((0, 10.0), (1, 10.0), *([(2, 180 / fold)] if math.isfinite(fold) else [])):
        other = turned(matrices, axis, degrees)
        assert (rotations.numbers(other, fold) - rotations.numbers(matrices, fold)).norm(dim=1).min() > 0.1
        torch.testing.assert_close(
            rotations.error(other, matrices, fold), torch.full((20,), degrees, dtype=torch.float64)
        )


@given(SEEDS)
def test_the_error_is_the_angle_of_the_turn_that_is_left(seed: int) -> None:
    one, other = drawn(seed), drawn(seed + 1)
    expected = np.degrees((Rotation.from_matrix(one) * Rotation.from_matrix(other).inv()).magnitude())
    np.testing.assert_allclose(rotations.error(one, other), expected, atol=1e-6)
    torch.testing.assert_close(rotations.error(one, other), rotations.error(other, one))


@pytest.mark.parametrize("fold", [2, 3, 4, 7, 12])
@given(SEEDS)
def test_with_symmetry_it_is_the_least_over_all_that_look_the_same(fold: int, seed: int) -> None:
    one, other = drawn(seed), drawn(seed + 1)
    brute = torch.stack([rotations.error(turned(one, 2, 360 * k / fold), other) for k in range(fold)]).amin(0)
    torch.testing.assert_close(rotations.error(one, other, fold), brute, atol=1e-6, rtol=0)


def test_about_a_round_axis_too() -> None:
    one, other = drawn(0, 500), drawn(1, 500)
    fine = torch.stack([rotations.error(turned(one, 2, k), other) for k in range(360)]).amin(0)
    round_ = rotations.error(one, other, math.inf)
    assert (round_ <= fine + 1e-6).all()
    assert (fine - round_).max() < 0.1  # half a degree from the best turn, where the angle is flat


@every
def test_no_direction_at_all_still_is_a_rotation(fold: float) -> None:
    """A head that knows nothing may say 0."""
    width = rotations.numbers(torch.eye(3, dtype=torch.float64)[None], fold).shape[1]
    found = rotations.nearest(torch.zeros(2, width, dtype=torch.float64), fold)
    torch.testing.assert_close(found @ found.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))


def test_rough_numbers_stand_for_a_rotation_nearby() -> None:
    matrices = drawn(0, 500)
    for fold in FOLDS:
        exact = rotations.numbers(matrices, fold)
        rough = 0.5 * exact + 0.01 * torch.from_numpy(np.random.default_rng(1).normal(size=exact.shape))
        assert rotations.error(rotations.nearest(rough, fold), matrices, fold).mean() < 4
