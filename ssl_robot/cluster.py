"""Runs side by side on many machines, over Ray: one task for each, the same answers as on one machine."""

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from ssl_robot.errors import InputError, KilledError

_PATIENCE = 5.0  # seconds

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def performed(
    perform: Callable[[Task], Answer], tasks: Sequence[Task], address: str, bar: "tqdm[Any]"
) -> Iterator[Answer]:
    """Answers as they come; when one fails or the user interrupts, the rest is called off.

    A machine that is lost costs its unfinished tasks some time, for others do them again. Files that tasks name must be
    there under the same path on every machine, as on a shared disk.

    Args:
        perform: A function of a module, so that other machines find it.
        tasks: What can be pickled.
        address: Of a running cluster; ``auto`` for one that this machine is part of; ``local`` for one of its own.
        bar: Moves on with every answer.

    Raises:
        InputError: If Ray is not installed, or there is no cluster.
        KilledError: After all other answers, if there are tasks whose process was killed each time.
    """
    if not tasks:
        return
    ray = _joined(address)
    remote = ray.remote(num_cpus=1, max_retries=3)(_alone)
    under_way, killed = [remote.remote(perform, task) for task in tasks], 0
    try:
        while under_way:
            done, under_way = ray.wait(under_way)
            for reference in done:
                try:
                    answer: Answer = ray.get(reference)
                except ray.exceptions.RayTaskError:  # the task's own
                    raise
                except ray.exceptions.RayError:
                    killed += 1
                    continue
                bar.update()
                yield answer
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
    if killed:
        raise KilledError(
            "The process was killed each time, as on machines that have no memory left: free some, or ask for smaller "
            "batches."
        )


def _alone(perform: Callable[[Task], Answer], task: Task) -> Answer:
    """One thread for each task, as on one machine."""
    import torch

    torch.set_num_threads(1)
    return perform(task)


def _joined(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed: pip install 'ssl-robot[ray]', or leave out --ray.") from None
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(None if address == "local" else address, logging_level=logging.ERROR, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise InputError(
                f"There is no Ray cluster at '{address}' ({why}): start one by 'ray start --head', or give --ray local."
            ) from None
    return ray


def _knock(address: str) -> None:
    """Refuse an address where nobody listens, for which Ray would wait five minutes; ``OSError`` if so."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
