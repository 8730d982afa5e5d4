import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation as Scipy

from ssl_robot.errors import InputError
from ssl_robot.frames import Label
from ssl_robot.probing.quantities import Angle, Number, Rotation, quantities, unmet

BODY = Label("poses/block", ("x", "y", "z", "qw", "qx", "qy", "qz"), ("m", "m", "m", "", "", "", ""), (False,) * 7)
ARM = Label("arm", ("elbow", "grip"), ("rad", ""), (True, False))


def drawn(rows: int, seed: int = 0) -> torch.Tensor:
    """Rows of a body's place and rotation, all over."""
    quaternions = Scipy.random(rows, random_state=np.random.RandomState(seed)).as_quat()[:, [3, 0, 1, 2]]
    return torch.from_numpy(np.concatenate([np.zeros((rows, 3)), quaternions], 1))


def test_a_body_has_a_place_and_one_rotation() -> None:
    assert quantities(BODY) == [Number("x", "m", 0), Number("y", "m", 1), Number("z", "m", 2), Rotation((3, 4, 5, 6))]


def test_quaternions_are_found_by_name_in_any_order() -> None:
    """Many recordings have w last."""
    label = Label.plain("hand", 4, ("qx", "qy", "qz", "qw"))
    values = drawn(5)[:, 3:]
    ours = quantities(label)[0].columns(values[:, [1, 2, 3, 0]])
    torch.testing.assert_close(ours, Rotation((0, 1, 2, 3)).columns(values))


def test_three_of_four_are_numbers() -> None:
    assert all(isinstance(item, Number) for item in quantities(Label.plain("odd", 3, ("qx", "qy", "qz"))))


def test_joints_that_wrap_are_angles() -> None:
    assert quantities(ARM) == [Angle("elbow", 0), Number("grip", "", 1)]


@pytest.mark.parametrize("name", ["block:z:2", "poses/block:z:2", "z:2"])
def test_a_symmetry_is_meant_for_a_label_by_the_end_of_its_name_or_for_all(name: str) -> None:
    assert quantities(BODY, [name])[-1] == Rotation((3, 4, 5, 6), 2, 2)
    assert quantities(BODY, ["lock:z:2"])[-1] == Rotation((3, 4, 5, 6))


def test_symmetries_of_angles_and_of_round_things() -> None:
    assert quantities(ARM, ["elbow:3"])[0] == Angle("elbow", 0, 3)
    assert quantities(ARM, ["elbow:inf"]) == [Number("grip", "", 1)]
    assert quantities(BODY, ["block:x:inf"])[-1] == Rotation((3, 4, 5, 6), 0, math.inf)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("fold", [2, 5])
def test_a_rotation_is_symmetric_about_the_axis_that_was_named(axis: int, fold: int) -> None:
    values = drawn(30)
    turn = Scipy.from_rotvec(np.eye(3)[axis] * 2 * np.pi / fold)
    moved = values.clone()
    moved[:, 3:] = torch.from_numpy(
        (Scipy.from_quat(values[:, [4, 5, 6, 3]].numpy()) * turn).as_quat()[:, [3, 0, 1, 2]]
    )
    for other in range(3):
        quantity = Rotation((3, 4, 5, 6), other, fold)
        errors = quantity.error(quantity.columns(moved), quantity.columns(values))
        assert (errors.max() < 1e-5) if other == axis else (errors.min() > 20)


def test_angles_that_look_the_same_are_the_same_and_errors_are_theirs() -> None:
    quantity, values = Angle("a", 0, 4), torch.tensor([[0.1], [3.0], [-2.0]], dtype=torch.float64)
    columns = quantity.columns(values)
    torch.testing.assert_close(quantity.columns(values + torch.pi / 2), columns)
    off = quantity.error(quantity.columns(values + math.radians(40)), columns)
    torch.testing.assert_close(off, torch.full((3,), 40.0, dtype=torch.float64))
    assert quantity.error(quantity.columns(values + math.radians(70)), columns).tolist() == pytest.approx([20] * 3)
    assert [name for name, _ in quantity.parts] == ["4 a cos", "4 a sin"]


def test_the_best_guess_of_rotations_spread_evenly_is_as_bad_as_any() -> None:
    """The mean angle between a rotation and one drawn evenly is 90 degrees and 2 / pi radians."""
    quantity = Rotation((3, 4, 5, 6))
    columns = quantity.columns(drawn(4000))
    error = quantity.error(quantity.guess(columns).expand_as(columns), columns).mean()
    assert float(error) == pytest.approx(90 + math.degrees(2 / math.pi), abs=1.5)


@pytest.mark.parametrize("fold", [1, 2, math.inf])
def test_the_best_guess_of_two_heaps_is_the_larger_one(fold: float) -> None:
    """The mean lies in neither: 60 rotations about one place, 40 about its opposite."""
    random = np.random.default_rng(0)
    around = Scipy.from_rotvec(random.normal(0, 0.02, (100, 3)))
    flipped = Scipy.from_rotvec(np.repeat([[0, 0, 0], [2.5, 0, 0]], [60, 40], 0)) * around
    values = torch.from_numpy(np.concatenate([np.zeros((100, 3)), flipped.as_quat()[:, [3, 0, 1, 2]]], 1))
    quantity = Rotation((3, 4, 5, 6), 2, fold)
    columns = quantity.columns(values)
    errors = quantity.error(quantity.guess(columns).expand_as(columns), columns)
    assert errors[:60].max() < 10
    assert errors[60:].min() > 100 if fold == 1 else True


@pytest.mark.parametrize(
    "text", ["z", "block:z", "block:z:0", "block:z:13", "block:z:1.5", "block::2", "block:z:", ":2"]
)
def test_what_is_no_symmetry_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no symmetry: write LABEL:AXIS:TIMES as block:z:2"):
        quantities(BODY, [text])


@pytest.mark.parametrize("text", ["cup:z:2", "block:elbow:2", "grip:2", "arm:z:2"])
def test_a_symmetry_that_nothing_has_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=rf"Nothing .* turns as '{text}'.*elbow, x, y, z"):
        unmet([text], [BODY, ARM])
    unmet(["block:z:2", "elbow:2", "arm:elbow:inf"], [BODY, ARM])


def test_two_axes_at_once_are_refused() -> None:
    with pytest.raises(InputError, match="symmetric about two axes"):
        quantities(BODY, ["block:z:2", "block:x:4"])
