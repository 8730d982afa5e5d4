"""Where things lie in the file: FORMAT.md as code, shared by the reader and the writer."""

import errno
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.journal import recover
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema
from ssl_robot.segments import MOST, widened

FORMAT = "ssl_robot"
FEATURES = "ssl_robot_features"  # what a reader made of a recording, instead of its pictures
VERSION = 1  # of both
# survives SIGKILL after a flush, half the bytes per group of older bounds, and robomimic opens it
LIBRARY = ("v108", "v108")
_MAPS = f"give one channel or pairs of them, and 1 to {MOST} names"
_TRIES, _PAUSE = 10, 0.05  # seconds between them
# what h5py and json raise where the bytes make no sense
_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@contextmanager
def open_file(path: Path, format: str = FORMAT) -> Iterator[h5py.File]:
    """The file, open for reading, after a look at whether it is one of ours.

    Args:
        path: The file.
        format: What it has to be: a recording, or features of one.

    Raises:
        InputError: If it is missing, not HDF5, not ours, of a newer format, or found damaged while it is read.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}: make one with 'ssl-robot collect' or 'ssl-robot import'.")
    with _unlocked(path) as file:
        try:
            problem = _problem(file, path, format)
            if problem:
                raise InputError(problem)
            yield file
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{path} is damaged ({error}): record or copy it again.") from None


def _unlocked(path: Path) -> h5py.File:
    """The file, opened; a reader that is just finishing what a killed writer began is waited for."""
    for _ in range(_TRIES):
        recover(path)
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise InputError(
                    f"{path} cannot be opened as HDF5 ({error}): give a file made by 'ssl-robot'."
                ) from None
        time.sleep(_PAUSE)
    raise InputError(f"{path} is being written by another process: read it when that has ended.")


def is_ours(path: Path, format: str = FORMAT) -> bool:
    """Whether a path is a recording of ours, or a file of features, whatever its version."""
    if not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(plain(file["data"].attrs.get("format")) == format)
    except BlockingIOError:  # being recorded: to open it says so; features appear when they are whole
        return format == FORMAT
    except _DAMAGE:
        return False


def _problem(file: h5py.File, path: Path, format: str) -> str:
    data = file.get("data")
    found = None if data is None else plain(data.attrs.get("format"))
    if found != format:
        return _another(path, found, format)
    if int(data.attrs["format_version"]) > VERSION:
        return f"{path} has format version {data.attrs['format_version']}, newer than {VERSION}: upgrade ssl-robot."
    return ""


def _another(path: Path, found: object, format: str) -> str:
    if format == FEATURES:
        return f"{path} holds no features: make some with 'ssl-robot encode RUN RECORDING.h5 --out FEATURES.h5'."
    if found == FEATURES:
        return f"{path} holds features and no frames: give the recording that 'ssl-robot info {path}' names."
    return f"{path} is HDF5 but was not written by ssl_robot: bring it in with 'ssl-robot import {path} --out NEW.h5'."


def demo_names(data: h5py.Group) -> list[str]:
    """Names of the demonstrations, in order; other groups that somebody added are passed over."""
    names = [name for name in data if name.startswith("demo_") and name[5:].isdecimal()]
    return sorted(names, key=lambda name: int(name[5:]))


def column_path(name: str) -> str:
    """Where a label lies within a demonstration: poses and actions as named, everything else beside the frames."""
    return name if name == "actions" or name.startswith("poses/") else f"obs/{name}"


def depth_path(camera: str) -> str:
    """Where a camera's distances lie, named as robomimic names them."""
    return f"obs/{camera}_depth"


def map_path(camera: str) -> str:
    """Where it lies what a camera's pixels show: beside the poses, for no robot sees it."""
    return f"segmentation/{camera}"


@dataclass(frozen=True)
class Column:
    """Numbers kept for every row.

    Attributes:
        path: Where they lie within a demonstration.
        shape: Of one row's.
        dtype: As stored.
        value: Finds them in a row.
        label: What they mean, where a label says so.
    """

    path: str
    shape: tuple[int, ...]
    dtype: Any
    value: Callable[[Row], Any]
    label: Label | None = None


def columns(schema: Schema) -> list[Column]:
    """All the numbers of a demonstration."""
    found = [
        Column("rewards", (), np.float64, lambda row: row.reward),
        Column("dones", (), np.uint8, lambda row: row.terminated or row.truncated),
        Column("terminated", (), np.uint8, lambda row: row.terminated),
        Column("truncated", (), np.uint8, lambda row: row.truncated),
        Column("timestamps", (), np.float64, lambda row: row.time),
    ]
    for label in schema.labels:
        found.append(_of_label(label))
    for camera in schema.calibrated:
        found += [_of_camera(camera, "K", (3, 3)), _of_camera(camera, "T_world_camera", (4, 4))]
    return found


def _of_label(label: Label) -> Column:
    size = len(label.components)
    return Column(column_path(label.name), (size,), np.float64, lambda row: row.labels[label.name], label)


def _of_camera(camera: str, name: str, shape: tuple[int, int]) -> Column:
    return Column(f"cameras/{camera}/{name}", shape, np.float64, lambda row: getattr(row.cameras[camera], name))


@dataclass(frozen=True)
class Plane:
    """Pictures kept for every row, one to a chunk.

    Attributes:
        path: Where they lie within a demonstration.
        shape: Of one picture.
        dtype: Of its numbers.
        value: Finds one in a row.
    """

    path: str
    shape: tuple[int, ...]
    dtype: Any
    value: Callable[[Row], NDArray[Any]]


def planes(schema: Schema) -> list[Plane]:
    """All the pictures of a demonstration: what each camera saw, how far away it was, and what it was."""
    return [
        *(_seen(camera, shape) for camera, shape in schema.cameras.items()),
        *(_measured(camera, schema.cameras[camera]) for camera in schema.depths),
        *(_told_apart(camera, schema.cameras[camera], channels) for camera, channels in schema.segmented.items()),
    ]


def _seen(camera: str, shape: tuple[int, int, int]) -> Plane:
    return Plane(f"obs/{camera}", shape, np.uint8, lambda row: row.frames[camera])


def _measured(camera: str, shape: tuple[int, int, int]) -> Plane:
    h, w, _ = shape

    def value(row: Row) -> NDArray[np.float32]:
        return np.asarray(row.depths[camera], np.float32).reshape(h, w, 1)

    return Plane(depth_path(camera), (h, w, 1), np.float32, value)


def _told_apart(camera: str, shape: tuple[int, int, int], channels: int) -> Plane:
    h, w, _ = shape

    def value(row: Row) -> NDArray[np.uint8]:
        found = row.maps[camera]
        found = found[..., None] if found.ndim == 2 else found
        return widened(found, channels) if found.ndim == 3 else found

    return Plane(map_path(camera), (h, w, channels), np.uint8, value)


def checksum_path(path: str) -> str:
    """Where the checksums of a camera's plain pictures lie."""
    return f"checksums/{path.removeprefix('obs/')}"


def unstorable(schema: Schema) -> str:
    """Why a file cannot hold what a schema says, with what to do about it; empty if it can."""
    if not schema.cameras:
        return "there is no camera; add one, for frames are what it is for."
    for camera, shape in schema.cameras.items():
        if min(shape) < 1:
            return f"frames of camera '{camera}' are {shape}; give height, width and channels of at least 1."
    for camera, channels in schema.segmented.items():
        if not schema.things or len(schema.things) > MOST or channels < 1 or (channels > 1 and channels % 2):
            return f"the maps of camera '{camera}' have {channels} channels for {len(schema.things)} things; {_MAPS}."
    seen = planes(schema)
    pictures = [plane.path for plane in seen] + [checksum_path(plane.path) for plane in seen]
    paths = Counter(pictures + [column.path for column in columns(schema)])
    for path, count in paths.items():
        parts = path.split("/")
        if {"", ".", ".."} & set(parts):
            return f"'{path}' has an empty part or a '.' for a name; rename that camera or label."
        if count > 1 or any("/".join(parts[:i]) in paths for i in range(1, len(parts))):
            return f"'{path}' lies where another camera or label does; rename one of them."
    return ""


def schema_text(schema: Schema) -> bytes:
    """A schema as the file's root keeps it."""
    record = {
        "cameras": dict(schema.cameras),
        "labels": [vars(item) for item in schema.labels],
        "depths": schema.depths,
        "calibrated": schema.calibrated,
        "segmented": dict(schema.segmented),
        "things": schema.things,
    }
    return bytes(fixed(json.dumps(record)))


def schema_of(file: h5py.File) -> Schema:
    """What each row of the file holds, read from its root."""
    record = json.loads(file["data"].attrs["schema"])
    labels = tuple(
        Label(item["name"], tuple(item["components"]), tuple(item["units"]), tuple(item["circular"]))
        for item in record["labels"]
    )
    cameras = {name: (int(h), int(w), int(c)) for name, (h, w, c) in record["cameras"].items()}
    maps = {name: int(channels) for name, channels in record.get("segmented", {}).items()}
    depths, calibrated, things = (tuple(record.get(name, ())) for name in ("depths", "calibrated", "things"))
    return Schema(cameras, labels, depths, calibrated, maps, things)


def plain(value: Any) -> Any:
    """A number or text as Python has it."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def fixed(value: Any) -> Any:
    """A text as HDF5 keeps it beside its checksum: damage to the heap of longer-lived texts can hang the library."""
    return np.bytes_(value.encode()) if isinstance(value, str) and value else value
