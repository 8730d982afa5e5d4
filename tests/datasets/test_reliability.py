"""Killed, out of space, damaged: what was written stays readable, or says in a sentence that it is not."""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.journal import JournaledFile
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

SCHEMA = Schema({"top": (24, 24, 3), "wrist": (8, 8, 3)}, (Label.plain("state", 2), Label.plain("actions", 1)))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def picture(row: int, size: int) -> NDArray[np.uint8]:
    """Noise that says which row it belongs to."""
    return np.random.default_rng(row).integers(0, 256, (size, size, 3), np.uint8)


def row_of(row: int) -> Row:
    frames = {"top": picture(row, 24), "wrist": picture(row, 8)}
    return Row(frames, {"state": np.array([row, -row]), "actions": np.array([row / 7])}, reward=row)


def check(store: FrameStore) -> None:
    """Every row that counts is whole, and is the one its place says."""
    index = np.arange(len(store))
    for camera, size in (("top", 24), ("wrist", 8)):
        frames = FrameStore(store.path, camera).take(index)
        np.testing.assert_array_equal(frames, [picture(row, size) for row in index])
    np.testing.assert_array_equal(store.values("state"), np.stack([index, -index], 1))
    np.testing.assert_array_equal(store.values("actions")[:, 0], index / 7)
    np.testing.assert_array_equal(store.column("rewards"), index)
    assert len(store.seeds) == len(store.contents) == store.episodes[-1] + 1


def endless(path: Path, first: int, raw: bool, flushed: Any) -> None:
    """Records until it is killed; ends an episode every 37 rows, resets alone between them; tells what is on disk."""
    with FrameWriter(path, "append" if first else "error", raw) as writer:
        writer.open(SCHEMA, {})
        rows = iter(range(first, 10**9))
        while True:
            episode = writer.begin(7)
            for row in (next(rows) for _ in range(37)):
                episode.add(row_of(row))
                flushed.value = first + writer.rows
            episode.end({"top": picture(0, 24)}, success=True)
            flushed.value = first + writer.rows
            single = writer.begin(8, independent=True)
            single.add(row_of(next(rows)))
            writer.flush()
            writer._shared = None  # the next one begins a group of its own, so that rows stay in order


@pytest.mark.slow
@pytest.mark.parametrize("raw", [False, True], ids=["deflate", "raw"])
def test_a_recording_killed_at_any_moment_keeps_every_flushed_row(
    tmp_path: Path, raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file recorded on by 50 processes one after the other, each of which is killed at a random moment."""
    monkeypatch.setattr("ssl_robot.datasets.writer.FLUSH_ROWS", 8)
    context, chance = multiprocessing.get_context("fork"), random.Random(raw)
    path, rows = tmp_path / "a.h5", 0
    for _ in range(50):
        if rows > 1000:
            path, rows = tmp_path / f"{time.monotonic_ns()}.h5", 0
        # without a lock, which a killed process would keep
        flushed = context.RawValue("l", rows)
        process = context.Process(target=endless, args=(path, rows, raw, flushed))
        process.start()
        while flushed.value == rows and process.is_alive():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        store = FrameStore(path)
        assert len(store) >= flushed.value > rows
        rows = len(store)
        check(store)


def killed_in_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a whole journal that was not applied, as a process does that dies between the two."""
    with monkeypatch.context() as patched:
        patched.setattr("ssl_robot.datasets.journal._apply", lambda *_: os._exit(1))
        process = multiprocessing.get_context("fork").Process(target=three_rows, args=(path, 3))
        process.start()
        process.join()
    assert process.exitcode == 1
    assert path.with_name(f"{path.name}.journal").is_file()


def three_rows(path: Path, first: int) -> None:
    with FrameWriter(path, "append" if first else "overwrite") as writer:
        writer.open(SCHEMA, {})
        episode = writer.begin()
        for row in range(first, first + 3):
            episode.add(row_of(row))
        episode.end()


@pytest.mark.parametrize("way", ["read", "append"])
def test_the_next_who_opens_finishes_a_commit(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    three_rows(tmp_path / "a.h5", 0)
    killed_in_a_commit(tmp_path / "a.h5", monkeypatch)
    if way == "append":
        three_rows(tmp_path / "a.h5", 6)
    store = FrameStore(tmp_path / "a.h5")
    assert len(store) == (9 if way == "append" else 6)
    check(store)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("other", ["overwrite", "anew", "backup", "longer"])
def test_a_journal_is_not_applied_to_another_file(tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that took the name of the file it was made for, if only an older state of it."""
    path = tmp_path / "a.h5"
    three_rows(path, 0)
    before = path.read_bytes()
    killed_in_a_commit(path, monkeypatch)
    if other == "backup":
        path.write_bytes(before)
    elif other == "longer":
        three_rows(tmp_path / "b.h5", 0)
        for first in range(3, 60, 3):
            three_rows(tmp_path / "b.h5", first)
        (tmp_path / "b.h5").replace(path)
    else:
        if other == "anew":
            path.unlink()
        three_rows(path, 0)
    store = FrameStore(path)
    assert len(store) == (60 if other == "longer" else 3)
    check(store)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_flush_that_fails_in_any_way_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so to whoever goes on recording."""
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        episode = writer.begin()
        for row in range(5):
            episode.add(row_of(row))
        writer.flush()
        with monkeypatch.context() as patched:
            patched.setattr("ssl_robot.datasets.demo.Demo.count", lambda *_: 1 / 0)
            episode.add(row_of(5))
            with pytest.raises(ZeroDivisionError):
                writer.flush()
        with pytest.raises(InputError, match="takes no more rows"):
            episode.add(row_of(5))
        writer.drop(episode)
    store = FrameStore(tmp_path / "a.h5")
    assert len(store) == 5
    check(store)


def test_rows_reach_the_disk_although_none_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_robot.datasets.writer.FLUSH_SECONDS", 0.05)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        episode = writer.begin()
        episode.add(row_of(0))
        patience = time.monotonic() + 20
        while writer.rows < 1 and time.monotonic() < patience:
            time.sleep(0.01)
        assert writer.rows == 1


def test_what_goes_wrong_behind_the_recording_loop_is_said_at_the_latest_when_it_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_robot.datasets.demo.Demo.count", lambda *_: 1 / 0)
    writer = FrameWriter(tmp_path / "a.h5")
    writer.open(SCHEMA, {})
    writer.begin().add(row_of(0))
    with pytest.raises(ZeroDivisionError):
        writer.close()
    assert not (tmp_path / "a.h5").exists()


def test_a_full_disk_is_no_bad_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three_rows(tmp_path / "a.h5", 0)

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ssl_robot.datasets.writer.FLUSH_ROWS", 2)
    monkeypatch.setattr("ssl_robot.datasets.demo.Demo.count", lambda *_: full(None))
    with pytest.raises(InputError, match="cannot grow"):
        import_sources([tmp_path / "a.h5"], tmp_path / "b.h5", skip_bad=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


_FILLS_UP = """
import resource, signal, sys
import numpy as np
sys.path[:0] = [sys.argv[2]]
from test_reliability import SCHEMA, picture, row_of
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[3])
with FrameWriter(sys.argv[1]) as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        writer.open(SCHEMA, {})
        episode = writer.begin(7)
        for row in range(10**6):
            episode.add(row_of(row))
    except InputError as error:
        print(writer.rows, error, flush=True)
"""


@pytest.mark.parametrize("room", [0, 20_000, 100_000, 700_000, 12_345_678])
def test_a_full_disk_is_a_sentence_and_the_file_stays_whole(tmp_path: Path, room: int) -> None:
    """The file may not grow beyond a limit, which the system reports as it reports a full disk."""
    limit = room
    command = [sys.executable, "-c", _FILLS_UP, str(tmp_path / "a.h5"), str(Path(__file__).parent), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    rows, _, message = done.stdout.partition(" ")
    assert "cannot grow (" in message or "cannot be written (" in message
    assert f"holds {int(rows):,} rows" in message or int(rows) == 0
    if int(rows) == 0:
        assert not (tmp_path / "a.h5").exists()
        return
    store = FrameStore(tmp_path / "a.h5")
    assert len(store) == int(rows) > 0
    check(store)
    with FrameWriter(store.path, "append") as writer:
        writer.open(SCHEMA, {})
        episode = writer.begin()
        for row in range(len(store), len(store) + 300):
            episode.add(row_of(row))
        episode.end()
    check(FrameStore(store.path))


def test_a_file_that_cannot_be_begun_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a lock: once there is room, the same name can be written."""

    def full(self: JournaledFile) -> None:
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patched, FrameWriter(tmp_path / "a.h5") as writer:
        patched.setattr(JournaledFile, "commit", full)
        with pytest.raises(InputError, match=r"cannot grow \(No space left on device\)"):
            writer.open(SCHEMA, {})
    assert list(tmp_path.iterdir()) == []
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        writer.begin().add(row_of(0))
    check(FrameStore(tmp_path / "a.h5"))


def test_a_recording_that_will_not_fit_is_refused_at_its_first_row(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {}, rows=10**13)
        with pytest.raises(InputError, match=r"10,000,000,000,000 rows need about .* GB, and .* left: make room"):
            writer.begin().add(row_of(0))
    assert not (tmp_path / "a.h5").exists()


_READER = """
import re, resource, signal, sys
from pathlib import Path
import numpy as np
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
whole = FrameStore(sys.argv[1])

def content(store):
    for camera in store.schema.cameras:
        yield FrameStore(store.path, camera).take(np.arange(len(store))).tobytes()
    for name in store.label_names:
        yield store.values(name).tobytes()
    yield store.column("rewards").tobytes()
    for demo in store.demonstrations:
        yield b"".join(frame.tobytes() for frame in store.final(demo).values())

expected = list(content(whole))
for path in sorted(Path(sys.argv[2]).iterdir()):
    signal.alarm(10)
    try:
        outcome = "right" if list(content(FrameStore(path))) == expected else "wrong"
    except InputError as error:
        outcome = "refused" if str(path) in str(error) else f"nameless: {error}"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    print(path.name, outcome, flush=True)
# getrusage would tell the peak of the process that started this one, where that was higher
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def damaged(whole: bytes, i: int) -> bytes:
    """Cut short, or with a few bits flipped, half of those where the file describes itself."""
    rng = np.random.default_rng(i)
    if i % 4 == 0:
        return whole[: int(rng.integers(len(whole)))]
    content = bytearray(whole)
    end = len(whole) if i % 2 else min(len(whole), 12000)
    for place in rng.integers(end, size=int(rng.integers(1, 4))):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("raw", [False, True], ids=["deflate", "raw"])
@pytest.mark.parametrize("independent", [False, True], ids=["episodes", "resets"])
def test_a_damaged_file_is_refused_or_read_right(tmp_path: Path, raw: bool, independent: bool) -> None:
    """Two thousand in all, read in a process of its own: a crash of the HDF5 library would take this one along."""
    with FrameWriter(tmp_path / "whole.h5", raw=raw) as writer:
        writer.open(SCHEMA, {"source": "noise", "fps": 10})
        for number in range(12 if independent else 3):
            episode = writer.begin(number, {"task": "none"}, independent)
            for row in range(1 if independent else 5):
                episode.add(row_of(5 * number + row))
            episode.end({"top": picture(number, 24), "wrist": picture(number, 8)}, success=True)
    whole, folder = (tmp_path / "whole.h5").read_bytes(), tmp_path / "damaged"
    folder.mkdir()
    for i in range(500):
        (folder / f"{i:03}.h5").write_bytes(damaged(whole, i))
    command = [sys.executable, "-c", _READER, str(tmp_path / "whole.h5"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=ENVIRONMENT)
    assert done.returncode == 0, f"crashed or hung after {done.stdout[-200:]!r}: {done.stderr[-2000:]}"
    *lines, peak = done.stdout.splitlines()
    outcomes = [line.split(" ", 1)[1] for line in lines]
    assert len(outcomes) == 500
    assert [line for line in lines if line.split(" ", 1)[1] not in ("right", "refused")] == []
    assert outcomes.count("refused") > 125
    assert int(peak.split()[1]) < 2 * 2**20  # kB


def test_an_episode_dropped_while_it_is_flushed_does_not_come_back(tmp_path: Path) -> None:
    class Late:
        """A lock that the flusher gets only after everybody else had time to."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            if threading.current_thread().name == "flusher":
                time.sleep(0.3)
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        kept, dropped = writer.begin(), writer.begin()
        kept.add(row_of(0))
        dropped.add(row_of(1))
        writer._writing = Late()  # type: ignore[assignment]
        writer._flusher.ask()
        time.sleep(0.1)
        writer.drop(dropped)
    store = FrameStore(tmp_path / "a.h5")
    assert len(store) == 1
    check(store)
