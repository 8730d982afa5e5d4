"""Whether memory that was freed is there for the next step."""

import ctypes
import os
import subprocess
import sys
from typing import Any

import pytest

from ssl_robot.heap import keep_freed

SCRIPT = """
import resource, sys
import torch
from ssl_robot.heap import keep_freed

if sys.argv[1] == "keep":
    assert keep_freed()
def step():
    tensors = [torch.ones(5_000_000) for _ in range(8)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    """Pages asked for in five steps of 160 MB each, where the C library is told to give everything back at once."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", SCRIPT, way]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc")
def test_a_step_finds_the_memory_of_the_last() -> None:
    assert faults("keep") < 100
    assert faults("leave") > 100_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        def mallopt(self, *_: Any) -> int:
            raise AssertionError("asked")

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Musl())
    assert not keep_freed()
