"""Runs side by side in processes of one thread each, which on a CPU beats one process with several threads by far."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from ssl_robot.errors import KilledError

_LOOK = 2.0  # seconds between two looks at whether the parent lives
_GRACE = 10.0  # seconds for a checkpoint

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def performed(
    perform: Callable[[Task], Answer], tasks: Sequence[Task], workers: int, bar: "tqdm[Any]"
) -> Iterator[Answer]:
    """Answers as they come; when one fails or the user interrupts, nothing goes on behind the back.

    When the system kills a process, whatever was under way is tried once more, one by one, and the rest goes on.

    Args:
        perform: A function of a module, so that other processes find it.
        tasks: What can be pickled.
        workers: Processes side by side.
        bar: Moves on with every answer.

    Raises:
        KilledError: After all other answers, if there are tasks whose process was killed again.
    """
    left, killed = deque(tasks), 0
    while left:
        broken = yield from _side_by_side(perform, left, workers, bar)
        if broken:
            warnings.warn(
                "A process was killed, as by a system that has no memory left: what was under way is tried again, one "
                "by one; fewer --workers need less.",
                stacklevel=2,
            )
        for task in broken:
            again = yield from _side_by_side(perform, deque([task]), 1, bar)
            killed += len(again)
    if killed:
        raise KilledError(
            "The process was killed twice, the second time with nothing beside it, as by a system that has no memory "
            "left: free some, or ask for smaller batches."
        )


def _side_by_side(
    perform: Callable[[Task], Answer], left: deque[Task], workers: int, bar: "tqdm[Any]"
) -> Generator[Answer, None, list[Task]]:
    """Answers of one pool, until all are there or one of its processes is killed.

    Args:
        perform: As for ``performed``.
        left: What is to be done; what is begun is taken out.
        workers: Processes side by side.
        bar: Moves on with every answer.

    Returns:
        What was under way when a process was killed; the pool cannot tell which of its processes did what.
    """
    others = set(multiprocessing.active_children())
    pool, broken = _pool(min(workers, len(left))), []
    under_way: dict[Future[Answer], Task] = {}
    try:
        _begin(pool, perform, left, under_way, workers)
        while under_way:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                task = under_way.pop(future)
                try:
                    answer = future.result()
                except BrokenProcessPool:
                    broken.append(task)
                    continue
                _begin(pool, perform, left, under_way, workers)
                bar.update()
                yield answer
        if broken:
            _end(set(multiprocessing.active_children()) - others)
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:  # or leaving would wait for their runs to end
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return broken


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    shares = context.SimpleQueue()
    for share in _shares(workers):
        shares.put(share)
    pool = ProcessPoolExecutor(workers, context, initializer=_settle, initargs=(shares,))
    for _ in range(
        workers
    ):  # a pool sees the death of those processes alone that were there when it was last spoken to
        pool.submit(int)
    return pool


def _begin(
    pool: ProcessPoolExecutor,
    perform: Callable[[Task], Answer],
    left: deque[Task],
    under_way: dict[Future[Answer], Task],
    workers: int,
) -> None:
    """As many tasks as there are workers; one more would lie in the pool's pipe, and be begun by one told to end."""
    while left and len(under_way) < workers:
        try:
            future = pool.submit(perform, left[0])
        except BrokenProcessPool:  # a process was killed since the last answer
            return
        under_way[future] = left.popleft()


def _end(children: Iterable[BaseProcess]) -> None:
    """Leave the processes of a broken pool, which has told them to end, the time for a checkpoint, and no more."""
    until = time.monotonic() + _GRACE
    for child in children:
        child.join(max(0.0, until - time.monotonic()))
        child.kill()


def _shares(workers: int) -> list[set[int]]:
    """Cores for each worker: equal parts, or all where there are not enough, or none can be asked for."""
    if not hasattr(os, "sched_getaffinity"):
        return [set()] * workers
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[i::workers]) or set(cores) for i in range(workers)]


def _settle(shares: "SimpleQueue[set[int]]") -> None:
    """One thread on cores of its own for each worker; an interrupt is the parent's to handle, and its end is ours."""
    threading.Thread(target=_outlive_nobody, args=(os.getppid(),), daemon=True).start()
    share = shares.get()
    if share:
        os.sched_setaffinity(0, share)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _outlive_nobody(parent: int) -> None:
    """Tell this process to end when the one that wanted its answers was killed, for nobody else does."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)  # a run writes its checkpoint first
    time.sleep(_GRACE)
    os._exit(1)  # what the run left would wait for another task for ever
