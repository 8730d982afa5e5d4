"""A folder of pictures for each class, as image classification has it: every picture is a moment by itself."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import (
    LOSSY,
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

_CAMERA, _LABEL = "images", "class"


class Classes:
    """Folders of pictures, each a class; asked for by name, for folders may as well be episodes.

    The label ``class`` counts the folders from 0 in natural order; the file's attribute ``classes`` has their names.
    Pictures inside deeper folders belong to the class too.

    Args:
        source: The folder of the folders.
        size: Height and width of the frames, pixels; pictures of different sizes need one.
        cameras: ``images`` or nothing.

    Raises:
        InputError: If there are fewer than two folders with pictures, or they differ in size and none is given.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        chosen({_CAMERA: _CAMERA}, cameras, source)
        self._size = size
        if not source.is_dir():
            raise InputError(f"{source} is a file: give the folder that has a folder for each class.")
        folders = [path for path in in_order(listed(source)) if path.is_dir() and not path.name.startswith(".")]
        self._pictures = {path.name: pictures for path in folders if (pictures := _below(path))}
        if len(self._pictures) < 2:
            raise InputError(f"{source} has {len(self._pictures)} folder(s) with pictures: give one for each class.")
        everything = [path for pictures in self._pictures.values() for path in pictures]
        self.schema = Schema({_CAMERA: self._shape(everything)}, (Label.plain(_LABEL, 1),))
        self.attributes = {
            "source": source.resolve().name,
            "source_format": "folders of classes",
            "classes": json.dumps(list(self._pictures)),
        }
        self.warnings: list[str] = []
        if any_lossy(everything):
            self.attributes["lossy"] = "JPEG"
            self.warnings.append(LOSSY.format(source))

    @staticmethod
    def knows(source: Path) -> bool:
        """Nobody can tell such folders from episodes."""
        return False

    def episodes(self) -> list[Episode]:
        """Every picture, independent of all others."""
        return [
            Episode(str(path), 1, partial(self._rows, path, place), independent=True)
            for place, pictures in enumerate(self._pictures.values())
            for path in pictures
        ]

    def _shape(self, paths: Sequence[Path]) -> tuple[int, int, int]:
        for path in paths if self._size is None else ():
            try:
                h, w, c = picture(path).shape
            except DamageError:  # reported when its row is read
                continue
            return h, w, c
        if self._size is None:
            raise InputError(f"{paths[0]} and all other pictures cannot be read: copy them again.")
        return self._size, self._size, 3

    def _rows(self, path: Path, place: int) -> Iterator[Row]:
        return reported(self._row(path, place), str(path), "pictures")

    def _row(self, path: Path, place: int) -> Iterator[Row]:
        shown, expected = picture(path), self.schema.cameras[_CAMERA]
        if self._size is None and shown.shape != expected:
            raise InputError(
                f"{path} is {shown.shape[1]} x {shown.shape[0]} pixels and others are {expected[1]} x "
                f"{expected[0]}: bring them to one size with --size."
            )
        yield Row({_CAMERA: squared(shown, self._size)}, {_LABEL: np.array([float(place)])}, truncated=True)


def _below(folder: Path) -> list[Path]:
    """Pictures of a folder and of those inside it."""
    return in_order(filter(is_picture, folder.rglob("*")))
