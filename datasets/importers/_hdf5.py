"""HDF5 files of others: what their data sets hold, and reading them row by row in bounded memory."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.layout import is_ours
from ssl_robot.datasets.pictures import DamageError, decoded, is_jpeg, line, squared
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Schema

with suppress(ImportError):
    importlib.import_module("hdf5plugin")  # further compression filters, where they are installed

Kind = Literal["picture", "encoded", "depth", "numbers"]
_BLOCK = 64  # rows read at a time: a frame each is slow in many chunk layouts, all of them fill the memory
_CACHE = 2**25  # bytes kept of chunks that hold more rows than one block asks for
_DEEPEST = 8  # groups within groups; links may form a circle
_WIDEST = 4096  # numbers in a row that still make a label
_SMALLEST = 8  # pixels
# letters of the kinds of numbers, as numpy has them, that a field may have in one episode or another
_TYPES: Mapping[Kind, str] = {"picture": "u", "encoded": "Ou", "depth": "f", "numbers": "biuf"}
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG")  # how a JPEG and a PNG begin
# what h5py and numpy raise where the bytes make no sense
_DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Field:
    """What a data set holds for every row.

    Attributes:
        path: Where it lies within its group.
        kind: A picture, an encoded picture, distances in metres, or other numbers.
        shape: Of one row's entry in the file; of an encoded picture when it is decoded.
        lossy: It is a JPEG.
    """

    path: str
    kind: Kind
    shape: tuple[int, ...]
    lossy: bool = False

    @property
    def picture(self) -> tuple[int, int, int]:
        """Height, width and channels of the picture that is handed on."""
        h, w = _height_width(self.shape)
        return h, w, 3

    def label(self, name: str) -> Label:
        """The label that its numbers make."""
        return Label.plain(name, int(np.prod(self.shape)))


def is_foreign(path: Path) -> bool:
    """Whether it is an HDF5 file that is none of ours."""
    try:
        return path.is_file() and bool(h5py.is_hdf5(path)) and not is_ours(path)
    except (OSError, ValueError):
        return False


def has(path: Path, *names: str) -> bool:
    """Whether a foreign file has something under each of these names; one that cannot be opened counts, to be told."""
    try:
        h5py.File(path, "r").close()
    except _DAMAGE:
        return True
    try:
        with h5py.File(path, "r") as file:
            return all(name in file for name in names)
    except _DAMAGE:
        return False


@contextmanager
def opened(source: Path) -> Iterator[h5py.File]:
    """The file, to read what describes it.

    Raises:
        InputError: If it is not HDF5, or damaged where it is read.
    """
    try:
        if source.is_dir() or not h5py.is_hdf5(source):
            raise InputError(f"{source} is no HDF5 file, or lost its beginning: give another, or copy it again.")
        with h5py.File(source, "r") as file:
            yield file
    except InputError:
        raise
    except (*_DAMAGE, DamageError) as error:
        raise InputError(f"{source} cannot be read as HDF5 ({line(error)}): copy it again.") from None


@contextmanager
def reading(source: Path) -> Iterator[h5py.File]:
    """The file, to read an episode.

    Raises:
        DamageError: If the bytes make no sense.
    """
    try:
        with h5py.File(source, "r", rdcc_nbytes=_CACHE) as file:
            yield file
    except _DAMAGE as error:
        raise DamageError(f"it cannot be read ({line(error)})") from None


def fields(group: h5py.Group, names: Mapping[str, str]) -> tuple[dict[str, Field], list[str]]:
    """What the data sets of a group hold, by the names they are to have.

    Args:
        group: One episode.
        names: The data sets and groups to look at, and what to put before the names of what is in a group.

    Returns:
        The fields, and a sentence for each data set that makes none.
    """
    found: dict[str, Field] = {}
    left: list[str] = []
    for path, dataset in _datasets(group, _DEEPEST):
        top, _, rest = path.partition("/")
        if top not in names or not dataset.ndim or not dataset.size:
            continue
        field = _field(path, dataset)
        name = f"{names[top]}{rest}" if rest else top
        if field is None:
            left.append(
                f"{path} is left out: {dataset.dtype} of {dataset.shape[1:]} in a row is no picture and no label."
            )
        else:
            found[path if name in found else name] = field
    return found, left


def _datasets(group: h5py.Group, depth: int, prefix: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    for name in group:
        item = group.get(name)  # None where a link leads nowhere
        if isinstance(item, h5py.Dataset):
            yield f"{prefix}{name}", item
        elif isinstance(item, h5py.Group) and depth:
            yield from _datasets(item, depth - 1, f"{prefix}{name}/")


def _field(path: str, dataset: h5py.Dataset) -> Field | None:
    shape, kind = dataset.shape[1:], dataset.dtype.kind
    if h5py.check_vlen_dtype(dataset.dtype) == np.uint8 or (dataset.dtype == np.uint8 and dataset.ndim == 2):
        data = bytes(dataset[0])
        picture = decoded(data) if data.startswith(_MAGIC) else None
        if picture is not None:
            return Field(path, "encoded", picture.shape, is_jpeg(data))
    if dataset.dtype == np.uint8 and _height_width(shape) != (0, 0):
        return Field(path, "picture", shape)
    if kind in _TYPES["depth"] and len(shape) == 3 and shape[-1] == 1 and _height_width(shape) != (0, 0):
        return Field(path, "depth", shape)
    return Field(path, "numbers", shape) if kind in _TYPES["numbers"] and np.prod(shape) <= _WIDEST else None


def _height_width(shape: tuple[int, ...]) -> tuple[int, int]:
    """Of a picture, its channels last or first or left out; zeros if the shape is none of a picture."""
    if len(shape) == 3 and shape[2] in (1, 3):
        h, w = shape[:2]
    elif len(shape) == 3 and shape[0] in (1, 3):
        h, w = shape[1:]
    elif len(shape) == 2:
        h, w = shape
    else:
        return 0, 0
    return (h, w) if min(h, w) >= _SMALLEST else (0, 0)


def entries(group: h5py.Group, field: Field, first: int, rows: int) -> Iterator[NDArray[Any]]:
    """What a field holds for each of some rows, of which few are in memory at a time.

    Raises:
        DamageError: If it is missing, too short, or of another shape than the field.
    """
    dataset = group.get(field.path)
    if not isinstance(dataset, h5py.Dataset):
        raise DamageError(f"it has no {field.path}")
    known = dataset.dtype.kind in _TYPES[field.kind] and (field.kind != "picture" or dataset.dtype == np.uint8)
    if not known or (field.kind != "encoded" and dataset.shape[1:] != field.shape):
        raise DamageError(f"{field.path} has {dataset.dtype} of {dataset.shape[1:]} in a row, not {field.shape}")
    if len(dataset) < first + rows:
        raise DamageError(f"{field.path} ends after {max(len(dataset) - first, 0)} of {rows} rows")
    for start in range(first, first + rows, _BLOCK):
        yield from dataset[start : min(start + _BLOCK, first + rows)]


def pictures(
    group: h5py.Group, cameras: Mapping[str, Field], size: int | None, first: int, rows: int
) -> Iterator[dict[str, NDArray[np.uint8]]]:
    """What each camera saw at each of some rows, RGB.

    Args:
        group: The episode.
        cameras: The fields to read, by name.
        size: Height and width to bring them to; ``None`` keeps theirs.
        first: Row to begin with.
        rows: How many.

    Raises:
        DamageError: If a picture is missing or cannot be decoded.
    """
    streams = [entries(group, field, first, rows) for field in cameras.values()]
    for row in range(rows):
        seen = {
            name: _rgb(next(stream), field, first + row)
            for (name, field), stream in zip(cameras.items(), streams, strict=True)
        }
        yield {name: squared(picture, size) for name, picture in seen.items()}


def _rgb(entry: NDArray[Any], field: Field, row: int) -> NDArray[np.uint8]:
    """A picture as (h, w, 3)."""
    if field.kind == "encoded":
        picture = decoded(bytes(entry))
        if picture is None or picture.shape != field.shape:
            raise DamageError(f"{field.path} has no picture of {field.shape} at row {row}")
        return picture
    if entry.ndim == 2:
        entry = entry[..., None]
    elif entry.shape[2] not in (1, 3):
        entry = entry.transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(entry, field.picture))


def numbers(
    group: h5py.Group, labels: Mapping[str, Field], first: int, rows: int
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """The numbers of each label at each of some rows, (width,).

    Raises:
        DamageError: If some are missing.
    """
    streams = [entries(group, field, first, rows) for field in labels.values()]
    for _ in range(rows):
        yield {
            name: np.asarray(next(stream), np.float64).reshape(-1) for name, stream in zip(labels, streams, strict=True)
        }


def outcome(values: Mapping[str, NDArray[np.float64]], name: str) -> float:
    """One number among those of a row; zero where the source has none of that name."""
    return float(values[name][0]) if name in values else 0.0


def schema(cameras: Mapping[str, Field], labels: Mapping[str, Field], size: int | None) -> Schema:
    """What every row holds, at the size asked for."""
    shapes = {name: field.picture if size is None else (size, size, 3) for name, field in cameras.items()}
    return Schema(shapes, tuple(field.label(name) for name, field in labels.items()))


def split(found: Mapping[str, Field]) -> tuple[dict[str, Field], dict[str, Field], dict[str, Field]]:
    """The fields that are cameras, those that make labels, and those that are distances."""
    cameras = {name: field for name, field in found.items() if field.kind in ("picture", "encoded")}
    labels = {name: field for name, field in found.items() if field.kind == "numbers"}
    return cameras, labels, {name: field for name, field in found.items() if field.kind == "depth"}


def lossy(cameras: Mapping[str, Field]) -> str:
    """The names of the cameras whose pictures are not quite what they saw."""
    return ", ".join(name for name, field in cameras.items() if field.lossy)


def facts(group: h5py.Group) -> dict[str, Any]:
    """The numbers and short texts among the attributes of a group."""
    plain = {name: _plain(value) for name, value in group.attrs.items()}
    return {
        name: value
        for name, value in plain.items()
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _WIDEST)
    }


def text(value: Any) -> str:
    """A text as HDF5 returns it, or nothing."""
    value = _plain(value)
    return value if isinstance(value, str) else ""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
