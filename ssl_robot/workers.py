"""Runs side by side in processes of one thread each, which on a CPU beats one process with several threads by far."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar

import torch
from tqdm import tqdm

_LOOK = 2.0  # seconds between two looks at whether the parent lives
_GRACE = 10.0  # seconds for a checkpoint

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def performed(
    perform: Callable[[Task], Answer], tasks: Sequence[Task], workers: int, bar: "tqdm[Any]"
) -> Iterator[Answer]:
    """Answers as they come; when one fails or the user interrupts, nothing goes on behind the back.

    Args:
        perform: A function of a module, so that other processes find it.
        tasks: What can be pickled.
        workers: Processes side by side.
        bar: Moves on with every answer.
    """
    if not tasks:
        return
    context, left = multiprocessing.get_context("spawn"), iter(tasks)
    shares = context.SimpleQueue()
    for share in _shares(workers):
        shares.put(share)
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, initializer=_settle, initargs=(shares,))
    try:
        # a task more than there are workers would lie in the pool's pipe, and be begun by one that is told to end
        under_way = {pool.submit(perform, task) for task in islice(left, workers)}
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                answer = future.result()
                under_way |= {pool.submit(perform, task) for task in islice(left, 1)}
                bar.update()
                yield answer
    except BaseException:
        for child in multiprocessing.active_children():  # or leaving would wait for their runs to end
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


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
