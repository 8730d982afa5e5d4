"""Frames on disk: one HDF5 file that robomimic can read and that is memory-mapped here (see FORMAT.md)."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.pixels import Chunks
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Schema

FORMAT = "ssl_robot"
VERSION = 1
# what h5py and json raise where the bytes make no sense
_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class FrameStore:
    """A recording, open for reading.

    Holds no open handle, so that it can be pickled, forked and read by several processes at once.

    Args:
        path: The file.
        camera: Which camera ``take`` reads; the first one if not given.

    Raises:
        InputError: If the file is missing, is not HDF5, was not written by this project, or lacks the camera.
    """

    def __init__(self, path: str | Path, camera: str | None = None) -> None:
        self.path = Path(path)
        with open_file(self.path) as file:
            data = file["data"]
            self.attributes: dict[str, Any] = {key: _plain(value) for key, value in data.attrs.items()}
            self.schema = schema_of(file)
            self._demos = _demos(data)
            if not self._demos:
                raise InputError(f"{path} holds no frames: record some with 'ssl-robot collect --if-exists append'.")
            self._rows = np.array([int(data[name].attrs["num_samples"]) for name in self._demos], np.int64)
            self._independent = [bool(data[name].attrs.get("independent", False)) for name in self._demos]
            self._seeds, self._contents = _episode_columns(data, self._demos)
            self.finals = sum(len(_final(data[name])) for name in self._demos)
            self.successes = sum(bool(data[name].attrs.get("success", False)) for name in self._demos)
        self.camera = self._checked(camera)

    def _checked(self, camera: str | None) -> str:
        names = list(self.schema.cameras)
        if camera is None:
            return names[0]
        if camera not in names:
            raise InputError(f"{self.path} has no camera '{camera}': choose from {', '.join(names)}.")
        return camera

    def __len__(self) -> int:
        return int(self._rows.sum())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the camera's frames."""
        return self.schema.cameras[self.camera]

    @cached_property
    def episodes(self) -> NDArray[np.int64]:
        """The logical episode of each row; every row of an independent group is an episode of its own."""
        lengths: list[int] = []
        for rows, independent in zip(self._rows, self._independent, strict=True):
            lengths += [1] * int(rows) if independent else [int(rows)]
        return np.repeat(np.arange(len(lengths)), lengths).astype(np.int64)

    @property
    def seeds(self) -> NDArray[np.int64]:
        """The seed of each episode; -1 where none was known."""
        return self._seeds

    @property
    def contents(self) -> NDArray[np.uint64]:
        """One hash per episode, of its first frame."""
        return self._contents

    @cached_property
    def fingerprint(self) -> str:
        """Changes with camera, labels or frames (each episode's first and 64 others are read), not with the path."""
        digest = hashlib.sha256(json.dumps([self.camera, self.shape, len(self)]).encode())
        digest.update(self._contents.tobytes())
        digest.update(self.take(np.linspace(0, len(self) - 1, min(len(self), 64)).astype(np.int64)).data)
        for name in self.label_names:
            digest.update(name.encode())
            digest.update(self.values(name).tobytes())
        return digest.hexdigest()[:16]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Full names of the labels, actions included."""
        return tuple(label.name for label in self.schema.labels)

    def label(self, name: str) -> Label:
        """What the numbers of a label mean."""
        return self.schema.label(name)

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every row, (rows, components)."""
        self.label(name)
        with open_file(self.path) as file:
            columns = [
                np.asarray(file["data"][demo][column_path(name)][:rows], np.float64)
                for demo, rows in zip(self._demos, self._rows, strict=True)
            ]
        return np.concatenate(columns).reshape(len(self), -1)

    @property
    def compression(self) -> str:
        """How the camera's frames are stored: ``deflate``, ``raw``, or ``deflate and raw`` where they differ."""
        deflated = self._chunks.deflated
        return "deflate" if deflated.all() else "deflate and raw" if deflated.any() else "raw"

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames of the camera at the given rows, (b, h, w, c) uint8."""
        return self._chunks.read(np.asarray(indices, np.int64))

    @cached_property
    def _chunks(self) -> Chunks:
        """Where the frames lie, asked of HDF5 once."""
        offset, size = np.zeros((2, len(self)), np.int64)
        deflated = np.zeros(len(self), np.bool_)
        with open_file(self.path) as file:
            first = 0
            for demo, rows in zip(self._demos, self._rows, strict=True):
                dataset = file["data"][demo]["obs"][self.camera]
                has_filter = dataset.compression is not None
                end = first + int(rows)

                def note(chunk: Any, first: int = first, end: int = end, has_filter: bool = has_filter) -> None:
                    row = first + int(chunk.chunk_offset[0])
                    if row < end:  # rows beyond num_samples were not finished when the writer died
                        offset[row], size[row] = chunk.byte_offset, chunk.size
                        deflated[row] = has_filter and not chunk.filter_mask & 1

                dataset.id.chunk_iter(note)
                first = end
        if (size == 0).any():
            raise InputError(f"{self.path} lacks frame {int(np.argmin(size))}: it is damaged; record or copy it again.")
        return Chunks(self.path, self.shape, offset, size, deflated)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_chunks"}


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading, after a look at whether it is one of ours.

    Raises:
        InputError: If it is missing, not HDF5, not ours, of a newer format, or found damaged while it is read.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}: make one with 'ssl-robot collect' or 'ssl-robot import'.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} cannot be opened as HDF5 ({error}): give a file made by 'ssl-robot'.") from None
    with file:
        try:
            problem = _problem(file, path)
            if problem:
                raise InputError(problem)
            yield file
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{path} is damaged ({error}): record or copy it again.") from None


def _problem(file: h5py.File, path: Path) -> str:
    data = file.get("data")
    if data is None or _plain(data.attrs.get("format")) != FORMAT:
        return (
            f"{path} is HDF5 but was not written by ssl_robot: bring it in with 'ssl-robot import {path} --out NEW.h5'."
        )
    if int(data.attrs["format_version"]) > VERSION:
        return f"{path} has format version {data.attrs['format_version']}, newer than {VERSION}: upgrade ssl-robot."
    return ""


def _demos(data: h5py.Group) -> list[str]:
    """Names of the groups that hold rows, in order; one that its writer had no time to fill is none."""
    names = [name for name in data if name.startswith("demo_") and data[name].attrs["num_samples"] > 0]
    return sorted(names, key=lambda name: int(name[5:]))


def column_path(name: str) -> str:
    """Where a label lies within a demonstration: poses and actions as named, everything else beside the frames."""
    return name if name == "actions" or name.startswith("poses/") else f"obs/{name}"


def schema_of(file: h5py.File) -> Schema:
    """What each row of the file holds, read from its root."""
    record = json.loads(file["data"].attrs["schema"])
    labels = tuple(
        Label(item["name"], tuple(item["components"]), tuple(item["units"]), tuple(item["circular"]))
        for item in record["labels"]
    )
    cameras = {name: (int(h), int(w), int(c)) for name, (h, w, c) in record["cameras"].items()}
    return Schema(cameras, labels)


def _final(group: h5py.Group) -> h5py.Dataset | list[None]:
    finals = group.get("final_obs")
    return finals[next(iter(finals))] if finals else []


def _episode_columns(data: h5py.Group, demos: list[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Seed and content hash of each logical episode."""
    seeds: list[NDArray[np.int64]] = []
    contents: list[NDArray[np.uint64]] = []
    for name in demos:
        group = data[name]
        if group.attrs.get("independent", False):
            rows = int(group.attrs["num_samples"])
            seeds.append(np.asarray(group["seeds"][:rows], np.int64))
            contents.append(np.asarray(group["contents"][:rows], np.uint64))
        else:
            seeds.append(np.array([group.attrs["seed"]], np.int64))
            contents.append(np.array([group.attrs["content"]], np.uint64))
    return np.concatenate(seeds), np.concatenate(contents)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def fixed(value: Any) -> Any:
    """A text as HDF5 keeps it beside its checksum: damage to the heap of longer-lived texts can hang the library."""
    return np.bytes_(value.encode()) if isinstance(value, str) and value else value
