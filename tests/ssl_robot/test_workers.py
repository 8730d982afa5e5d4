"""Runs side by side end when they are told to."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from ssl_robot import interrupts, workers
from ssl_robot.errors import KilledError
from ssl_robot.workers import _shares, performed


def bar() -> "tqdm[Any]":
    return tqdm(disable=True)


def test_every_task_is_answered(tmp_path: Path) -> None:
    folders = [tmp_path / str(i) for i in range(5)]
    assert list(performed(os.mkdir, folders, 2, bar())) == [None] * 5
    assert all(folder.is_dir() for folder in folders)


def test_after_a_failure_nothing_is_begun(tmp_path: Path) -> None:
    folders = [tmp_path, *(tmp_path / str(i) for i in range(4))]
    with pytest.raises(FileExistsError):
        list(performed(os.mkdir, folders, 1, bar()))
    assert list(tmp_path.iterdir()) == []


_KILL = "kill -9 $PPID"  # of a shell: whoever called it


def test_a_process_that_is_killed_costs_its_own_task_alone(tmp_path: Path) -> None:
    """As by a system without memory: no signal that Python could hear. What was killed once is tried again."""
    once = f"test -e {tmp_path}/tried || {{ touch {tmp_path}/tried; {_KILL}; }}; exit 4"
    always = f"until test -e {tmp_path}/tried; do sleep 0.1; done; {_KILL}"  # not before the other one was begun
    found = performed(os.system, [once, always, f"echo 0 >> {tmp_path}/done", f"echo 1 >> {tmp_path}/done"], 2, bar())
    with pytest.warns(UserWarning, match="fewer --workers"):
        assert [os.waitstatus_to_exitcode(next(found)) for _ in range(3)] == [4, 0, 0]
    with pytest.raises(KilledError, match="killed twice") as told, warnings.catch_warnings(action="ignore"):
        next(found)
    assert len(str(told.value).splitlines()) == 1
    assert sorted((tmp_path / "done").read_text().split()) == ["0", "1"]


@pytest.mark.filterwarnings("ignore:A process was killed")
def test_nobody_waits_for_a_neighbour_of_the_killed_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is told to end writes its checkpoint; one that hangs is not waited for."""
    monkeypatch.setattr(workers, "_GRACE", 0.5)
    deaf = f"""
import pathlib, signal, time
begun = pathlib.Path({str(tmp_path / "begun")!r})
if not begun.exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun.touch()
    time.sleep(120)
    begun.with_name("ended").touch()
"""
    kills = f"""
import os, pathlib, time
while not pathlib.Path({str(tmp_path / "begun")!r}).exists():
    time.sleep(0.05)
if not pathlib.Path({str(tmp_path / "tried")!r}).exists():
    pathlib.Path({str(tmp_path / "tried")!r}).touch()
    os.kill(os.getpid(), 9)
"""
    assert list(performed(exec, [kills, deaf], 2, bar())) == [None, None]
    assert not (tmp_path / "ended").exists()


_SLEEPS = """
import sys, time
from pathlib import Path
from tqdm import tqdm
from ssl_robot.workers import performed

def sleep(folder):
    import os, signal
    if sys.argv[2] == "hears":  # as a run does, which ends with a checkpoint and leaves the process alive
        signal.signal(signal.SIGTERM, lambda number, frame: None)
    (folder / str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    list(performed(sleep, [Path(sys.argv[1])], 1, tqdm(disable=True)))
"""


@pytest.mark.parametrize("kind", ["dies", "hears"])
def test_workers_end_with_whoever_was_killed(tmp_path: Path, kind: str) -> None:
    """Killed outright, a parent tells its workers nothing: they would go on behind everybody's back."""
    script, begun = tmp_path / "sleeps.py", tmp_path / "begun"
    script.write_text(_SLEEPS)
    begun.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(begun), kind])
    while not list(begun.iterdir()):
        assert parent.poll() is None
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    (worker,) = (int(file.name) for file in begun.iterdir())
    limit = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < limit:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


def test_what_a_process_ignores_is_not_heard() -> None:
    """Ctrl-C reaches workers too, but their parent sends them its own signal: a second one would not be waited for."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.heard() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signal is None
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("cores", "workers"), [({0, 1}, 2), ({0, 1, 2, 3, 4}, 2), ({3}, 2), ({0, 1}, 1)])
def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch, cores: set[int], workers: int) -> None:
    """All of them, each to one worker, unless there are fewer than workers."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: cores)
    shares = _shares(workers)
    assert len(shares) == workers
    assert all(shares)
    assert set().union(*shares) == cores
    assert sum(map(len, shares)) == max(len(cores), workers)
