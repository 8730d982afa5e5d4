"""LeRobot's own LeRobotDataset reads what we export, offline, and returns the same frames and numbers.

    python3 -m venv peers && . peers/bin/activate
    pip install lerobot==0.4.4 h5py
    ssl-robot export RECORDING.h5 --format lerobot --out EXPORT           (with our own environment)
    ssl-robot export RECORDING.h5 --format lerobot --out EXPORT --video   (or as video: then pixels differ)
    HF_HUB_OFFLINE=1 python experiments/interop/lerobot_reads_ours.py EXPORT RECORDING.h5

The recording is read with plain h5py, as datasets/FORMAT.md describes it.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def rows(path: Path) -> Iterator[tuple[Any, int]]:
    """Every row of a recording: its group and its place in it."""
    with h5py.File(path) as file:
        data = file["data"]
        for name in sorted(data, key=lambda name: int(name[5:])):
            yield from ((data[name], row) for row in range(int(data[name].attrs["num_samples"])))


def main(export: Path, recording: Path) -> None:
    """Compare every frame and every action; print the largest differences."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("ours/export", root=export, video_backend="pyav")  # torchcodec wants an FFmpeg
    cameras = [key.removeprefix("observation.images.") for key in dataset.meta.camera_keys]
    pixels, numbers, count = dict.fromkeys(cameras, 0), 0.0, 0
    for index, (group, row) in enumerate(rows(recording)):
        item = dataset[index]
        for camera in cameras:
            ours = group[f"obs/{camera}"][row].astype(int)
            theirs = (item[f"observation.images.{camera}"] * 255).round().int().permute(1, 2, 0).numpy()
            pixels[camera] = max(pixels[camera], int(np.abs(ours - theirs).max()))
        theirs, ours = np.atleast_1d(item["action"].numpy()), group["actions"][row]
        numbers = max(numbers, float(np.abs(theirs - ours.astype(np.float32)).max()))
        assert item["next.done"].item() == bool(group["terminated"][row])
        count += 1
    assert count == len(dataset), f"LeRobot counts {len(dataset)} rows, the recording {count}"
    print(f"lerobot {version('lerobot')}: {dataset.meta.total_episodes} episodes, {count} rows, tasks", end=" ")
    print(f"{list(dataset.meta.tasks.index)}; largest difference: pixels {pixels}, actions {numbers:g}")
    print("statistics of", ", ".join(dataset.meta.stats))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
