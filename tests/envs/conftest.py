"""Tests marked mujoco need the simulator and an OpenGL library: without them they are skipped, and say why."""

import functools

import pytest

from ssl_robot.envs.canvas import needs
from ssl_robot.errors import InputError


@functools.cache
def missing() -> str:
    """What keeps MuJoCo from drawing here, or nothing."""
    try:
        needs("mujoco", "mujoco")
    except InputError as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def _mujoco(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("mujoco") and missing():
        pytest.skip(missing())
