"""Frames on disk: one HDF5 file that robomimic can read and that is memory-mapped here (see FORMAT.md)."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.layout import Plane, checksum_path, column_path, demos, open_file, plain, planes, schema_of
from ssl_robot.datasets.pixels import Chunks, checksum
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Schema

_OURS = {"num_samples", "independent", "content", "seed", "checksums"}


@dataclass(frozen=True)
class Demonstration:
    """A group of the file.

    Attributes:
        name: As in ``demo_7``.
        first: Its first row, counted through the file.
        rows: How many it has.
        independent: Whether each of them is an episode of its own.
        facts: What its recorder noted: success, return, task, ...
    """

    name: str
    first: int
    rows: int
    independent: bool
    facts: dict[str, Any]


class FrameStore:
    """A recording, open for reading.

    Holds no handle that matters, so that it can be pickled, forked and read by several processes at once.

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
            self.attributes: dict[str, Any] = {key: plain(value) for key, value in data.attrs.items()}
            self.schema: Schema = schema_of(file)
            self.demonstrations = list(_demonstrations(data))
            if not self.demonstrations:
                raise InputError(f"{path} holds no frames: record some with 'ssl-robot collect --if-exists append'.")
            self.seeds, self.contents = self._episode_columns(data)
            self.finals = sum(len(_final(data[demo.name])) for demo in self.demonstrations)
        self.camera = self._checked(camera)

    def _checked(self, camera: str | None) -> str:
        names = list(self.schema.cameras)
        if camera is None:
            return names[0]
        if camera not in names:
            raise InputError(f"{self.path} has no camera '{camera}': choose from {', '.join(names)}.")
        return camera

    def _episode_columns(self, data: h5py.Group) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Seed (-1 where none was known) and content hash of each logical episode."""
        seeds: list[NDArray[np.int64]] = []
        contents: list[NDArray[np.uint64]] = []
        for demo in self.demonstrations:
            group = data[demo.name]
            if demo.independent:
                seeds.append(self._whole(group, "seeds", demo.rows).astype(np.int64))
                contents.append(self._whole(group, "contents", demo.rows).astype(np.uint64))
            else:
                seeds.append(np.array([group.attrs["seed"]], np.int64))
                contents.append(np.array([group.attrs["content"]], np.uint64))
        return np.concatenate(seeds), np.concatenate(contents)

    def __len__(self) -> int:
        last = self.demonstrations[-1]
        return last.first + last.rows

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the camera's frames."""
        return self.schema.cameras[self.camera]

    @cached_property
    def episodes(self) -> NDArray[np.int64]:
        """The logical episode of each row; every row of an independent group is an episode of its own."""
        lengths: list[int] = []
        for demo in self.demonstrations:
            lengths += [1] * demo.rows if demo.independent else [demo.rows]
        return np.repeat(np.arange(len(lengths)), lengths).astype(np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with camera, labels or frames (each episode's first and 64 others are read), not with the path."""
        digest = hashlib.sha256(json.dumps([self.camera, self.shape, len(self)]).encode())
        digest.update(self.contents.tobytes())
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
        width = len(self.label(name).components)
        return self.column(column_path(name)).astype(np.float64, copy=False).reshape(len(self), width)

    def column(self, path: str) -> NDArray[Any]:
        """The numbers at a place within every demonstration (see FORMAT.md), one entry per row.

        Raises:
            InputError: If they are not what was written: the file is damaged.
        """
        with open_file(self.path) as file:
            parts = [self._whole(file["data"][demo.name], path, demo.rows) for demo in self.demonstrations]
        return np.concatenate(parts)

    def _whole(self, group: h5py.Group, path: str, rows: int) -> NDArray[Any]:
        dataset = group[path]
        if not isinstance(dataset, h5py.Dataset) or dataset.shape[0] < rows:
            raise InputError(f"{self.path} is damaged: {path} is short of {rows} rows; record or copy it again.")
        values: NDArray[Any] = np.ascontiguousarray(dataset[:rows])
        # absent where the recorder was killed before the episode ended
        expected = json.loads(group.attrs.get("checksums", "{}")).get(path)
        if expected is not None and len(dataset) == rows and checksum(values) != expected:
            raise InputError(f"{self.path} is damaged in {group.name}/{path}: record or copy it again.")
        return values

    @property
    def compression(self) -> str:
        """How the camera's frames are stored: ``deflate``, ``raw``, or ``deflate and raw`` where they differ."""
        deflated = self._chunks.deflated
        return "deflate" if deflated.all() else "deflate and raw" if deflated.any() else "raw"

    @property
    def nbytes(self) -> int:
        """Bytes that the camera's frames take in the file."""
        return int(self._chunks.size.sum())

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames of the camera at the given rows, (b, h, w, c) uint8."""
        return self._chunks.read(np.asarray(indices, np.int64))

    def depth(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Metres from the camera at the given rows, (b, h, w) float32.

        Raises:
            InputError: If the camera measures no distance.
        """
        if self.camera not in self.schema.depths:
            raise InputError(f"{self.path} has no depth of camera '{self.camera}': collect with --depth.")
        return self._depths.read(np.asarray(indices, np.int64))[..., 0]

    def calibration(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """K (rows, 3, 3) and T_world_camera (rows, 4, 4) of the camera (see ``frames.Calibration``).

        Raises:
            InputError: If they are not known.
        """
        if self.camera not in self.schema.calibrated:
            raise InputError(f"{self.path} does not say where camera '{self.camera}' stands.")
        return self.column(f"cameras/{self.camera}/K"), self.column(f"cameras/{self.camera}/T_world_camera")

    def final(self, demo: Demonstration) -> dict[str, NDArray[np.uint8]]:
        """What each camera saw after the last action of a demonstration; empty if that was not kept."""
        with open_file(self.path) as file:
            group = file["data"][demo.name]
            if "final_obs" not in list(group):  # asked of the names alone: get() takes a damaged group for none
                return {}
            return {
                camera: self._whole(group, f"final_obs/{camera}", 1)[0].astype(np.uint8, copy=False)
                for camera in self.schema.cameras
                if f"final_obs/{camera}" in group
            }

    @cached_property
    def _chunks(self) -> Chunks:
        return self._located(f"obs/{self.camera}")

    @cached_property
    def _depths(self) -> Chunks:
        return self._located(f"obs/{self.camera}_depth")

    def _located(self, path: str) -> Chunks:
        """Where the pictures of a plane lie, asked of HDF5 once."""
        plane = next(plane for plane in planes(self.schema) if plane.path == path)
        offset, size = np.zeros((2, len(self)), np.int64)
        deflated = np.zeros(len(self), np.bool_)
        checksums = np.zeros(len(self), np.uint32)
        with open_file(self.path) as file:
            for demo in self.demonstrations:
                group, rows = file["data"][demo.name], slice(demo.first, demo.first + demo.rows)
                _locate(group[path], plane, offset[rows], size[rows], deflated[rows])
                if not deflated[rows].all() and checksum_path(path) in group:
                    checksums[rows] = self._whole(group, checksum_path(path), demo.rows)
        if (size == 0).any():
            raise InputError(f"{self.path} lacks frame {int(np.argmin(size))}: it is damaged; record or copy it again.")
        return Chunks(self.path, plane.shape, plane.dtype, offset, size, deflated, checksums)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_chunks", "_depths")}


def _locate(
    dataset: h5py.Dataset,
    plane: Plane,
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    deflated: NDArray[np.bool_],
) -> None:
    if dataset.shape[1:] != plane.shape or dataset.dtype != plane.dtype:
        raise ValueError(f"{dataset.name} holds {dataset.dtype} of {dataset.shape[1:]}")
    has_filter = dataset.compression is not None

    def note(chunk: Any) -> None:
        row = int(chunk.chunk_offset[0])
        if row < len(size):  # rows beyond num_samples were not finished when the writer died
            offset[row], size[row] = chunk.byte_offset, chunk.size
            deflated[row] = has_filter and not chunk.filter_mask & 1

    dataset.id.chunk_iter(note)


def _demonstrations(data: h5py.Group) -> Iterator[Demonstration]:
    first = 0
    for name in demos(data):
        noted = {key: plain(value) for key, value in data[name].attrs.items()}
        rows, independent = int(noted["num_samples"]), bool(noted.get("independent", False))
        facts = {key: value for key, value in noted.items() if key not in _OURS}
        yield Demonstration(name, first, rows, independent, facts)
        first += rows


def _final(group: h5py.Group) -> h5py.Dataset | list[None]:
    finals = group["final_obs"] if "final_obs" in list(group) else {}
    return finals[next(iter(finals))] if finals else []
