"""What all tests share: frames in memory, and small recordings of PushT made by the real simulator and writer."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs import collect
from ssl_robot.envs.world import Sight
from ssl_robot.frames import Label

torch.set_num_threads(1)
# The same examples in every run: a test that fails once fails again.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("repeatable")


@dataclass(frozen=True)
class Memory:
    """Frames that lie in memory; every frame is an episode of its own unless the episodes' lengths are given."""

    images: NDArray[np.uint8]
    lengths: Sequence[int] | None = None
    named: Mapping[str, tuple[Label, NDArray[np.float64]]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        h, w, c = self.images.shape[1:]
        return h, w, c

    @cached_property
    def episodes(self) -> NDArray[np.int64]:
        lengths = [1] * len(self) if self.lengths is None else self.lengths
        return np.repeat(np.arange(len(lengths)), lengths)

    @cached_property
    def contents(self) -> NDArray[np.uint64]:
        firsts = np.searchsorted(self.episodes, np.arange(self.episodes[-1] + 1))
        hashes = [hashlib.blake2b(self.images[i].tobytes(), digest_size=8).digest() for i in firsts]
        return np.array([int.from_bytes(value, "little") for value in hashes], np.uint64)

    @property
    def nbytes(self) -> int:
        return 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.tobytes()).hexdigest()[:16]

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(self.named)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.images[indices]

    def label(self, name: str) -> Label:
        return self.named[name][0]

    def values(self, name: str) -> NDArray[np.float64]:
        return self.named[name][1]


@pytest.fixture(scope="session")
def memory() -> type[Memory]:
    return Memory


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
