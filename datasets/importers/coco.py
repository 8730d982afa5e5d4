"""A folder of pictures with their annotations in COCO's format: things outlined by polygons or run lengths, or boxed.

Every picture becomes an episode of its own. Outlines become pixels: one belongs to a thing whose outline holds its
middle, at the size that frames are brought to. Boxes and areas are not kept beside them, but follow from the pixels.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_robot.datasets.importers._lookup import located, picked
from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.importers._outlines import outlined
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import LOSSY, DamageError, decoded, in_order, listed, reported, squared
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema
from ssl_robot.segments import MOST, Instance, mapped

_CAMERA = "images"
_USUAL = ("annotations.json", "_annotations.coco.json")
_PARTS = ("images", "annotations", "categories")
_NUMBERS = (("images", "id"), ("annotations", "image_id"), ("annotations", "category_id"), ("categories", "id"))
_LOSSY = (".jpg", ".jpeg")


class Coco:
    """A folder with ``annotations.json`` (``_annotations.coco.json``, or one in ``annotations/``), or that file.

    Pictures lie beside it, or in any folder of the same root, however deep, under the names that it gives them; where
    several have one name, in the folder that the file is named after. A crowd is kept as a crowd. What has no outline
    is outlined by its box.

    Args:
        source: The folder, or the file of annotations where there are several.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: ``images`` or nothing: a folder has one camera.

    Raises:
        InputError: If there are no annotations, they are not in COCO's format, give an id twice, name more than 255
            categories, or are of pictures of several sizes while no size is given.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        chosen({_CAMERA: _CAMERA}, cameras, source)
        self._file, self._size = _annotations(source), size
        told = _told(self._file)
        self._pictures = sorted(told["images"], key=lambda picture: int(picture["id"]))
        self._things, names = _things(told["categories"], self._file)
        self._items: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for item in told["annotations"]:
            self._items[int(item["image_id"])].append(item)
        self._shape = _shape(self._pictures, size, self._file)
        self._root = self._file.parent.parent if self._file.parent.name == "annotations" else self._file.parent
        self._places = located(self._root, {Path(str(picture["file_name"])).name for picture in self._pictures})
        self._channels = self._needed()
        self.schema = Schema({_CAMERA: (*self._shape, 3)}, segmented={_CAMERA: self._channels}, things=names)
        self.attributes: dict[str, Any] = {"source": self._file.parent.resolve().name, "source_format": "COCO"}
        self.warnings = list(self._warned(source, told["annotations"]))

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it looks like such a file, or like a folder with one."""
        if source.is_file():
            return source.suffix == ".json"
        return any((source / name).is_file() for name in _USUAL) or any((source / "annotations").glob("*.json"))

    def episodes(self) -> list[Episode]:
        """The pictures in order of their numbers."""
        return [
            Episode(str(picture["file_name"]), 1, partial(self._rows, picture), independent=True)
            for picture in self._pictures
        ]

    def _warned(self, source: Path, items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        if any(str(picture["file_name"]).lower().endswith(_LOSSY) for picture in self._pictures):
            self.attributes["lossy"] = "JPEG"
            yield LOSSY.format(source)
        boxed = sum(not item.get("segmentation") for item in items)
        if boxed:
            yield f"{boxed} of {len(items)} things have no outline: their box stands for it, so do not score masks."
        known = {int(picture["id"]) for picture in self._pictures}
        strays = sum(int(item["image_id"]) not in known for item in items)
        if strays:
            yield f"{strays} of {len(items)} things are of pictures that {self._file} does not list: they are left out."

    def _needed(self) -> int:
        """Channels that the maps need: more where things cover each other."""
        most = 2
        for picture in tqdm(self._pictures, unit="frame", desc="outlines", leave=False, delay=1):
            try:
                most = max(most, self._map(picture).shape[2])
            except DamageError:  # reported when its row is read
                continue
        return most

    def _rows(self, picture: Mapping[str, Any]) -> Iterator[Row]:
        return reported(self._read(picture), str(self._file), "pictures")

    def _read(self, picture: Mapping[str, Any]) -> Iterator[Row]:
        frame, found = self._frame(picture), self._map(picture)
        whole = np.zeros((*self._shape, self._channels), np.uint8)
        whole[..., : found.shape[2]] = found
        yield Row({_CAMERA: frame}, truncated=True, maps={_CAMERA: whole})

    def _frame(self, picture: Mapping[str, Any]) -> NDArray[np.uint8]:
        name = str(picture["file_name"])
        frame = decoded(picked(self._places, name, self._root, self._file).read_bytes())
        if frame is None:
            raise DamageError(f"its picture {name} cannot be decoded")
        if frame.shape[:2] != _said(picture):
            raise DamageError(f"its picture {name} is not of the size that it says")
        return squared(frame, self._size)

    def _map(self, picture: Mapping[str, Any]) -> NDArray[np.uint8]:
        """What each pixel of a frame shows; what the middle of no pixel shows is not there."""
        items: list[Instance] = []
        for item in self._items[int(picture["id"])]:
            thing = self._things.get(int(item["category_id"]))
            if thing is None:
                raise DamageError(f"annotation {item.get('id')} is of a category that is not listed")
            mask = outlined(item, _said(picture), self._shape)
            if mask.any():
                items.append(Instance(thing, mask, bool(item.get("iscrowd", 0))))
        return mapped(items, self._shape)


def _annotations(source: Path) -> Path:
    """The file of annotations of a folder, or the file itself."""
    if source.is_file():
        return source
    found = [source / name for name in _USUAL if (source / name).is_file()]
    inner = source / "annotations"
    found = found or in_order(path for path in (listed(inner) if inner.is_dir() else ()) if path.suffix == ".json")
    if not found:
        raise InputError(f"{source} has no {_USUAL[0]}: give a folder in COCO's format, or its file of annotations.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{source} has several files of annotations ({names}): give the one to import.")
    return found[0]


def _told(file: Path) -> dict[str, list[dict[str, Any]]]:
    """What a file of annotations says: pictures, categories and things."""
    try:
        told = json.loads(file.read_bytes())
        parts: dict[str, list[dict[str, Any]]] = {name: told[name] for name in _PARTS}
        known = {(part, key): [int(item[key]) for item in parts[part]] for part, key in _NUMBERS}
        for picture in parts["images"]:
            Path(picture["file_name"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(
            f"{file} is not in COCO's format ({type(error).__name__}: {error}): it needs {', '.join(_PARTS)}."
        ) from None
    if not parts["images"]:
        raise InputError(f"{file} names no pictures: give another file of annotations.")
    for part in ("images", "categories"):
        number, count = Counter(known[part, "id"]).most_common(1)[0] if parts[part] else (0, 0)
        if count > 1:
            raise InputError(f"{file} gives the id {number} to {count} {part}: give each its own.")
    return parts


def _things(categories: Sequence[Mapping[str, Any]], file: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """The number of each category in maps, and all their names."""
    if not 1 <= len(categories) <= MOST:
        raise InputError(f"{file} has {len(categories)} categories: a map tells 1 to {MOST} apart, so keep as many.")
    ordered = sorted(categories, key=lambda category: int(category["id"]))
    names = [str(category.get("name", category["id"])) for category in ordered]
    if len(set(names)) < len(names):
        raise InputError(f"{file} gives two categories the same name: rename one of them.")
    return {int(category["id"]): number for number, category in enumerate(ordered, 1)}, tuple(names)


def _shape(pictures: Sequence[Mapping[str, Any]], size: int | None, file: Path) -> tuple[int, int]:
    """Height and width of the frames."""
    if size is not None:
        return size, size
    try:
        shapes = sorted({_said(picture) for picture in pictures})
    except DamageError as error:
        raise InputError(f"{file} is damaged: {error}; mend it.") from None
    if len(shapes) > 1:
        (h0, w0), (h1, w1) = shapes[:2]
        raise InputError(f"{file} has pictures of {w0} x {h0} and of {w1} x {h1}: bring them to one size with --size.")
    return shapes[0]


def _said(picture: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that a picture has, as its entry says."""
    try:
        h, w = int(picture["height"]), int(picture["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DamageError(f"picture {picture.get('id')} has no height and width") from None
    if min(h, w) < 1:
        raise DamageError(f"picture {picture.get('id')} is said to be of {w} x {h} pixels")
    return h, w
