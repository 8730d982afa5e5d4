"""Ctrl-C and the scheduler's SIGTERM, heard between two steps instead of in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody wants the work to end.

    Attributes:
        signal: What was heard, or none.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take note; a second one is not waited for."""
        if self.signal is not None:
            self.leave()
        self.signal = number

    def leave(self) -> None:
        """End as the signal would have.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
            SystemExit: After SIGTERM, with 143.
        """
        if self.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[Stop]:
    """Note signals while the work goes on, but those that this process ignores; only the main thread hears any."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = [signal.signal(number, stop.hear) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
