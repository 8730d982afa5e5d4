"""One ``demo_i`` group of the file while it is being written."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.hdf5 import make_pictures, put_attribute, put_numbers
from ssl_robot.datasets.layout import checksum_path, columns, planes
from ssl_robot.datasets.pixels import checksum, deflate, plain
from ssl_robot.frames import Label, Row, Schema

_CHUNK_ROWS = 64  # of numbers that come in several flushes
_PLACE = 120  # bytes that HDF5 needs to find a chunk again


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
        self._planes, self._columns, self._labels = planes(schema), columns(schema), schema.labels
        self._cameras = schema.cameras
        self._attributes = attributes
        self._checksums: dict[str, int] = {}
        self._return = 0.0
        self._counted = 0
        self.rows = 0

    def estimate(self, row: Row) -> int:
        """Bytes that rows like this one take, with a margin."""
        pixels = sum(len(self._pack(plane.value(row))) for plane in self._planes)
        numbers: int = sum(int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize for column in self._columns)
        return int(1.2 * pixels) + numbers + _PLACE * len(self._planes)

    def _pack(self, frame: NDArray[Any]) -> bytes:
        return plain(frame) if self._raw else deflate(frame)

    def kept(self, row: Row) -> Row:
        """A copy of a row that can be written: it waits for the next flush, and its maker may use its arrays again.

        Raises:
            ValueError: If a picture or label is missing, or has not the schema's shape and type.
        """
        try:
            copied = replace(
                row,
                frames={name: frame.copy() for name, frame in row.frames.items()},
                labels={label.name: _numbers(label, row) for label in self._labels},
                depths={name: depth.copy() for name, depth in row.depths.items()},
                maps={name: found.copy() for name, found in row.maps.items()},
            )
            for plane in self._planes:
                _fits(plane.path, plane.value(copied), plane.shape, plane.dtype)
        except KeyError as error:
            raise ValueError(f"The row lacks {error}, which the schema has.") from None
        return copied

    def kept_final(self, final: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
        """A copy of final frames that can be written; not every camera needs one.

        Raises:
            ValueError: If one is of a camera that the schema lacks, or has not the schema's shape and type.
        """
        for camera, frame in final.items():
            if camera not in self._cameras:
                raise ValueError(f"The final frames have a camera '{camera}', which the schema lacks.")
            _fits(f"final_obs/{camera}", frame, self._cameras[camera], np.uint8)
        return {camera: frame.copy() for camera, frame in final.items()}

    def packed(self, rows: Sequence[Row], pool: ThreadPoolExecutor) -> list[list[bytes]]:
        """The pictures of rows as they are stored, for each plane."""
        half = len(rows) // 2
        other = pool.submit(self._packed, rows[:half])  # half of them each: to hand over single ones costs more
        mine = self._packed(rows[half:])
        return [first + second for first, second in zip(other.result(), mine, strict=True)]

    def _packed(self, rows: Sequence[Row]) -> list[list[bytes]]:
        return [[self._pack(plane.value(row)) for row in rows] for plane in self._planes]

    def extend(self, rows: Sequence[Row], seeds: Sequence[int], packed: list[list[bytes]], last: bool) -> None:
        """Append rows; ``last`` says that none will follow."""
        group = self._data.require_group(self._name)
        if self.rows == 0:
            for name, value in self._attributes.items():
                put_attribute(group, name, value)
            put_attribute(group, "independent", self._independent)
            if not self._independent:
                put_attribute(group, "content", _content(rows[0]))
        for plane, pictures in zip(self._planes, packed, strict=True):
            self._write_pictures(group, plane.path, plane.shape, plane.dtype, self.rows, pictures)
            if self._raw:
                sums = np.array([checksum(data) for data in pictures], np.uint32)
                self._write(group, checksum_path(plane.path), sums, last)
        for column in self._columns:
            values = np.asarray([column.value(row) for row in rows], column.dtype)
            self._write(group, column.path, values.reshape(len(rows), *column.shape), last)
        if self._independent:
            self._write(group, "seeds", np.array(seeds, np.int64), last)
            self._write(group, "contents", np.array([_content(row) for row in rows], np.uint64), last)
        self._return += sum(row.reward for row in rows)
        self.rows += len(rows)

    def count(self) -> int:
        """Let readers see the rows written since the last count; returns how many."""
        group, new = self._data[self._name], self.rows - self._counted
        if self._counted:
            group.attrs["num_samples"] = self.rows
        else:
            put_attribute(group, "num_samples", self.rows)
        self._counted = self.rows
        return new

    def finish(self, final: Mapping[str, NDArray[np.uint8]], success: bool | None) -> None:
        """Write what is known only at the end: checksums, final frames, success, return."""
        group = self._data[self._name]
        if not self._independent:
            put_attribute(group, "return", self._return)
            if success is not None:
                put_attribute(group, "success", success)
            for camera, frame in final.items():
                path = f"final_obs/{camera}"
                self._write_pictures(group, path, frame.shape, frame.dtype, 0, [self._pack(frame)])
                self._checksums[path] = checksum(np.ascontiguousarray(frame))
        put_attribute(group, "checksums", json.dumps(self._checksums))

    def drop(self) -> int:
        """Remove the group; returns how many rows it had."""
        if self._name in self._data:
            del self._data[self._name]
            self._data.attrs["total"] = int(self._data.attrs["total"]) - self._counted
        return self._counted

    def _write_pictures(
        self, group: h5py.Group, path: str, shape: tuple[int, ...], dtype: Any, first: int, pictures: list[bytes]
    ) -> None:
        if first == 0:
            chunks = make_pictures(group, path, len(pictures), shape, dtype, self._raw)
        else:
            dataset = group[path]
            dataset.resize(first + len(pictures), axis=0)
            chunks = dataset.id
        origin = (0,) * len(shape)
        for row, data in enumerate(pictures, first):
            chunks.write_direct_chunk((row, *origin), data)

    def _write(self, group: h5py.Group, path: str, values: NDArray[Any], last: bool) -> None:
        if self.rows == 0 and last:
            put_numbers(group, path, values)
        else:
            if self.rows == 0:
                # a label may have no numbers, a chunk may not
                chunk = (_CHUNK_ROWS, *(max(1, n) for n in values.shape[1:]))
                most = (None, *(n or None for n in values.shape[1:]))
                group.create_dataset(path, (0, *values.shape[1:]), values.dtype, chunks=chunk, maxshape=most)
            group[path].resize(self.rows + len(values), axis=0)
            group[path][self.rows :] = values
        self._checksums[path] = checksum(np.ascontiguousarray(values), self._checksums.get(path, 0))


def _fits(path: str, picture: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> None:
    if picture.shape != shape or picture.dtype != dtype:
        raise ValueError(f"{path} takes {np.dtype(dtype)} of {shape}, not {picture.dtype} of {picture.shape}.")


def _numbers(label: Label, row: Row) -> NDArray[np.float64]:
    numbers = np.array(row.labels[label.name], np.float64).reshape(-1)
    if len(numbers) != len(label.components):
        raise ValueError(f"{label.name} takes {len(label.components)} numbers, not {len(numbers)}.")
    return numbers


def _content(row: Row) -> np.uint64:
    digest = hashlib.blake2b(digest_size=8)
    for camera in sorted(row.frames):
        digest.update(np.ascontiguousarray(row.frames[camera]).data)
    return np.uint64(int.from_bytes(digest.digest(), "little"))
