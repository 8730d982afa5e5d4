"""Frames as bytes: lossless deflate through ISA-L, and reading them back from a mapped file."""

import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ssl_robot.errors import InputError

_LEVEL = 1
_MAPPED = 2**28  # bytes read through one mapping of a larger file: pages once seen count as our memory


def deflate(frame: NDArray[Any]) -> bytes:
    """One frame as HDF5's standard filters store it: a zlib stream, of shuffled bytes where numbers have several."""
    plane = np.ascontiguousarray(frame)
    if plane.itemsize > 1:
        plane = np.ascontiguousarray(plane.view(np.uint8).reshape(-1, plane.itemsize).T)
    return isal_zlib.compress(plane.data, _LEVEL)


def plain(frame: NDArray[Any]) -> bytes:
    """One frame as it is."""
    return frame.tobytes()


def checksum(data: bytes | NDArray[Any], start: int = 0) -> int:
    """CRC-32 of bytes, going on from that of the bytes before."""
    return isal_zlib.crc32(data, start)


@dataclass
class Chunks:
    """Where each frame of a camera lies in the file.

    Attributes:
        path: The file.
        shape: Of one frame.
        dtype: Of its numbers.
        offset: First byte of each frame, (frames,).
        size: Bytes of each frame, (frames,).
        deflated: Whether each frame is a zlib stream rather than plain pixels, (frames,).
        checksums: CRC-32 of each plain frame, (frames,), compared when it is first read; 0 where there is none.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: Any
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    deflated: NDArray[np.bool_]
    checksums: NDArray[np.uint32]

    def __post_init__(self) -> None:
        self._bytes = int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize
        self._raw = not self.deflated.any()
        self._known = self.checksums == 0  # frames whose checksum need not be looked at any more
        self._mapping: NDArray[np.uint8] | None = None
        self._seen = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapping": None}

    def read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Frames at the given places, (b, *shape).

        Raises:
            InputError: If a frame is not what was written: the file is damaged.
        """
        mapped = self._map(int(self.size[indices].sum()))
        out = self._plain(mapped, indices) if self._raw else self._inflated(mapped, indices)
        frames: NDArray[Any] = out.view(self.dtype).reshape(len(indices), *self.shape)
        return frames

    def _map(self, wanted: int) -> NDArray[np.uint8]:
        if self._mapping is None or (self._seen > _MAPPED and len(self._mapping) > _MAPPED):
            with self.path.open("rb") as file:
                whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._mapping, self._seen = np.frombuffer(whole, np.uint8), 0
        self._seen += wanted
        return self._mapping

    def _plain(self, mapped: NDArray[np.uint8], indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        starts, size = self.offset[indices], self._bytes
        wrong = (self.size[indices] != size) | (starts + size > len(mapped))
        if wrong.any():
            raise self._damaged(int(indices[wrong.argmax()]), f"{size} bytes belong there")
        out: NDArray[np.uint8] = sliding_window_view(mapped, size)[starts]  # wherever they lie, in one go
        for i in np.flatnonzero(~self._known[indices]).tolist():
            index = int(indices[i])
            if checksum(out[i]) != self.checksums[index]:
                raise self._damaged(index, "its checksum is another")
            self._known[index] = True
        return out

    def _inflated(self, mapped: NDArray[np.uint8], indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        out = np.empty((len(indices), self._bytes), np.uint8)
        half = len(indices) // 2
        if half < 16:  # starting a thread would cost more than it saves
            self._inflate(mapped, indices, out)
            return out
        with ThreadPoolExecutor(1) as pool:  # and this thread itself: two new ones were often put on the same core
            other = pool.submit(self._inflate, mapped, indices[:half], out[:half])
            self._inflate(mapped, indices[half:], out[half:])
            other.result()
        return out

    def _inflate(self, mapped: NDArray[np.uint8], indices: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        itemsize = np.dtype(self.dtype).itemsize
        for row, index in zip(out, indices.tolist(), strict=True):
            start, size = int(self.offset[index]), int(self.size[index])
            data: Any = mapped[start : start + size]
            if self.deflated[index]:
                try:
                    # asking for at most one byte too many keeps a damaged stream from filling the memory
                    data = np.frombuffer(isal_zlib.decompressobj().decompress(data.data, self._bytes + 1), np.uint8)
                except isal_zlib.error as error:  # type: ignore[misc]  # an instance, say the stubs
                    raise self._damaged(index, str(error)) from None
            if len(data) != self._bytes:
                raise self._damaged(index, f"{len(data)} bytes where {self._bytes} belong")
            row[:] = data if itemsize == 1 else data.reshape(itemsize, -1).T.reshape(-1)

    def _damaged(self, index: int, what: str) -> InputError:
        return InputError(f"{self.path} is damaged at frame {index}: {what}; record or copy it again.")
