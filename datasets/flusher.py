"""Work that is done behind the back of a loop that must not wait for it."""

import threading
from collections.abc import Callable


class Flusher:
    """Does the same work again and again in a thread of its own: when asked, and by itself once in a while.

    Args:
        work: What to do.
        seconds: Between two times without being asked.

    Attributes:
        told: Whether somebody has heard what the work raised.
    """

    def __init__(self, work: Callable[[], None], seconds: float) -> None:
        self._work, self._seconds = work, seconds
        self._changed = threading.Condition()
        self._asked = self._done = 0  # how often
        self._over = self.told = False
        self._error: BaseException | None = None
        # a daemon: an interpreter whose recorder was never closed must end all the same
        self._thread = threading.Thread(target=self._serve, name="flusher", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have it done soon.

        Raises:
            BaseException: What the work raised, then or earlier.
        """
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
        self._tell()

    def wait(self) -> None:
        """Have it done now; when this returns, a whole turn of the work began after the call.

        Raises:
            BaseException: What the work raised, then or earlier.
        """
        with self._changed:
            self._asked += 1
            wanted = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= wanted or self._error is not None)
        self._tell()

    def stop(self) -> None:
        """End the thread; work that has begun is finished."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join()

    def _tell(self) -> None:
        if self._error is not None:
            self.told = True
            raise self._error

    def _serve(self) -> None:
        while self._error is None:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._asked > self._done, self._seconds)
                if self._over:
                    return
                asked = self._asked
            try:
                self._work()
            except BaseException as error:
                self._error = error
            with self._changed:
                self._done = asked
                self._changed.notify_all()
