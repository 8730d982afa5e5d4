"""One ``demo_i`` group of the file while it is being written."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.layout import Plane, checksum_path, columns, fixed, planes
from ssl_robot.datasets.pixels import checksum, deflate, plain
from ssl_robot.frames import Label, Row, Schema

_CHUNK_ROWS = 64  # of numbers that come in several flushes
_HEADER = 4096  # bytes that a data set of its own may take beside its content


@dataclass(frozen=True)
class Moment:
    """A row on its way to the disk.

    Attributes:
        row: Its numbers; the pictures are left out.
        pictures: As they will be stored, for each plane.
        seed: What it was reset with, in a group of independent rows.
        content: Hash of what its cameras saw, where that is kept.
    """

    row: Row
    pictures: list[Future[bytes]]
    seed: int
    content: np.uint64


class Demo:
    """Rows that share a group: an episode, or independent rows.

    The group appears with its first rows. Numbers of an episode that comes in one piece lie in one piece; those of a
    longer one lie in chunks that are written where they were, never moved, so that a crash cannot take old rows along.

    Args:
        data: The file's ``data`` group.
        name: As in ``demo_7``.
        schema: What every row holds.
        raw: Keep pixels as they are.
        attributes: Numbers and texts about the episode.
        independent: Every row is an episode of its own.
    """

    def __init__(
        self, data: h5py.Group, name: str, schema: Schema, raw: bool, attributes: Mapping[str, Any], independent: bool
    ) -> None:
        self._data, self._name, self._raw, self._independent = data, name, raw, independent
        self._planes, self._columns = planes(schema), columns(schema)
        self._attributes = attributes
        self._checksums: dict[str, int] = {}
        self._return = 0.0
        self._counted = 0
        self.rows = 0

    def estimate(self, row: Row) -> int:
        """Bytes that rows like this one take, with a margin."""
        pixels = sum(len(self._pack(plane.value(row))) for plane in self._planes)
        return int(1.2 * pixels) + self.number_bytes(1000) // 1000

    def _pack(self, frame: NDArray[Any]) -> bytes:
        return plain(frame) if self._raw else deflate(frame)

    def received(self, row: Row, seed: int, first: bool, pool: ThreadPoolExecutor) -> Moment:
        """Start packing a row's pictures.

        Raises:
            ValueError: If a picture has not the schema's shape and type.
        """
        pictures = [pool.submit(self._pack, _fitting(plane, row)) for plane in self._planes]
        content = _content(row) if first or self._independent else np.uint64(0)
        return Moment(replace(row, frames={}, depths={}), pictures, seed, content)

    def number_bytes(self, rows: int) -> int:
        """The most that the numbers of some rows take."""
        one: int = sum(int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize for column in self._columns)
        one += 16 + 64 * len(self._planes)  # seed and content, and the place of each picture
        return one * (rows + _CHUNK_ROWS) + _HEADER * (len(self._columns) + 2 * len(self._planes) + 3)

    def extend(self, moments: Sequence[Moment], last: bool) -> None:
        """Append rows; ``last`` says that none will follow."""
        group = self._data.require_group(self._name)
        if self.rows == 0:
            group.attrs.update({name: fixed(value) for name, value in self._attributes.items()})
            group.attrs["num_samples"] = 0
            group.attrs["independent"] = self._independent
            if not self._independent:
                group.attrs["content"] = moments[0].content
        for i, plane in enumerate(self._planes):
            pictures = [moment.pictures[i].result() for moment in moments]
            self._write_pictures(group, plane.path, plane.shape, plane.dtype, self.rows, pictures)
            if self._raw:
                self._write(
                    group, checksum_path(plane.path), np.array([checksum(data) for data in pictures], np.uint32), last
                )
        for column in self._columns:
            values = np.asarray([column.value(moment.row) for moment in moments], column.dtype)
            self._write(group, column.path, values.reshape(len(moments), *column.shape), last, column.label)
        if self._independent:
            self._write(group, "seeds", np.array([moment.seed for moment in moments], np.int64), last)
            self._write(group, "contents", np.array([moment.content for moment in moments], np.uint64), last)
        self._return += sum(moment.row.reward for moment in moments)
        self.rows += len(moments)

    def count(self, data: h5py.Group) -> None:
        """Let readers see the rows written since the last count."""
        data[self._name].attrs["num_samples"] = self.rows
        data.attrs["total"] = int(data.attrs["total"]) + self.rows - self._counted
        self._counted = self.rows

    def finish(self, final: Mapping[str, NDArray[np.uint8]], success: bool | None) -> None:
        """Write what is known only at the end: checksums, final frames, success, return."""
        group = self._data[self._name]
        for path, value in self._checksums.items():
            group[path].attrs["crc32"] = np.uint32(value)
        if self._independent:
            return
        group.attrs["return"] = self._return
        if success is not None:
            group.attrs["success"] = success
        for camera, frame in final.items():
            self._write_pictures(group, f"final_obs/{camera}", frame.shape, frame.dtype, 0, [self._pack(frame)])
            group[f"final_obs/{camera}"].attrs["crc32"] = np.uint32(checksum(np.ascontiguousarray(frame)))

    def drop(self) -> int:
        """Remove the group; returns how many rows it had."""
        if self._name in self._data:
            del self._data[self._name]
            self._data.attrs["total"] = int(self._data.attrs["total"]) - self._counted
        return self._counted

    def _write_pictures(
        self, group: h5py.Group, path: str, shape: tuple[int, ...], dtype: Any, first: int, pictures: list[bytes]
    ) -> None:
        if path not in group:
            options: dict[str, Any] = {} if self._raw else {"compression": "gzip", "shuffle": dtype != np.uint8}
            group.create_dataset(path, (0, *shape), dtype, chunks=(1, *shape), maxshape=(None, *shape), **options)
        dataset = group[path]
        dataset.resize(first + len(pictures), axis=0)
        origin = (0,) * len(shape)
        for row, data in enumerate(pictures, first):
            dataset.id.write_direct_chunk((row, *origin), data)

    def _write(
        self, group: h5py.Group, path: str, values: NDArray[Any], last: bool, label: Label | None = None
    ) -> None:
        shape = values.shape[1:]
        if self.rows == 0:
            if last:
                group.create_dataset(path, data=values)
            else:
                chunk, most = (_CHUNK_ROWS, *shape), (None, *shape)
                group.create_dataset(path, (0, *shape), values.dtype, chunks=chunk, maxshape=most)
            if label is not None:  # for readers that do not know our schema
                group[path].attrs["components"] = np.array(label.components, "S")
                group[path].attrs["units"] = np.array(label.units, "S")
        if self.rows > 0 or not last:
            group[path].resize(self.rows + len(values), axis=0)
            group[path][self.rows :] = values
        self._checksums[path] = checksum(np.ascontiguousarray(values), self._checksums.get(path, 0))


def _fitting(plane: Plane, row: Row) -> NDArray[Any]:
    picture = plane.value(row)
    if picture.shape != plane.shape or picture.dtype != plane.dtype:
        raise ValueError(
            f"{plane.path} takes {np.dtype(plane.dtype)} of {plane.shape}, not {picture.dtype} of {picture.shape}."
        )
    return picture


def _content(row: Row) -> np.uint64:
    digest = hashlib.blake2b(digest_size=8)
    for camera in sorted(row.frames):
        digest.update(np.ascontiguousarray(row.frames[camera]).data)
    return np.uint64(int.from_bytes(digest.digest(), "little"))
