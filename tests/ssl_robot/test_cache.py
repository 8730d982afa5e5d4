"""Features are computed once: by content, whole or not at all, within bounds, whoever else is at it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_robot import cache
from ssl_robot.encoder import Layer
from ssl_robot.frames import Frames, Label, Seen


class Counting:
    """A reader that counts how often it is asked for everything."""

    labels: tuple[str, ...] = ()
    name = "counting"

    def __init__(self, key: str = "a", width: int = 3) -> None:
        self.key, self.width, self.asked = key, width, 0

    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        raise NotImplementedError

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        self.asked += 1
        mean = torch.from_numpy(frames.take(np.arange(len(frames))).reshape(len(frames), -1).mean(1))
        values = mean.float()[:, None] + torch.arange(self.width)
        return values[:, :, None, None].expand(-1, -1, 2, 2) if layer == "map" else values


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSL_ROBOT_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def frames(memory, seed: int = 0, lengths: tuple[int, ...] | None = None, label: float | None = None):
    images = np.random.default_rng(seed).integers(0, 256, (6, 4, 4, 3), np.uint8)
    named = {} if label is None else {"a": (Label.plain("a", 1), np.full((6, 1), label))}
    return memory(images, lengths, named)


def test_a_second_time_nothing_is_computed(memory, root: Path) -> None:
    reader, other = Counting(), Counting()
    first = cache.features(reader, frames(memory))
    assert torch.equal(cache.features(other, frames(memory)), first)
    assert (reader.asked, other.asked) == (1, 0)
    assert torch.equal(first, Counting().everything(frames(memory)))
    assert len(list(root.iterdir())) == 1


def test_another_reader_recording_layer_or_code_is_asked(memory, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Counting()
    cache.features(reader, frames(memory))
    others = [(Counting("b"), frames(memory), "output"), (Counting(), frames(memory), "map")]
    others += [(Counting(), frames(memory, seed=1), "output"), (Counting(), frames(memory, 0, (3, 3)), "output")]
    others += [(Counting(), frames(memory, label=1.0), "output"), (Counting(), frames(memory, label=2.0), "output")]
    for other, recording, layer in others:
        expected = Counting().everything(recording, layer)
        assert torch.equal(cache.features(other, recording, layer), expected)
        assert other.asked == 1
    monkeypatch.setattr(cache, "_code", lambda: "edited")
    cache.features(reader, frames(memory))
    assert reader.asked == 2


def test_the_code_is_that_of_the_library() -> None:
    assert len(cache._code()) == 64
    assert cache._code() == cache._code()


@pytest.mark.parametrize("damage", [b"", b"garbage that is longer than a header", None])
def test_a_damaged_file_is_computed_again(memory, root: Path, damage: bytes | None) -> None:
    reader = Counting()
    expected = cache.features(reader, frames(memory))
    file = next(root.iterdir())
    file.write_bytes(file.read_bytes()[:-5] if damage is None else damage)
    assert torch.equal(cache.features(reader, frames(memory)), expected)
    assert torch.equal(cache.features(reader, frames(memory)), expected)
    assert reader.asked == 2


def test_off_keeps_nothing(memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_ROBOT_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    reader = Counting()
    cache.features(reader, frames(memory))
    cache.features(reader, frames(memory))
    assert reader.asked == 2
    assert not list(tmp_path.iterdir())


def test_the_folder_is_the_platforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_ROBOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "ssl_robot" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert cache.folder() == tmp_path / "home" / ".cache" / "ssl_robot" / "features"
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert cache.folder() == tmp_path / "home" / "Library" / "Caches" / "ssl_robot" / "features"


def test_where_nothing_can_be_written_the_answer_comes_all_the_same(memory, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SSL_ROBOT_CACHE", str(tmp_path / "file"))
    assert len(cache.features(Counting(), frames(memory))) == 6


def test_what_was_not_asked_for_the_longest_goes_first(memory, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for three: the first is asked for again, so that the second is the oldest when a fourth comes."""
    size = 6 * 1000 * 4 + 100
    monkeypatch.setattr(cache, "MOST", 3 * size)
    files = {}
    for age, key in ((30, "a"), (20, "b"), (10, "c")):
        before = set(root.glob("*"))
        cache.features(Counting(key, 1000), frames(memory))
        (files[key],) = set(root.glob("*")) - before
        os.utime(files[key], (time.time() - age, time.time() - age))
    cache.features(Counting("a", 1000), frames(memory))
    cache.features(Counting("d", 1000), frames(memory))
    assert {key for key, file in files.items() if file.exists()} == {"a", "c"}
    assert len(list(root.iterdir())) == 3


def test_what_is_larger_than_half_the_room_is_not_kept(memory, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST", 6 * 1000 * 4)
    cache.features(Counting("a", 1000), frames(memory))
    assert not root.exists()


def test_what_a_killed_process_left_is_removed_when_it_is_old(memory, root: Path) -> None:
    root.mkdir()
    for name, age in (("old", 7200), ("young", 60)):
        (root / f"{name}.partial").write_bytes(b"half")
        os.utime(root / f"{name}.partial", (time.time() - age, time.time() - age))
    cache.features(Counting(), frames(memory))
    assert {path.name for path in root.glob("*.partial")} == {"young.partial"}


MANY = """
import sys
import numpy as np, torch
from ssl_robot import cache
from ssl_robot.arrays import Arrays
class Reader:
    labels, name, key = (), "many", "many"
    def everything(self, frames, layer="output"):
        return torch.arange(len(frames) * 500.0).reshape(len(frames), 500)
cache.MOST = 100_000
for i in range(40):
    frames = Arrays(np.full((20, 2, 2, 3), i % 4, np.uint8))
    assert torch.equal(cache.features(Reader(), frames), Reader().everything(frames))
"""


def test_processes_side_by_side_all_get_the_right_answer(root: Path) -> None:
    """Writing, reading and removing the same files, with room for two of four."""
    line = [sys.executable, "-c", MANY]
    running = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, told = process.communicate(timeout=200)
        assert process.returncode == 0, told
    assert not list(root.glob("*.partial"))
    assert 1 <= len(list(root.iterdir())) <= 2
