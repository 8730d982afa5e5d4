"""Whether a million frames cost as much each as ten thousand, and how much memory they take."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.experiments.benchmarks.timing import Timed
from ssl_robot.frames import Row, Schema

_EPISODE = 1000
_MINUTES = 0.5
_BATCH = 128


def run(folder: Path, counts: tuple[int, ...], size: int, rounds: int) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of one table: ``ssl-robot pretrain`` in a process of its own, half a minute at a time.

    Args:
        folder: For the files.
        counts: Frames of each of them.
        size: Height and width of frames and views.
        rounds: How often each is trained on, in turns.
    """
    files = {count: _written(folder / f"{count}.h5", count, size) for count in counts}
    speeds: dict[int, list[float]] = {count: [] for count in counts}
    peaks: dict[int, int] = {}
    for turn in tqdm(range(rounds), desc="scale", unit="round"):
        for count in np.random.default_rng(turn).permutation(counts).tolist():
            summary = _trained(files[count], folder / f"run-{count}-{turn}", size)
            speeds[count].append(summary["steps"] * summary["batch"] / (60 * summary["minutes"]))
            peaks[count] = summary["peak memory, MB"]["processor"]
    first = np.array(speeds[counts[0]])
    rows = [
        Timed(
            f"{count:,} frames",
            float(np.median(np.array(speeds[count]) / first)),
            float(np.median(1 / np.array(speeds[count]))),
            float(np.median(speeds[count])),
            f"peak memory {peaks[count]:,} MB, file {files[count].stat().st_size / 1e9:.2g} GB",
        )
        for count in counts
    ]
    return [(f"pre-training 'small' at {size} px on files of several lengths", rows[0].name, rows)]


def _written(path: Path, count: int, size: int) -> Path:
    """A square that wanders over a gradient, a thousand frames an episode."""
    ground = np.linspace(0, 160, size, dtype=np.uint8)[:, None, None] * np.ones((1, size, 3), np.uint8)
    side = size // 6
    with FrameWriter(path, "overwrite") as writer:
        writer.open(Schema({"top": ground.shape}), {"fps": 10})
        for first in tqdm(range(0, count, _EPISODE), desc=f"writing {count:,} frames", unit="episode"):
            episode, random = writer.begin(), np.random.default_rng(first)
            places = (random.normal(0, 2, (_EPISODE, 2)).cumsum(0) % (size - side)).astype(int)
            for y, x in places[: count - first]:
                frame = ground.copy()
                frame[y : y + side, x : x + side] = 40, 90, 220
                episode.add(Row({"top": frame}, {}))
            episode.end()
    return path


def _trained(data: Path, out: Path, size: int) -> dict[str, Any]:
    words = [str(data), "--out", str(out), "--size", str(size), "--max-minutes", str(_MINUTES), "--compiled", "no"]
    words += ["--batch-size", str(_BATCH)]
    script = "import sys; from ssl_robot.experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, "pretrain", *words]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    summary = json.loads((out / "summary.json").read_text())
    return {**summary, "batch": _BATCH}
