"""A folder of pictures, with the numbers that belong to them in a CSV file.

Pictures do not say when they were taken: the times of the frames are 0. Of more than 8 bits the upper 8 are kept.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers._names import chosen, side_by_side
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import (
    LOSSY,
    PICTURES,
    DamageError,
    any_lossy,
    in_order,
    is_picture,
    listed,
    picture,
    reported,
    squared,
)
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_CAMERA = "images"
_TABLE = "labels.csv"
# what tells that the pictures belong to a dataset that another importer knows
_FOREIGN = ("meta/info.json", "manifest.json", "metadata.yaml", "data/main_data.hdf5", "main_data.hdf5")


@dataclass(frozen=True)
class _Folder:
    """The pictures of an episode, in natural order, and the tables beside them."""

    path: Path
    pictures: Sequence[Path]
    tables: Sequence[Path]


class Images:
    """A folder of pictures, or a folder of such folders, each an episode.

    A CSV file among the pictures (``labels.csv``, or the only one) names its columns in its first line and has a row
    for each picture: found by a column that holds the names of the pictures, or else in the order of the pictures.
    Columns of numbers become labels; a place without a number is NaN.

    Args:
        source: The folder.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: ``images`` or nothing: a folder has one camera.

    Raises:
        InputError: If there are no pictures or none can be read, or another camera is asked for.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        chosen({_CAMERA: _CAMERA}, cameras, source)
        self._size = size
        self._folders = _folders(source)
        if not self._folders:
            raise InputError(f"{source} has no pictures ({', '.join(sorted(PICTURES))}): give a folder of them.")
        self._first, shape = _first(self._folders)
        self.warnings: list[str] = []
        if self._folders[0].path == source and any(
            _folder(path).pictures for path in source.iterdir() if _is_folder(path)
        ):
            self.warnings.append(f"{source} has pictures itself: those in folders inside it are left out.")
        self._labels = self._described()
        labels = tuple(Label.plain(name, 1) for name in self._labels)
        self.schema = Schema({_CAMERA: shape if size is None else (size, size, 3)}, labels)
        self.attributes = {"source": source.resolve().name, "source_format": "folder of pictures"}
        if any(any_lossy(folder.pictures) for folder in self._folders):
            self.attributes["lossy"] = "JPEG"
            self.warnings.append(LOSSY.format(source))

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is a folder of pictures, or of folders of pictures, that belongs to no other format."""
        try:
            if not source.is_dir() or any((source / name).exists() for name in _FOREIGN):
                return False
            return any(map(is_picture, source.iterdir())) or any(
                any(map(is_picture, path.iterdir())) for path in source.iterdir() if _is_folder(path)
            )
        except OSError:
            return False

    def episodes(self) -> list[Episode]:
        """The folders in natural order of their names."""
        return [
            Episode(folder.path.name, len(folder.pictures), partial(self._rows, folder), attributes=_facts(folder))
            for folder in self._folders
        ]

    def _described(self) -> list[str]:
        """Names of the labels: the columns of numbers in the first table that can be read."""
        damage: DamageError | None = None
        for folder in self._folders:
            try:
                columns = _columns(folder)
            except DamageError as error:
                damage = damage or DamageError(f"{folder.path}: {error}")
                continue
            if columns:
                return self._kept(columns, folder)
        if damage is not None:
            raise InputError(f"{damage}: mend it, or take it out of the folder to have no labels.")
        return []

    def _kept(self, columns: Mapping[str, Sequence[str]], folder: _Folder) -> list[str]:
        key = _key(columns, folder)
        numeric = [name for name, texts in columns.items() if name != key and _is_numeric(texts)]
        kept = side_by_side(numeric, (_CAMERA,))
        left = [name for name in columns if name not in kept and name != key and name]
        if left:
            self.warnings.append(f"Columns that are no numbers, or whose name cannot be kept: {', '.join(left)}.")
        return kept

    def _rows(self, folder: _Folder) -> Iterator[Row]:
        return reported(self._read(folder), str(folder.path), "folders")

    def _read(self, folder: _Folder) -> Iterator[Row]:
        values = self._values(folder)
        for row, path in enumerate(folder.pictures):
            yield Row(
                frames={_CAMERA: self._picture(path)},
                labels={name: values[name][row : row + 1] for name in self._labels},
                truncated=row + 1 == len(folder.pictures),
            )

    def _picture(self, path: Path) -> NDArray[np.uint8]:
        shown = picture(path)
        expected = self.schema.cameras[_CAMERA]
        if self._size is None and shown.shape != expected:
            raise InputError(
                f"{path} is {shown.shape[1]} x {shown.shape[0]} pixels and {self._first.name} "
                f"{expected[1]} x {expected[0]}: bring them to one size with --size."
            )
        return squared(shown, self._size)

    def _values(self, folder: _Folder) -> dict[str, NDArray[np.float64]]:
        """The numbers of each label, one for each picture."""
        if not self._labels:
            return {}
        columns = _columns(folder)
        missing = [name for name in self._labels if name not in columns]
        if missing:
            raise DamageError(f"it has no CSV file with a column {missing[0]}")
        order = _order(columns, folder)
        return {name: _numbers(name, columns[name])[order] for name in self._labels}


def _is_folder(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir()


def _folders(source: Path) -> list[_Folder]:
    """The folder itself where it has pictures, else those in it that have some."""
    if not source.is_dir():
        raise InputError(f"{source} is a file: give the folder of pictures.")
    own = _folder(source)
    inner = [] if own.pictures else [_folder(path) for path in in_order(listed(source)) if path.is_dir()]
    return [folder for folder in (own, *inner) if folder.pictures]


def _folder(path: Path) -> _Folder:
    files = listed(path)
    tables = in_order(file for file in files if file.suffix.lower() == ".csv" and file.is_file())
    return _Folder(path, in_order(filter(is_picture, files)), tables)


def _facts(folder: _Folder) -> dict[str, str]:
    return {"folder": folder.path.resolve().name, "first": folder.pictures[0].name}


def _first(folders: Sequence[_Folder]) -> tuple[Path, tuple[int, int, int]]:
    """The first picture that can be read, and its height, width and channels."""
    for path in (path for folder in folders for path in folder.pictures):
        try:
            h, w, c = picture(path).shape
        except DamageError:  # reported when its row is read
            continue
        return path, (h, w, c)
    raise InputError(f"{folders[0].pictures[0]} and all other pictures cannot be read: copy them again.")


def _columns(folder: _Folder) -> dict[str, list[str]]:
    """The columns of the folder's table by their names, as texts; none where there is no table."""
    named = [path for path in folder.tables if path.name.lower() == _TABLE] or folder.tables
    if not named:
        return {}
    if len(named) > 1:
        raise DamageError(f"it has several CSV files, none of which is called {_TABLE}")
    try:
        text = named[0].read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        lines = [line for line in csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count)) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise DamageError(f"{named[0].name} cannot be read ({type(error).__name__})") from None
    if len(lines) < 2 or any(len(line) != len(lines[0]) for line in lines):
        raise DamageError(f"{named[0].name} has no rows, or not the same number of columns in all of them")
    if all(_is_numeric([name]) for name in lines[0]):
        raise DamageError(f"{named[0].name} does not name its columns in its first line")
    return {name.strip(): [line[i].strip() for line in lines[1:]] for i, name in enumerate(lines[0])}


def _key(columns: Mapping[str, Sequence[str]], folder: _Folder) -> str | None:
    """The column that names the pictures, where one does: most of its texts are names of pictures here."""
    names = {path.name for path in folder.pictures} | {path.stem for path in folder.pictures}
    for name, texts in columns.items():
        known = sum(Path(text).name in names for text in texts)
        if not _is_numeric(texts) and 2 * known > len(texts):
            return name
    return None


def _order(columns: Mapping[str, Sequence[str]], folder: _Folder) -> NDArray[np.int64]:
    """The row of the table that belongs to each picture."""
    count, key = len(next(iter(columns.values()))), _key(columns, folder)
    if key is None:
        if count != len(folder.pictures):
            raise DamageError(f"its CSV file has {count} rows for {len(folder.pictures)} pictures")
        return np.arange(count)
    places = {Path(text).name: row for row, text in enumerate(columns[key])}
    found = [places.get(path.name, places.get(path.stem, -1)) for path in folder.pictures]
    if -1 in found:
        raise DamageError(f"its CSV file has no row for {folder.pictures[found.index(-1)].name}")
    if len(columns[key]) > len(found):
        extra = sorted(set(range(count)) - set(found))[0]
        raise DamageError(f"its CSV file has a row for {columns[key][extra]}, which is missing or named twice")
    return np.array(found)


def _is_numeric(texts: Sequence[str]) -> bool:
    """Whether every text is a number or empty, and one is a number."""
    try:
        return any(not math.isnan(_number(text)) for text in texts)
    except ValueError:
        return False


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _numbers(name: str, texts: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([_number(text) for text in texts], np.float64)
    except ValueError:
        raise DamageError(f"column {name} of its CSV file has a text among its numbers") from None
