"""Many short episodes, and files larger than memory."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ssl_robot.datasets import hdf5
from ssl_robot.datasets.layout import FORMAT, VERSION, fixed, schema_text
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.frames import Label, Row, Schema

SCHEMA = Schema({"top": (64, 64, 3)}, (Label.plain("state", 3),))


def test_twenty_thousand_episodes_of_one_frame_take_little_more_than_their_pixels(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1000, 64, 64, 3), np.uint8)
    with FrameWriter(tmp_path / "a.h5", raw=True) as writer:
        writer.open(SCHEMA, {})
        for number in range(20_000):
            writer.begin(number, independent=True).add(
                Row({"top": frames[number % 1000]}, {"state": np.array([number, 0, 0])})
            )
    store = FrameStore(tmp_path / "a.h5")
    assert len(store.contents) == len(store) == 20_000
    assert store.path.stat().st_size < 1.05 * 20_000 * 64 * 64 * 3
    chosen = np.array([0, 999, 1000, 12_345, 19_999])
    np.testing.assert_array_equal(store.take(chosen), frames[chosen % 1000])
    np.testing.assert_array_equal(store.values("state")[chosen, 0], chosen)


_READS = """
import re, sys
import numpy as np
from ssl_robot.datasets.store import FrameStore

store = FrameStore(sys.argv[1])
random = np.random.default_rng(0)
for _ in range(25):
    assert not store.take(random.integers(0, len(store), 64)).any()
# getrusage would tell the peak of the process that started this one, where that was higher
print(len(store), re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
def test_twenty_gigabytes_are_read_within_one(tmp_path: Path) -> None:
    """A sparse file: every frame has its place, and holes are zeros."""
    shape, count = (480, 640, 3), 22_000
    path = tmp_path / "large.h5"
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        demo = file.create_group("data/demo_0")
        demo.attrs.update({"num_samples": count, "independent": False, "seed": 0, "content": np.uint64(1)})
        root = {"format": fixed(FORMAT), "format_version": VERSION, "total": count}
        file["data"].attrs.update(root | {"schema": np.bytes_(schema_text(Schema({"top": shape})))})
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((1, *shape))
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((count, *shape))
        h5py.h5d.create(demo.create_group("obs").id, b"top", h5py.h5t.NATIVE_UINT8, space, creation)
    assert path.stat().st_size > 20e9
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _READS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    frames, peak = done.stdout.split()
    assert int(frames) == count
    assert int(peak) < 2**20  # kB


def test_opening_reads_each_attribute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of one-step episodes, what is done for each of them is all that counts."""
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        for number in range(50):
            episode = writer.begin(number)
            episode.add(Row({"top": np.zeros((64, 64, 3), np.uint8)}, {"state": np.array([number, 0, 0])}))
            episode.end()
    asked: list[bytes] = []
    read = hdf5._attribute
    monkeypatch.setattr(hdf5, "_attribute", lambda group, name: asked.append(name) or read(group, name))
    store = FrameStore(tmp_path / "a.h5")
    assert len(asked) == 50 * len(set(asked))
    asked.clear()
    assert len(store.fingerprint) == 16
    assert asked == [b"checksums"] * 50
