"""Random batches from a recording, beside what others would do with the same frames."""

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.experiments.benchmarks.timing import Timed, alternated
from ssl_robot.frames import Label, Row, Schema

_SLOW = 16  # frames of a batch that candidates of a few hundred frames per second read
Candidate = Callable[[int], int]


def run(folder: Path, kind: str, count: int, size: int, batch: int, rounds: int) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of each table.

    Args:
        folder: For the files that are made.
        kind: Of the frames: ``pusht``, or ``video``, which moves and is noisy.
        count: Frames of the file.
        size: Their height and width.
        batch: Frames read at a time.
        rounds: How often each candidate reads a batch.
    """
    frames = pusht(count, size) if kind == "pusht" else video(count, size)
    raw, packed = (written(folder / f"{name}.h5", frames, name == "raw") for name in ("raw", "deflate"))
    np.save(folder / "frames.npy", frames)
    for path in folder.iterdir():
        _settled(path)
    what = f"{count:,} {kind} frames of {size} px, batches of {batch}"
    tables = [
        (f"raw, {what}", "np.memmap, fancy index", _raw(folder, raw, frames, batch)),
        (f"deflate, {what}", "h5py, one read after the other", _deflate(packed, batch)),
        (f"peers, {what}", "ssl-robot, deflate", _peers(folder, packed, batch)),
    ]
    return [(title, base, alternated(items, base, rounds, title)) for title, base, items in tables if len(items) > 1]


def _settled(path: Path) -> None:
    """Bring a file to the disk and out of the memory: read anew, it lies there as that of an earlier day would."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def video(count: int, size: int) -> NDArray[np.uint8]:
    """A textured picture that drifts under camera noise: hardly compressible, as real video is."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: 2 * size, : 2 * size] / size
    waves = [np.sin(6.3 * (a * rows + b * columns) + c) for a, b, c in random.normal(0, 2, (9, 3))]
    picture = 127 + 30 * np.stack([sum(waves[i::3]) for i in range(3)], -1)
    frames = np.empty((count, size, size, 3), np.uint8)
    for i, frame in enumerate(frames):
        y, x = (int(size / 2 * (1 + np.sin(i / speed))) for speed in (97, 61))
        noisy = picture[y : y + size, x : x + size] + random.normal(0, 4, frame.shape)
        frame[:] = noisy.clip(0, 255)
    return frames


def pusht(count: int, size: int) -> NDArray[np.uint8]:
    """What the simulator shows while a finger moves at random; repeated where more frames are wanted than 2,000."""
    import gym_pusht  # noqa: F401  (registers the environment)
    import gymnasium as gym

    env = gym.make("gym_pusht/PushT-v0", obs_type="pixels", observation_width=size, observation_height=size)
    env.action_space.seed(0)
    seen: list[NDArray[np.uint8]] = []
    while len(seen) < min(count, 2000):
        observation, over = env.reset(seed=len(seen))[0], False
        while not over and len(seen) < min(count, 2000):
            seen.append(observation)
            observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
    env.close()
    return np.stack(seen)[np.arange(count) % len(seen)]


def written(path: Path, frames: NDArray[np.uint8], raw: bool) -> FrameStore:
    """The frames as one long episode."""
    with FrameWriter(path, "overwrite", raw) as writer:
        writer.open(Schema({"top": frames.shape[1:]}, (Label.plain("actions", 2),)), {"fps": 10})
        episode = writer.begin()
        for i, frame in enumerate(frames):
            episode.add(Row({"top": frame}, {"actions": np.zeros(2)}, time=i / 10))
        episode.end()
    return FrameStore(path)


def _chosen(turn: int, count: int, batch: int) -> NDArray[np.int64]:
    return np.random.default_rng(turn).integers(0, count, batch)


def _raw(folder: Path, store: FrameStore, frames: NDArray[np.uint8], batch: int) -> dict[str, Candidate]:
    import h5py

    dataset = h5py.File(store.path)["data/demo_0/obs/top"]
    mapped = np.load(folder / "frames.npy", mmap_mode="r")
    size, shape, count = frames[0].nbytes, frames.shape[1:], len(frames)
    for first in range(0, count, batch):  # an epoch has passed: pages are in the cache, checksums were looked at
        store.take(np.arange(first, min(first + batch, count)))
        mapped[first : first + batch].max()

    def fancy(turn: int) -> int:
        return len(dataset[np.unique(_chosen(turn, count, _SLOW))])

    def one_by_one(turn: int) -> int:
        return len(np.stack([dataset[i] for i in _chosen(turn, count, batch)]))

    def direct(turn: int) -> int:
        out = np.empty((batch, size), np.uint8)
        for row, i in zip(out, _chosen(turn, count, batch), strict=True):
            row[:] = np.frombuffer(dataset.id.read_direct_chunk((i, 0, 0, 0))[1], np.uint8)
        return len(out.reshape(batch, *shape))

    return {
        "ssl-robot, raw": lambda turn: len(store.take(_chosen(turn, count, batch))),
        "np.memmap, fancy index": lambda turn: len(np.asarray(mapped[_chosen(turn, count, batch)])),
        "numpy in memory, fancy index": lambda turn: len(frames[_chosen(turn, count, batch)]),
        "h5py, direct chunks": direct,
        "h5py, one read after the other": one_by_one,
        "h5py, fancy index": fancy,
    }


def _deflate(store: FrameStore, batch: int) -> dict[str, Candidate]:
    import h5py

    dataset, count = h5py.File(store.path)["data/demo_0/obs/top"], len(store)
    return {
        "ssl-robot, deflate": lambda turn: len(store.take(_chosen(turn, count, batch))),
        "h5py, one read after the other": lambda turn: len(np.stack([dataset[i] for i in _chosen(turn, count, batch)])),
        "h5py, fancy index": lambda turn: len(dataset[np.unique(_chosen(turn, count, _SLOW))]),
    }


def _peers(folder: Path, store: FrameStore, batch: int) -> dict[str, Candidate]:
    """The loaders of those peers that are installed, on the same frames."""
    found: dict[str, Candidate] = {"ssl-robot, deflate": lambda turn: len(store.take(_chosen(turn, len(store), batch)))}
    if importlib.util.find_spec("robomimic"):
        found["robomimic SequenceDataset, the same file"] = _items(_robomimic(folder, store), len(store))
    if importlib.util.find_spec("lerobot"):
        found["LeRobotDataset, PNG in parquet"] = _items(_lerobot(folder, store), len(store))
    return found


def _items(dataset: Any, count: int) -> Candidate:
    return lambda turn: len([dataset[int(i)] for i in _chosen(turn, count, _SLOW)])


def _robomimic(folder: Path, store: FrameStore) -> Any:
    import robomimic.utils.obs_utils as robomimic_observations
    from robomimic.utils.dataset import SequenceDataset

    with contextlib.redirect_stdout(sys.stderr):  # it tells what it was told
        robomimic_observations.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": [], "rgb": ["top"]}})
    return SequenceDataset(
        # a copy: robomimic reads in a mode that HDF5 forbids for a file that is open already
        hdf5_path=str(shutil.copy(store.path, folder / "robomimic.h5")),
        obs_keys=("top",),
        dataset_keys=("actions",),
        hdf5_cache_mode=None,
        hdf5_use_swmr=True,
        load_next_obs=False,
    )


def _lerobot(folder: Path, store: FrameStore) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from ssl_robot.datasets.exports import export_store

    if not (folder / "lerobot").exists():
        export_store(store.path, folder / "lerobot", "lerobot", (), None, None)
    return LeRobotDataset("local/bench", root=folder / "lerobot")
