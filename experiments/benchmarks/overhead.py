"""What it costs to watch a run: pre-training with its monitors and records, and without any."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs import collect
from ssl_robot.envs.world import Sight
from ssl_robot.experiments.benchmarks.timing import Timed, alternated
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.records import SUMMARY
from ssl_robot.training import Training

WATCHED, BARE = "watched and recorded", "neither"
_EPISODE = 50  # frames


def run(folder: Path, frames: int, training: Training, rounds: int) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of one table: whole runs in turns, with a run directory and with nothing kept.

    Args:
        folder: For the recording of PushT, whose poses are read online, and the runs.
        frames: Of the recording.
        training: How long the runs are.
        rounds: How often each is made.
    """
    path = folder / "frames.h5"
    with FrameWriter(path) as writer:
        collect.collect("gym_pusht/PushT-v0", Sight(training.size), writer, collect.Plan(frames, reset_every=_EPISODE))
    store, shares = FrameStore(path), list[float]()

    def watched(turn: int) -> int:
        out = folder / f"run-{turn}"
        _trained(store, training, out)
        shares.append(json.loads((out / SUMMARY).read_text())["time"]["monitors"])
        return len(store) * training.epochs

    def bare(turn: int) -> int:
        with _unwatched():
            _trained(store, training, None)
        return len(store) * training.epochs

    candidates: dict[str, Callable[[int], int]] = {WATCHED: watched, BARE: bare}
    first, last = alternated(candidates, BARE, rounds, "overhead")
    note = f"monitors {np.median(shares[1:]):.1%} of the time, by the run's own clock"
    what = f"{training.epochs} epochs of 'small' on {frames:,} frames of {training.size} px"
    threads = torch.get_num_threads()
    title = f"{what}, batches of {training.batch_size}, {threads} thread{'s' * (threads > 1)}"
    return [(title, BARE, [replace(first, note=note), last])]


def _trained(store: FrameStore, training: Training, out: Path | None) -> None:
    pretrain(store, np.arange(len(store)), Simsiam(), Recipe.named("simsiam"), "small", training, out, quiet=True)


@contextmanager
def _unwatched() -> Iterator[None]:
    """Runs that look at nothing, and take what is watched for healthy."""
    healthy = torch.tensor(2.0)

    def vitals(embeddings: Tensor) -> Mapping[str, Tensor]:
        return {"spread": healthy, "directions": healthy, "matched": healthy}

    nothing: dict[str, Any] = {name: lambda *_: healthy for name in ("rank", "_shortened")}
    with patch.multiple("ssl_robot.run", vitals=vitals, **nothing), patch("ssl_robot.run.Watched.of", lambda *_: None):
        yield
