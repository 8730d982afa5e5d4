"""Batches with their views, made by threads while the network works on the batch before."""

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from itertools import count
from threading import Barrier
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_robot.look import Parameters
from ssl_robot.records import Clock
from ssl_robot.views import View, Views

_AHEAD = 2  # batches whose views are made while another is worked on
_MOST = 16  # threads: more than a batch has pieces
Source = Iterator[tuple[Tensor, list[Tensor]]]
Finish = Callable[[Tensor], Tensor]


class Fed(NamedTuple):
    """A batch that is ready for the network.

    Attributes:
        places: Each frame's place among the rows, int64, (b,), on the CPU.
        views: Images as ``finish`` made them, (b, 3, size, size), channels last, and what was drawn for them.
    """

    places: Tensor
    views: list[View]


def fed(
    source: Source, device: torch.device, views: Views, first: int, finish: Finish, clock: Clock
) -> Generator[Fed, None, None]:
    """Batches with their views, in order.

    Who makes a view, and when, changes nothing about it: parameters hang on seed, step and sample. On a CPU idle cores
    make the views of the next batches, a piece each; if all are at work on the network, they make those of the next
    batch together, between two steps; it has been looked up by then. On a GPU views are made there, when they are asked
    for.

    Args:
        source: Places and frames, as a loader gives them.
        device: Where its frames are.
        views: What makes the views.
        first: Number of the first batch.
        finish: What else is to be done to images in [0, 1], (n, 3, size, size), sample by sample; keeps shape and type.
        clock: Told what was waited for: ``load`` and ``views``.

    Raises:
        Exception: Whatever went wrong in a thread, when the batch is asked for.
    """
    threads, ahead = _shares(device, torch.get_num_threads(), _cores())
    with _makers(threads) as pool:
        under_way: list[_Batch] = []
        for number in count(first):
            for batch in under_way:  # while they are made, the next one is looked up and its parameters are drawn
                batch.begin(pool)
            with clock.part("load"):
                found = next(source, None)
            if found is not None:
                with clock.part("views"):
                    under_way.append(_Batch(*found, views, number, finish, whole=pool is None))
                    if ahead:
                        under_way[-1].begin(pool)
            if not under_way:
                return
            if found is None or len(under_way) > max(1, ahead):
                with clock.part("views"):
                    ready = under_way.pop(0).wait()
                yield ready


class _Batch:
    """A batch on its way: its views are cut into pieces that anybody may make, in any order.

    Args:
        places: Each frame's place among the rows.
        shown: The frames of each view, or of all of them.
        views: What makes the views.
        number: Of the batch.
        finish: What else is to be done to images.
        whole: Make each view as one piece.
    """

    def __init__(
        self,
        places: Tensor,
        shown: list[Tensor],
        views: Views,
        number: int,
        finish: Finish,
        whole: bool,
    ) -> None:
        self._places, self._views, self._finish = places, views, finish
        self._ready: list[View] = []
        self._tasks: list[Callable[[], None]] = []
        for view in range(len(views)):
            frames, size = shown[view % len(shown)], views.size_of(view)
            drawn = views.draw(places, number, view)
            images = torch.empty(
                (len(frames), 3, size, size), dtype=views.dtype, device=frames.device, memory_format=torch.channels_last
            )
            pieces = [slice(None)] if whole else views.pieces(len(frames), view)
            self._tasks += [partial(self._make, frames, drawn, view, piece, images) for piece in pieces]
            self._ready.append(View(images, drawn))
        self._futures: list[Future[None]] = []

    def begin(self, pool: ThreadPoolExecutor | None) -> None:
        """Have the pieces made by threads, if there are any; once."""
        if pool is not None and not self._futures:
            # settings of torch's compiler belong to the thread that made them: each piece takes them along
            self._futures = [pool.submit(copy_context().run, task) for task in self._tasks]

    def _make(self, frames: Tensor, drawn: Parameters, view: int, piece: slice, images: Tensor) -> None:
        parameters = {name: values[piece] for name, values in drawn.items()}
        images[piece] = self._finish(self._views.replay(frames[piece], parameters, view))

    def wait(self) -> Fed:
        """The batch; pieces that nobody has begun are made here."""
        if not self._futures:
            for task in self._tasks:
                task()
            return Fed(self._places, self._ready)
        with _one_thread():
            for task, future in zip(self._tasks, self._futures, strict=True):
                if future.cancel():
                    task()
        for future in self._futures:
            if not future.cancelled():
                future.result()
        return Fed(self._places, self._ready)


def _shares(device: torch.device, threads: int, cores: int) -> tuple[int, int]:
    """How many threads make views beside this one, and how many batches ahead.

    Two that multiply matrices on one core wait for each other at every step, so no more are at work than there are
    cores: those that PyTorch leaves idle, or, between two steps, all of them.
    """
    if device.type != "cpu":
        return 0, 0
    return (min(cores - threads, _MOST), _AHEAD) if threads < cores else (min(cores - 1, _MOST), 0)


def _cores() -> int:
    """Those that this process may use; several that torchrun has started here share them."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, there // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextmanager
def _makers(wanted: int) -> Iterator[ThreadPoolExecutor | None]:
    """Threads that use one core each; all have ended when this is left."""
    if wanted == 0:
        yield None
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(wanted, "views", _use_one_core)
    try:
        there = Barrier(wanted + 1)
        for _ in range(wanted):
            pool.submit(there.wait)
        there.wait()
        torch.set_num_threads(threads)  # theirs would be what threads of others begin with
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _use_one_core() -> None:
    torch.get_num_threads()  # a thread's first look sets its number to everybody's: before, not after
    torch.set_num_threads(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """What is done inside uses one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
