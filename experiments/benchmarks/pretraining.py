"""What it costs to feed and train the same network, beside lightly and beside Kornia as documented with h5py."""

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_robot.backbones import build, width
from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments.benchmarks.loader import pusht, video, written
from ssl_robot.experiments.benchmarks.timing import Timed, alternated
from ssl_robot.experiments.benchmarks.views import Setting, kornia_pipeline
from ssl_robot.feed import fed
from ssl_robot.heap import keep_freed
from ssl_robot.loader import Loader
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.recipes import Recipe
from ssl_robot.records import Clock
from ssl_robot.training import Training, optimizer
from ssl_robot.views import Views

LIGHTLY = "lightly, 2 workers"
NAIVE = "Kornia as documented, h5py"
_REST = 1.0  # seconds between two turns: workers fill their queues, and leave the cores to the next
_READY = 4  # batches that workers and threads make while it is others' turn: passed over before the clock starts
Pairs = Iterator[list[Tensor]]


@dataclass(frozen=True)
class Plan:
    """What is timed.

    Attributes:
        frames: Of the file.
        size: Height and width of frames and views.
        batch: Frames of a step.
        steps: Of a round.
        rounds: How often each candidate makes them.
        threads: Of PyTorch.
        kind: Of the frames: ``pusht`` or ``video``.
        backbone: The network.
    """

    frames: int = 4000
    size: int = 84
    batch: int = 128
    steps: int = 8
    rounds: int = 5
    threads: int = 1
    kind: str = "pusht"
    backbone: str = "small"

    def __str__(self) -> str:
        what = f"{self.frames:,} {self.kind} frames of {self.size} px, batches of {self.batch}"
        return f"{what}, {self.threads} thread{'s' * (self.threads > 1)}"


def run(folder: Path, plan: Plan) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of two tables: the input by itself, and with the network's step."""
    frames = pusht(plan.frames, plan.size) if plan.kind == "pusht" else video(plan.frames, plan.size)
    path = written(folder / "frames.h5", frames, raw=False).path
    keep_freed()  # as pre-training does; it serves all candidates
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        pairs = _pairs(path, plan)
        base = LIGHTLY if LIGHTLY in pairs else NAIVE
        taken = {name: _taken(source, plan) for name, source in pairs.items()}
        stepped = {name: _Steps(source, plan) for name, source in pairs.items()}
        stepped["the network alone, on random tensors"] = _Steps(_random(plan), plan)
        first = partial(_pass_over, pairs)
        inputs = alternated(taken, base, plan.rounds, "input", _REST, first)
        steps = alternated(stepped, base, plan.rounds, "step", _REST, first)
        noted = [replace(row, note=f"input {stepped[row.name].share:.1%} of the time") for row in steps]
        return [(f"input, {plan}", base, inputs), (f"input and step of '{plan.backbone}', {plan}", base, noted)]
    finally:
        torch.set_num_threads(before)


def _pairs(path: Path, plan: Plan) -> dict[str, Pairs]:
    found = {"ssl-robot": _ours(path, plan), NAIVE: _naive(path, plan)}
    if importlib.util.find_spec("lightly"):
        found[LIGHTLY] = _lightly(path, plan)
    return found


def _ours(path: Path, plan: Plan) -> Pairs:
    store = FrameStore(path)
    loader = Loader(store, np.arange(len(store)), plan.size, torch.device("cpu"))
    views = Views(Recipe.named("simsiam"), plan.size, 0, compiled=True)
    source = chain.from_iterable(loader.batches(i, plan.batch) for i in count())
    for batch in fed(source, torch.device("cpu"), views, 0, lambda images: images, Clock()):
        yield [view.images for view in batch.views]


def _naive(path: Path, plan: Plan) -> Pairs:
    """Sorted indices into an open file, as h5py wants them, then the pipeline of Kornia's documentation."""
    import h5py

    dataset = h5py.File(path)["data/demo_0/obs/top"]
    pipeline, random = kornia_pipeline(Setting(plan.size)), np.random.default_rng(0)
    while True:
        for part in np.array_split(random.permutation(len(dataset)), len(dataset) // plan.batch):
            images = torch.from_numpy(dataset[np.sort(part[: plan.batch])]).permute(0, 3, 1, 2).float() / 255
            yield [pipeline(images) for _ in range(2)]


class _Pictures(Dataset[list[Tensor]]):
    """What lightly's users write around a file: one picture at a time, as PIL, through its transform."""

    def __init__(self, path: Path, transform: Any) -> None:
        self._path, self._transform = path, transform
        self._dataset: Any = None
        self._count = len(FrameStore(path))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> list[Tensor]:
        import h5py
        from PIL import Image

        if self._dataset is None:  # each worker opens the file for itself
            self._dataset = h5py.File(self._path)["data/demo_0/obs/top"]
        views: list[Tensor] = self._transform(Image.fromarray(self._dataset[index]))
        return views


def _lightly(path: Path, plan: Plan) -> Pairs:
    from lightly.transforms.simsiam_transform import SimSiamTransform

    loader = DataLoader(
        _Pictures(path, SimSiamTransform(input_size=plan.size)),
        batch_size=plan.batch,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )
    return chain.from_iterable(repeat(loader))


def _random(plan: Plan) -> Pairs:
    pair = [torch.rand(plan.batch, 3, plan.size, plan.size) for _ in range(2)]
    return repeat(pair)


def _pass_over(pairs: Mapping[str, Pairs], name: str) -> None:
    """Take what was made while it was others' turn: what is timed then is made while it is timed."""
    for _ in range(_READY if name in pairs else 0):
        next(pairs[name])


def _taken(pairs: Pairs, plan: Plan) -> Callable[[int], int]:
    def take(turn: int) -> int:
        return sum(len(next(pairs)[0]) for _ in range(plan.steps))

    return take


class _Steps:
    """Steps of a network on one candidate's batches.

    Args:
        pairs: Views of a batch, (b, 3, size, size) each.
        plan: The network, and how many steps.
    """

    def __init__(self, pairs: Pairs, plan: Plan) -> None:
        backbone = build(plan.backbone, 0)
        objective = Simsiam().build(backbone, width(backbone, plan.size)).train()
        self._objective = objective.to(memory_format=torch.channels_last)
        self._optimizer = optimizer(objective, Training())
        self._half = Training().half(torch.device("cpu"))
        for group in self._optimizer.param_groups:
            group["lr"] = 0.1
        self._pairs, self._steps = pairs, plan.steps
        self._waited = self._worked = 0.0

    @property
    def share(self) -> float:
        """How much of the time went by until batches were there, in the form the network wants, in all rounds."""
        return self._waited / (self._waited + self._worked)

    def __call__(self, turn: int) -> int:
        """One round; how many frames it took."""
        frames = 0
        for _ in range(self._steps):
            began = time.perf_counter()
            pair = [images.contiguous(memory_format=torch.channels_last) for images in next(self._pairs)]
            there = time.perf_counter()
            self._step(pair)
            if turn > 0:  # the first round compiles
                self._waited += there - began
                self._worked += time.perf_counter() - there
            frames += len(pair[0])
        return frames

    def _step(self, pair: list[Tensor]) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            loss = self._objective(pair)
        self._optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self._optimizer.step()
