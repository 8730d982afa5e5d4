"""Batches of frames in random order, read the fastest way that there is room for."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames
from ssl_robot.invariances import Place
from ssl_robot.sampling import on, reduced

Where = Callable[[Place, int], list[Place]]
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
        others: The same moments through other cameras.
        chances: How likely each row is, relative to each other: a pass draws as many rows as there are, some more than
            once; none: every row comes once.

    Raises:
        InputError: If another camera's frames have another shape, or are not as many.
    """

    def __init__(
        self,
        frames: Frames,
        rows: NDArray[np.int64],
        size: int,
        device: torch.device,
        seed: int = 0,
        way: Way | None = None,
        others: Sequence[Frames] = (),
        chances: NDArray[np.float64] | None = None,
    ) -> None:
        for other in others:
            if (len(other), other.shape) != (len(frames), frames.shape):
                raise InputError(
                    f"Cameras show {len(frames)} frames of {frames.shape} and {len(other)} of {other.shape}: record "
                    "or import them at one size, or leave 'camera' out of the recipe."
                )
        self._cameras, self._rows, self._size, self._device, self._seed = (frames, *others), rows, size, device, seed
        self._chances = None if chances is None else torch.from_numpy(chances)
        self._last = _ends(frames.episodes[rows])
        self.way = way or self._chosen()
        self._resident = [self._everything(camera) for camera in self._cameras] if self.way == "resident" else []

    def _chosen(self) -> Way:
        h, w, c = self._cameras[0].shape
        pixels = min(h, 2 * self._size) * min(w, 2 * self._size)
        if len(self._cameras) * len(self._rows) * pixels * c <= RESIDENT_BYTES:
            return "resident"
        return "random" if sum(camera.nbytes for camera in self._cameras) <= CACHED_BYTES else "blocks"

    def _everything(self, camera: Frames) -> Tensor:
        first = self._read(camera, self._rows[:_PIECE])
        frames = torch.empty((len(self), *first.shape[1:]), dtype=first.dtype, device=first.device)
        frames[: len(first)] = first
        for start in range(len(first), len(self), _PIECE):
            frames[start : start + _PIECE] = self._read(camera, self._rows[start : start + _PIECE])
        return frames

    def __len__(self) -> int:
        return len(self._rows)

    def batches(
        self, epoch: int, batch: int, where: Where | None = None, first: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """One pass over the rows; those that do not fill a batch are left to another pass.

        Args:
            epoch: Counts the passes; each has its own order.
            batch: Frames at a time.
            where: Which frames are wanted beside or instead of the batch's own, given those and the number of the
                batch in the pass.
            first: The batch to begin with: to go on in the middle of a pass.
            share: Which of how many equal parts of every batch: devices that train together take one each.

        Yields:
            Places among the rows, (batch,) int64, on the CPU, and the frames of each of the places wanted, (batch, h,
            w, 3) uint8, on the device.
        """
        if self._chances is None:
            order = shuffled(len(self), self._seed, epoch, _BLOCK if self.way == "blocks" else 1)
        else:
            order = torch.multinomial(self._chances, len(self), True, generator=_random(self._seed, epoch))
        which, of = share
        parts = [order[start : start + batch][which::of] for start in range(0, len(self) - batch + 1, batch)][first:]
        wanted = [self._wanted(part, i, where) for i, part in enumerate(parts, first)]
        if self._resident:
            for part, places in zip(parts, wanted, strict=True):
                yield part, [self._taken(place) for place in places]
            return
        with ThreadPoolExecutor(1) as reader:
            waiting: list[Future[list[Tensor]]] = []
            for i, part in enumerate(parts):
                for ahead in wanted[i + len(waiting) : i + 1 + _AHEAD]:
                    waiting.append(reader.submit(lambda places: [self._taken(place) for place in places], ahead))
                yield part, waiting.pop(0).result()

    def _wanted(self, rows: Tensor, number: int, where: Where | None) -> list[Place]:
        place = Place(rows, torch.zeros_like(rows), self._last[rows], len(self._cameras))
        return [place] if where is None else where(place, number)

    def _taken(self, place: Place) -> Tensor:
        """The frames of a place, in its order."""
        if len(self._cameras) == 1:
            return self._of(0, place.rows)
        chosen = [(place.cameras == camera).nonzero()[:, 0] for camera in range(len(self._cameras))]
        frames = torch.cat([self._of(camera, place.rows[found]) for camera, found in enumerate(chosen)])
        return frames[on(self._device, torch.cat(chosen).argsort())]

    def _of(self, camera: int, rows: Tensor) -> Tensor:
        if self._resident:
            return self._resident[camera][on(self._device, rows)]
        return self._read(self._cameras[camera], self._rows[rows.numpy()])

    def _read(self, camera: Frames, rows: NDArray[np.int64]) -> Tensor:
        """Frames no larger than views need, on the device."""
        return reduced(torch.from_numpy(camera.take(rows)).to(self._device), self._size)


def _ends(episodes: NDArray[np.int64]) -> Tensor:
    """The place of each row's last fellow: rows of an episode follow each other."""
    ends = np.flatnonzero(np.append(episodes[1:] != episodes[:-1], True))
    return torch.from_numpy(np.repeat(ends, np.diff(ends, prepend=-1)))


def shuffled(count: int, seed: int, epoch: int, block: int = 1) -> Tensor:
    """A random order of ``count`` places.

    Args:
        count: How many.
        seed: Repeats the orders.
        epoch: Counts them.
        block: Neighbours that are read together: blocks are shuffled, then the places within 64 blocks at a time; 1
            gives every order the same chance.
    """
    random = _random(seed, epoch)
    if block == 1:
        return torch.randperm(count, generator=random)
    blocks = torch.randperm(math.ceil(count / block), generator=random)
    order = (blocks[:, None] * block + torch.arange(block)).reshape(-1)
    windows = order[order < count].split(block * _WINDOW)
    return torch.cat([window[torch.randperm(len(window), generator=random)] for window in windows])


def _random(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)
