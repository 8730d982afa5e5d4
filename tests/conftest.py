"""What all tests share: frames in memory, and small recordings of PushT made by the real simulator and writer."""

import ctypes.util
import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from ssl_robot.arrays import Arrays
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs import collect
from ssl_robot.envs.world import Sight

torch.set_num_threads(1)
if ctypes.util.find_library("EGL"):  # whichever test imports MuJoCo first settles what it draws with
    os.environ.setdefault("MUJOCO_GL", "egl")
os.environ["SSL_ROBOT_CACHE"] = "off"  # what one run computed must not answer for another
# The same examples in every run: a test that fails once fails again.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def memory() -> type[Arrays]:
    return Arrays


def record(path: Path, plan: collect.Plan, size: int = 64) -> FrameStore:
    with FrameWriter(path) as sink:
        collect.collect("gym_pusht/PushT-v0", Sight(size), sink, plan)
    return FrameStore(path)


@pytest.fixture(scope="session")
def resets(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    """300 independent resets of PushT at 64 pixels."""
    path = tmp_path_factory.mktemp("pusht") / "resets.h5"
    return record(path, collect.Plan(300, reset_every=1, seed=7))


@pytest.fixture(scope="session")
def exploration(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    """12 episodes of 10 steps of PushT at 64 pixels."""
    path = tmp_path_factory.mktemp("pusht") / "exploration.h5"
    return record(path, collect.Plan(120, reset_every=10, seed=1000))
