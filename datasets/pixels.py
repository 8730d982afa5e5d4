"""Frames as bytes: lossless deflate through ISA-L, and reading them back from a mapped file."""

import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ssl_robot.errors import InputError

_THREADS = 2  # ISA-L releases the interpreter; more than two threads gained nothing where this was measured
_LEVEL = 1


def deflate(frame: NDArray[np.uint8]) -> bytes:
    """One frame as a zlib stream, as HDF5's standard deflate filter stores it."""
    return isal_zlib.compress(np.ascontiguousarray(frame).data, _LEVEL)


@dataclass(frozen=True)
class Chunks:
    """Where each frame of a camera lies in the file.

    Attributes:
        path: The file.
        shape: Height, width, channels.
        offset: First byte of each frame, (frames,).
        size: Bytes of each frame, (frames,).
        deflated: Whether each frame is a zlib stream rather than plain pixels, (frames,).
    """

    path: Path
    shape: tuple[int, int, int]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    deflated: NDArray[np.bool_]

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places, (b, h, w, c) uint8.

        Raises:
            InputError: If a frame cannot be decompressed to its size: the file is damaged.
        """
        out = np.empty((len(indices), *self.shape), np.uint8)
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:

            def fill(part: range) -> None:
                for row in part:
                    out[row] = self._frame(mapped, int(indices[row]))

            parts = [range(first, len(indices), _THREADS) for first in range(_THREADS)]
            if len(indices) < 32:  # starting threads would cost more than they save
                fill(range(len(indices)))
            else:
                with ThreadPoolExecutor(_THREADS) as pool:
                    list(pool.map(fill, parts))
        return out

    def _frame(self, mapped: mmap.mmap, index: int) -> NDArray[np.uint8]:
        start, size = int(self.offset[index]), int(self.size[index])
        data: bytes = mapped[start : start + size]
        expected = int(np.prod(self.shape))
        if self.deflated[index]:
            try:
                # asking for at most one byte too many keeps a damaged stream from filling the memory
                data = isal_zlib.decompressobj().decompress(data, expected + 1)
            except isal_zlib.error as error:  # type: ignore[misc]  # an instance, say the stubs
                raise InputError(
                    f"{self.path} is damaged at frame {index}: {error}; record or copy it again."
                ) from None
        if len(data) != expected:
            raise InputError(
                f"{self.path} is damaged at frame {index}: {len(data)} bytes where {expected} belong; "
                "record or copy it again."
            )
        return np.frombuffer(data, np.uint8).reshape(self.shape)
