"""A video that holds many episodes, played forward once."""

import math
from collections.abc import Iterator
from pathlib import Path

import av

from ssl_robot.datasets.pictures import DamageError, played

_FORWARD = 10.0  # seconds of video that are decoded on the way; across more, it is quicker to seek


class Reel:
    """The video file in use, with the frame that it has come to.

    Frames are asked for by time. Those of one episode after the other are decoded once, in order; asking for an earlier
    one, or one much later, goes to the key frame before it.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._frame: av.VideoFrame | None = None
        self._sought = False

    def at(self, path: Path, name: str, time: float, tolerance: float) -> av.VideoFrame | None:
        """The frame of a video that is presented at a time; ``None`` if there is none.

        Args:
            path: The video.
            name: What to call it in a message.
            time: Seconds since its beginning.
            tolerance: How far the frame may be from it, seconds.

        Raises:
            DamageError: If the video is missing or cannot be decoded.
        """
        try:
            return self._found(path, name, time, tolerance, _FORWARD)
        except DamageError:
            sought = self._sought
            self.close()
            if not sought:
                raise
        # what follows a key frame may need what comes before it ("open" groups of pictures): from the beginning, then
        try:
            return self._found(path, name, time, tolerance, math.inf)
        except DamageError:
            self.close()
            raise

    def _found(self, path: Path, name: str, time: float, tolerance: float, forward: float) -> av.VideoFrame | None:
        try:
            if path != self._path:
                self._open(path, name)
            if self._frame is None or not -tolerance <= time - self._frame.time <= forward:
                self._seek(time, tolerance)
            while self._frame is not None and self._frame.time < time - tolerance:
                self._step()
        except av.FFmpegError as error:
            raise DamageError(f"{name} cannot be decoded ({error.strerror})") from None
        found = self._frame
        if found is None or abs(found.time - time) > tolerance:
            return None
        if found.is_corrupt:
            raise DamageError(f"{name} has a damaged frame at {found.time:.3f} s")
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._container.close()
        self._path, self._container, self._frames, self._frame = None, None, iter(()), None
        self._sought = False

    def _open(self, path: Path, name: str) -> None:
        self.close()
        self._container, self._path = played(path, name), path
        self._frames = self._container.decode(video=0)
        self._step()

    def _seek(self, time: float, tolerance: float) -> None:
        """To the key frame at or before a time."""
        # a key frame is found by the time it is stored under, which may be earlier than the one it is shown at
        for start in (time, 0.0):
            assert self._container is not None
            self._sought = True
            self._container.seek(max(int(start * av.time_base), 0))
            self._frames = self._container.decode(video=0)
            self._step()
            if self._frame is not None and self._frame.time <= time + tolerance:
                return

    def _step(self) -> None:
        self._frame = next(self._frames, None)
        while self._frame is not None and self._frame.pts is None:
            self._frame = next(self._frames, None)
