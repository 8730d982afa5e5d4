"""Frames on disk: one HDF5 file that robomimic can read and that is memory-mapped here (see FORMAT.md)."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets import derived
from ssl_robot.datasets.hdf5 import attribute, attributes, opened_group, whole
from ssl_robot.datasets.layout import (
    Plane,
    checksum_path,
    column_path,
    demo_names,
    depth_path,
    map_path,
    open_file,
    plain,
    planes,
    schema_of,
)
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
            self.demonstrations: list[Demonstration] = []
            seeds: list[NDArray[np.int64]] = []
            contents: list[NDArray[np.uint64]] = []
            for demo, seed, content in self._episodes(data):
                self.demonstrations.append(demo)
                seeds.append(seed)
                contents.append(content)
            if not self.demonstrations:
                raise InputError(f"{path} holds no frames: record some with 'ssl-robot collect --if-exists append'.")
            self.seeds, self.contents = np.concatenate(seeds), np.concatenate(contents)
        self.camera = self._checked(camera)

    def _checked(self, camera: str | None) -> str:
        names = list(self.schema.cameras)
        if camera is None:
            return names[0]
        if camera not in names:
            raise InputError(f"{self.path} has no camera '{camera}': choose from {', '.join(names)}.")
        return camera

    def _episodes(self, data: h5py.Group) -> Iterator[tuple[Demonstration, NDArray[np.int64], NDArray[np.uint64]]]:
        """Each group that has rows, with the seed (-1: unknown) and content hash of each of its logical episodes."""
        first = 0
        for name in demo_names(data):
            group = opened_group(data, name)
            noted = attributes(group)
            rows, independent = int(noted["num_samples"]), bool(noted.get("independent", False))
            if rows <= 0:  # its writer had no time to fill it
                continue
            facts = {key: plain(value) for key, value in noted.items() if key not in _OURS}
            if independent:
                sums = _sums(noted.get("checksums"))
                seeds, contents = (self._whole(group, column, rows, sums) for column in ("seeds", "contents"))
            else:
                seeds, contents = np.array([noted["seed"]]), np.array([noted["content"]])
            yield (
                Demonstration(name, first, rows, independent, facts),
                seeds.astype(np.int64),
                contents.astype(np.uint64),
            )
            first += rows

    def __len__(self) -> int:
        last = self.demonstrations[-1]
        return last.first + last.rows

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the camera's frames."""
        return self.schema.cameras[self.camera]

    @cached_property
    def finals(self) -> int:
        """How many demonstrations have a frame that was seen after the last action."""
        with open_file(self.path) as file:
            return sum(bool(_final(file["data"][demo.name])) for demo in self.demonstrations)

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
        looked_at = np.linspace(0, len(self) - 1, min(len(self), 64)).astype(np.int64)
        digest.update(self.take(looked_at).data)
        if self.things:
            digest.update(json.dumps(self.things).encode())
            digest.update(self.maps(looked_at).data)
        numbers = self._columns([column_path(name) for name in self.label_names])
        for name, values in zip(self.label_names, numbers, strict=True):
            digest.update(name.encode())
            digest.update(values.astype(np.float64, copy=False).tobytes())
        return digest.hexdigest()[:16]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Full names of the labels, actions included."""
        return tuple(label.name for label in self.schema.labels)

    def label(self, name: str) -> Label:
        """What the numbers of a label mean, or of one that follows from the rest (see ``derived``)."""
        if name in self.label_names:
            return self.schema.label(name)
        return derived.label_of(self.schema, [demo.facts for demo in self.demonstrations], name)

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every row, (rows, components)."""
        width = len(self.label(name).components)
        if name not in self.label_names:
            return self._derived(name)
        return self.column(column_path(name)).astype(np.float64, copy=False).reshape(len(self), width)

    def _derived(self, name: str) -> NDArray[np.float64]:
        if name.startswith(derived.CAMERAS):
            return derived.poses_of(self.column(derived.camera_path(name)))
        of_demo = derived.numbers_of([demo.facts for demo in self.demonstrations], name)
        return np.repeat(of_demo, [demo.rows for demo in self.demonstrations])[:, None]

    def column(self, path: str) -> NDArray[Any]:
        """The numbers at a place within every demonstration (see FORMAT.md), one entry per row.

        Raises:
            InputError: If they are not what was written: the file is damaged.
        """
        return self._columns([path])[0]

    def _columns(self, paths: Sequence[str]) -> list[NDArray[Any]]:
        """Several columns in one go: to find a group again takes longer than to read it."""
        parts: list[list[NDArray[Any]]] = [[] for _ in paths]
        with open_file(self.path) as file:
            for demo in self.demonstrations:
                group = opened_group(file["data"], demo.name)
                sums = _sums(attribute(group, "checksums"))
                for path, found in zip(paths, parts, strict=True):
                    found.append(self._whole(group, path, demo.rows, sums))
        return [np.concatenate(found) for found in parts]

    def _whole(self, group: Any, path: str, rows: int, sums: Mapping[str, int]) -> NDArray[Any]:
        """The numbers of a column, compared with its checksum where there is one."""
        values = whole(group, path)
        if len(values) < rows:
            raise InputError(f"{self.path} is damaged: {path} is short of {rows} rows; record or copy it again.")
        expected = sums.get(path)
        if expected is not None and len(values) == rows and checksum(values) != expected:
            name = h5py.Group(group).name
            raise InputError(f"{self.path} is damaged in {name}/{path}: record or copy it again.")
        return values[:rows]

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

    @property
    def things(self) -> tuple[str, ...]:
        """Names of what the camera's pixels can show, by their number from 1; none where that is not known."""
        return self.schema.things if self.camera in self.schema.segmented else ()

    def maps(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What each pixel of the camera shows at the given rows, (b, h, w, channels) uint8 (see ``segments.py``).

        Raises:
            InputError: If that is not known.
        """
        if not self.things:
            raise InputError(
                f"{self.path} does not say what the pixels of camera '{self.camera}' show: collect with "
                "--segmentation, or import a dataset that says it."
            )
        return self._maps.read(np.asarray(indices, np.int64))

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
            sums = _sums(attribute(group.id, "checksums"))
            return {
                camera: self._whole(group.id, f"final_obs/{camera}", 1, sums)[0].astype(np.uint8, copy=False)
                for camera in self.schema.cameras
                if f"final_obs/{camera}" in group
            }

    @cached_property
    def _chunks(self) -> Chunks:
        return self._located(f"obs/{self.camera}")

    @cached_property
    def _depths(self) -> Chunks:
        return self._located(depth_path(self.camera))

    @cached_property
    def _maps(self) -> Chunks:
        return self._located(map_path(self.camera))

    def _located(self, path: str) -> Chunks:
        """Where the pictures of a plane lie, asked of HDF5 once."""
        plane = next(plane for plane in planes(self.schema) if plane.path == path)
        offset, size = np.zeros((2, len(self)), np.int64)
        deflated = np.zeros(len(self), np.bool_)
        checksums = np.zeros(len(self), np.uint32)
        with open_file(self.path) as file:
            for demo in self.demonstrations:
                group = opened_group(file["data"], demo.name)
                rows = slice(demo.first, demo.first + demo.rows)
                dataset = h5py.h5d.open(group, path.encode())
                _locate(dataset, plane, offset[rows], size[rows], deflated[rows])
                if not deflated[rows].all() and checksum_path(path) in h5py.Group(group):
                    sums = _sums(attribute(group, "checksums"))
                    checksums[rows] = self._whole(group, checksum_path(path), demo.rows, sums)
        if (size == 0).any():
            raise InputError(f"{self.path} lacks frame {int(np.argmin(size))}: it is damaged; record or copy it again.")
        return Chunks(self.path, plane.shape, plane.dtype, offset, size, deflated, checksums)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_chunks", "_depths", "_maps")}


def _locate(
    dataset: Any,
    plane: Plane,
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    deflated: NDArray[np.bool_],
) -> None:
    if dataset.shape[1:] != plane.shape or dataset.dtype != plane.dtype:
        raise ValueError(f"{plane.path} holds {dataset.dtype} of {dataset.shape[1:]}")
    has_filter = dataset.get_create_plist().get_nfilters() > 0

    def note(chunk: Any) -> None:
        row = int(chunk.chunk_offset[0])
        if row < len(size):  # rows beyond num_samples were not finished when the writer died
            offset[row], size[row] = chunk.byte_offset, chunk.size
            deflated[row] = has_filter and not chunk.filter_mask & 1

    dataset.chunk_iter(note)


def _sums(noted: Any) -> dict[str, int]:
    """Checksums by path; none where the recorder was killed before the episode ended."""
    return json.loads(noted) if noted is not None else {}


def _final(group: h5py.Group) -> h5py.Dataset | list[None]:
    finals = group["final_obs"] if "final_obs" in list(group) else {}
    return finals[next(iter(finals))] if finals else []
