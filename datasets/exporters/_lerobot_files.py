"""The files of LeRobot v3 that grow: tables of rows, and videos, of many episodes each."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

CHUNK_FILES = 1000  # in a folder
DATA_MEGABYTES, VIDEO_MEGABYTES = 100, 200  # at which an episode begins another file
_ROWS, _BYTES = 1000, 2**24  # held before they are written as a row group
# every other frame is a key frame, as LeRobot makes them: training asks for frames in any order
_OPTIONS = {"libsvtav1": {"g": "2", "crf": "30"}, "h264": {"g": "2", "crf": "23", "bf": "0"}}


class Tables:
    """The rows of all episodes.

    Args:
        folder: The dataset's root.
        schema: Columns of a row.
    """

    def __init__(self, folder: Path, schema: pyarrow.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._file = -1
        self._writer: Any = None
        self._held: list[dict[str, Any]] = []
        self._bytes = 0

    def begin(self) -> tuple[int, int]:
        """Chunk and number of the file that the next episode goes into."""
        if self._writer is None or self._path.stat().st_size >= DATA_MEGABYTES * 2**20:
            self.close()
            self._file += 1
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pyarrow.parquet.ParquetWriter(self._path, self._schema, compression="snappy")
        return divmod(self._file, CHUNK_FILES)

    def add(self, row: dict[str, Any], size: int) -> None:
        """Append a row that takes about so many bytes."""
        self._held.append(row)
        self._bytes += size
        if len(self._held) >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._writer = None

    @property
    def _path(self) -> Path:
        chunk, file = divmod(self._file, CHUNK_FILES)
        return self._folder / f"data/chunk-{chunk:03d}/file-{file:03d}.parquet"

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pyarrow.Table.from_pylist(self._held, self._schema))
        self._held, self._bytes = [], 0


class Film:
    """What a camera saw in all episodes, as videos.

    Args:
        folder: The dataset's root.
        key: Name of the feature.
        shape: Height, width and channels.
        fps: Frames per second.
        codec: Encoder.
    """

    def __init__(self, folder: Path, key: str, shape: tuple[int, int, int], fps: float, codec: str) -> None:
        os.environ.setdefault("SVT_LOG", "1")  # the encoder reports its settings otherwise, file by file
        self._folder, self._key, self._shape, self._codec = folder, key, shape, codec
        self._rate = Fraction(fps).limit_denominator(10_000)
        self._file = -1
        self._container: Any = None
        self._frames = self._bytes = 0

    def begin(self) -> dict[str, Any]:
        """Where the next episode's frames go: chunk, number of the file, and seconds before them."""
        if self._container is None or self._bytes >= VIDEO_MEGABYTES * 2**20:
            self.close()
            self._file += 1
            self._open()
        chunk, file = divmod(self._file, CHUNK_FILES)
        return {"chunk_index": chunk, "file_index": file, "from_timestamp": self.seconds()}

    def seconds(self) -> float:
        """How long the file is by now."""
        return float(self._frames / self._rate)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame."""
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = self._frames, 1 / self._rate
        self._mux(self._stream.encode(picture))
        self._frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._container is not None:
            self._mux(self._stream.encode())
            self._container.close()
            self._container = None

    def _mux(self, packets: Any) -> None:
        self._bytes += sum(packet.size for packet in packets)
        self._container.mux(packets)

    @property
    def _path(self) -> Path:
        chunk, file = divmod(self._file, CHUNK_FILES)
        return self._folder / f"videos/{self._key}/chunk-{chunk:03d}/file-{file:03d}.mp4"

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._path), "w")
        self._stream = self._container.add_stream(self._codec, rate=self._rate, options=_OPTIONS[self._codec])
        self._stream.height, self._stream.width, self._stream.pix_fmt = *self._shape[:2], "yuv420p"
        self._frames = self._bytes = 0
