"""Recording to disk: rows in, a file that is whole after every flush."""

import hashlib
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.pixels import deflate
from ssl_robot.datasets.store import FORMAT, VERSION, column_path, fixed, open_file, schema_of
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

FLUSH_ROWS = 256
FLUSH_SECONDS = 2.0
GROUP_ROWS = 1000  # independent rows share a group: a group each would take minutes and 1.5x the space at 20,000
_LIBRARY = ("v108", "v108")  # survives SIGKILL after a flush, half the bytes per group, and robomimic opens it
_SCALARS: dict[str, Any] = {
    "rewards": np.float64,
    "dones": np.uint8,
    "terminated": np.uint8,
    "truncated": np.uint8,
    "timestamps": np.float64,
}

IfExists = Literal["error", "append", "overwrite"]


class FrameWriter:
    """Writes episodes into a file; a ``FrameSink``, and a context manager that closes it.

    The file is whole after every flush; one that never got a row is removed again.

    Args:
        path: The file.
        schema: What every row holds.
        attributes: Provenance kept at the root: numbers and texts.
        independent: Every episode is one row that shares a group with others (independent resets).
        raw: Keep pixels as they are instead of compressing them.
        if_exists: Refuse, append to, or replace a file that is already there.

    Raises:
        InputError: If the file exists and must not, its folder does not exist, or its rows hold something else.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Schema,
        attributes: Mapping[str, Any],
        independent: bool = False,
        raw: bool = False,
        if_exists: IfExists = "error",
    ) -> None:
        self.path = Path(path)
        self.schema = schema
        self.independent = independent
        self._raw = raw
        self._file = _opened(self.path, schema, attributes, if_exists)
        self._data = self._file["data"]
        self._group: h5py.Group | None = None
        self._pending: list[Row] = []
        self._rows_in_group = 0
        self._seed: int | None = None
        self._pool = ThreadPoolExecutor(2)
        self._flushed = time.monotonic()

    def begin(self, seed: int | None = None) -> None:
        """Start an episode."""
        self._seed = seed
        full = self._rows_in_group + len(self._pending) >= GROUP_ROWS
        if self._group is None or not self.independent or full:
            self.flush()
            self._group = self._new_group()

    def add(self, row: Row) -> None:
        """Append one row to the episode; reaches the disk within 256 rows or two seconds."""
        if self.independent:
            self._add_episode_columns(row)
        self._pending.append(row)
        if len(self._pending) >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def end(self, final: Mapping[str, NDArray[np.uint8]] | None = None, success: bool = False) -> None:
        """End the episode, with the frames seen after its last action."""
        if self.independent or self._group is None:
            return
        self.flush()
        if self._rows_in_group == 0:
            return
        self._group.attrs["success"] = success
        for camera, frame in (final or {}).items():
            dataset = self._new_frames(self._group.require_group("final_obs"), camera, frame.shape)
            self._write_frames(dataset, 0, [frame])
        self._file.flush()

    def flush(self) -> None:
        """Bring every pending row to the disk; the row count is written last, so a reader sees whole rows only."""
        if self._pending and self._group is not None:
            first, last = self._rows_in_group, self._rows_in_group + len(self._pending)
            for camera in self.schema.cameras:
                self._write_frames(self._group["obs"][camera], first, [row.frames[camera] for row in self._pending])
            for label in self.schema.labels:
                _extend(self._group[column_path(label.name)], first, [row.labels[label.name] for row in self._pending])
            for name, values in _scalars(self._pending).items():
                _extend(self._group[name], first, values)
            if first == 0 and not self.independent:
                self._group.attrs["content"] = _content(self._pending[0])
            self._file.flush()
            self._group.attrs["num_samples"] = last
            self._data.attrs["total"] = int(self._data.attrs["total"]) + last - first
            self._rows_in_group, self._pending = last, []
            self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close; an episode without rows is dropped, and so is a file without episodes."""
        if not self._file:
            return
        self.flush()
        if self._group is not None and self._rows_in_group == 0:
            del self._data[self._group.name]
        empty = not len(self._data)
        self._pool.shutdown()
        self._file.close()
        if empty:
            self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _new_group(self) -> h5py.Group:
        if self._group is not None and self._rows_in_group == 0:
            del self._data[self._group.name]  # an episode without rows is none
        taken = [int(name[5:]) for name in self._data]
        group = self._data.create_group(f"demo_{max(taken, default=-1) + 1}")
        group.attrs["num_samples"] = 0
        obs = group.create_group("obs")
        for camera, shape in self.schema.cameras.items():
            self._new_frames(obs, camera, shape)
        rows = GROUP_ROWS if self.independent else 64
        for label in self.schema.labels:
            _new_column(group, column_path(label.name), rows, len(label.components), np.float64, label)
        for name, kind in _SCALARS.items():
            _new_column(group, name, rows, 0, kind)
        if self.independent:
            group.attrs["independent"] = True
            _new_column(group, "seeds", rows, 0, np.int64)
            _new_column(group, "contents", rows, 0, np.uint64)
        else:
            group.attrs["seed"] = -1 if self._seed is None else self._seed
            group.attrs["content"] = np.uint64(0)
        self._rows_in_group = 0
        return group

    def _new_frames(self, group: h5py.Group, camera: str, shape: tuple[int, ...]) -> h5py.Dataset:
        return group.create_dataset(
            camera,
            (0, *shape),
            np.uint8,
            chunks=(1, *shape),
            maxshape=(None, *shape),
            compression=None if self._raw else "gzip",
        )

    def _write_frames(self, dataset: h5py.Dataset, first: int, frames: list[NDArray[np.uint8]]) -> None:
        dataset.resize(first + len(frames), axis=0)
        pack = np.ndarray.tobytes if self._raw else deflate
        for row, data in enumerate(self._pool.map(pack, frames), first):
            dataset.id.write_direct_chunk((row, 0, 0, 0), data)

    def _add_episode_columns(self, row: Row) -> None:
        assert self._group is not None
        place = self._rows_in_group + len(self._pending)
        _extend(self._group["seeds"], place, [-1 if self._seed is None else self._seed])
        _extend(self._group["contents"], place, [_content(row)])


def _opened(path: Path, schema: Schema, attributes: Mapping[str, Any], if_exists: IfExists) -> h5py.File:
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist: make it, or choose another --out.")
    if path.exists() and if_exists == "error":
        raise InputError(f"{path} exists: choose another --out, or say --if-exists append or overwrite.")
    if path.exists() and if_exists == "append":
        with open_file(path) as old:
            if schema_of(old) != schema:
                raise InputError(f"{path} holds other cameras, sizes or labels: choose another --out.")
        return h5py.File(path, "r+", libver=_LIBRARY)
    return _created(path, schema, attributes)


def _created(path: Path, schema: Schema, attributes: Mapping[str, Any]) -> h5py.File:
    try:
        file = h5py.File(path, "w", libver=_LIBRARY)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}): choose another --out.") from None
    data = file.create_group("data")
    data.attrs.update({name: fixed(value) for name, value in attributes.items()})
    data.attrs.update({"format": fixed(FORMAT), "format_version": VERSION, "total": 0, "created": time.time()})
    labels = [vars(item) for item in schema.labels]
    data.attrs["schema"] = fixed(json.dumps({"cameras": dict(schema.cameras), "labels": labels}))
    data.attrs.setdefault("env_args", fixed(json.dumps({"env_name": "", "type": 2, "env_kwargs": {}})))
    file.flush()
    return file


def _new_column(group: h5py.Group, name: str, rows: int, width: int, kind: Any, label: Label | None = None) -> None:
    shape = (width,) if width else ()
    column = group.create_dataset(name, (0, *shape), kind, chunks=(rows, *shape), maxshape=(None, *shape))
    if label is not None:  # for readers that do not know our schema
        column.attrs["components"] = list(label.components)
        column.attrs["units"] = list(label.units)


def _extend(column: h5py.Dataset, first: int, values: Any) -> None:
    values = np.asarray(values)
    column.resize(first + len(values), axis=0)
    column[first:] = values


def _scalars(rows: list[Row]) -> dict[str, list[float]]:
    return {
        "rewards": [row.reward for row in rows],
        "dones": [row.terminated or row.truncated for row in rows],
        "terminated": [row.terminated for row in rows],
        "truncated": [row.truncated for row in rows],
        "timestamps": [row.time for row in rows],
    }


def _content(row: Row) -> np.uint64:
    digest = hashlib.blake2b(digest_size=8)
    for camera in sorted(row.frames):
        digest.update(np.ascontiguousarray(row.frames[camera]).data)
    return np.uint64(int.from_bytes(digest.digest(), "little"))
