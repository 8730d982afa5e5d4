"""Batches of frames in random order, read the fastest way that there is room for."""

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.frames import Frames
from ssl_robot.sampling import on, reduced

Way = Literal["resident", "random", "blocks"]
RESIDENT_BYTES = 4 * 2**30  # frames up to this size are read once and stay on the device
CACHED_BYTES = 8 * 2**30  # files up to this size stay in the memory that the system has left
_PIECE = 64  # frames read at a time: large ones are shrunk before the next are read
_BLOCK = 64  # neighbours read together where the disk is slow to find single frames
_WINDOW = 64  # blocks that are mixed with each other
_AHEAD = 2  # batches read while another is worked on


class Loader:
    """Some rows of a collection, batch by batch.

    Frames that fit are kept on the device as uint8, no larger than views need. Where they do not, batches are read
    while the last one is worked on: in random order if the file can stay in the system's memory, else in shuffled
    blocks of neighbours.

    Args:
        frames: The collection.
        rows: Which of its frames.
        size: Height and width of the views to be made.
        device: Where batches are wanted.
        seed: Repeats the order.
        way: How to read; chosen by size if not given.
    """

    def __init__(
        self,
        frames: Frames,
        rows: NDArray[np.int64],
        size: int,
        device: torch.device,
        seed: int = 0,
        way: Way | None = None,
    ) -> None:
        self._frames, self._rows, self._size, self._device, self._seed = frames, rows, size, device, seed
        self.way = way or self._chosen()
        self._resident: Tensor | None = None
        if self.way == "resident":
            self._resident = self._everything()

    def _chosen(self) -> Way:
        h, w, c = self._frames.shape
        pixels = 4 * self._size**2 if min(h, w) > 2 * self._size else h * w
        if len(self._rows) * pixels * c <= RESIDENT_BYTES:
            return "resident"
        return "random" if self._frames.nbytes <= CACHED_BYTES else "blocks"

    def _everything(self) -> Tensor:
        first = self._read(self._rows[:_PIECE])
        frames = torch.empty((len(self), *first.shape[1:]), dtype=first.dtype, device=first.device)
        frames[: len(first)] = first
        for start in range(len(first), len(self), _PIECE):
            frames[start : start + _PIECE] = self._read(self._rows[start : start + _PIECE])
        return frames

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, epoch: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the rows; those that do not fill a batch are left to another pass.

        Args:
            epoch: Counts the passes; each has its own order.
            batch: Frames at a time.

        Yields:
            Places among the rows, (batch,) int64, on the CPU, and their frames, (batch, h, w, 3) uint8, on the device.
        """
        order = shuffled(len(self), self._seed, epoch, _BLOCK if self.way == "blocks" else 1)
        parts = [order[first : first + batch] for first in range(0, len(self) - batch + 1, batch)]
        if self._resident is not None:
            for part in parts:
                yield part, self._resident[on(self._device, part)]
            return
        with ThreadPoolExecutor(1) as reader:
            waiting: list[Future[Tensor]] = []
            for i, part in enumerate(parts):
                for ahead in parts[i + len(waiting) : i + 1 + _AHEAD]:
                    waiting.append(reader.submit(self._read, self._rows[ahead.numpy()]))
                yield part, waiting.pop(0).result()

    def _read(self, rows: NDArray[np.int64]) -> Tensor:
        """Frames no larger than views need, on the device."""
        return reduced(torch.from_numpy(self._frames.take(rows)).to(self._device), self._size)


def shuffled(count: int, seed: int, epoch: int, block: int = 1) -> Tensor:
    """A random order of ``count`` places.

    Args:
        count: How many.
        seed: Repeats the orders.
        epoch: Counts them.
        block: Neighbours that are read together: blocks are shuffled, then the places within 64 blocks at a time; 1
            gives every order the same chance.
    """
    random = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if block == 1:
        return torch.randperm(count, generator=random)
    blocks = torch.randperm(math.ceil(count / block), generator=random)
    order = (blocks[:, None] * block + torch.arange(block)).reshape(-1)
    windows = order[order < count].split(block * _WINDOW)
    return torch.cat([window[torch.randperm(len(window), generator=random)] for window in windows])
