"""Whether a recording is whole, and whether it can be trusted: every byte read, every frame looked at."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_robot.datasets.layout import columns
from ssl_robot.datasets.pictures import is_blank
from ssl_robot.datasets.store import Demonstration, FrameStore
from ssl_robot.errors import InputError
from ssl_robot.splits import split

_BLOCK = 64  # frames read at a time
_THUMB = 16  # pixels: twins are looked for among pictures of this size
_TWIN = 1.0  # grey levels, root mean square, below which two pictures are twins
_TESTED = 2000  # test frames that are looked for, evenly spread where there are more
_COMPARED = 4096  # training frames compared at a time


@dataclass
class Findings:
    """What a check found.

    Attributes:
        damage: One sentence for each part that is not what was written.
        blank: By camera, frames of one colour.
        repeated: By camera, frames equal to the one before in their episode.
        unknown: By label, rows with a number that is not finite.
        twins: Test frames that look like a training frame.
        tested: Test frames that were compared.
        unsplit: Why no frames could be compared across the split; empty if they were.
    """

    damage: list[str] = field(default_factory=list)
    blank: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    twins: int = 0
    tested: int = 0
    unsplit: str = ""


def check(store: FrameStore) -> Findings:
    """Read all of a recording, each camera, distance, number and last look.

    Args:
        store: The recording; near-duplicates are looked for through its camera.
    """
    found = Findings()
    _check_numbers(store, found)
    thumbs = np.zeros((len(store), _THUMB * _THUMB * 3), np.uint8)
    with tqdm(total=len(store) * len(store.schema.cameras), unit="frame", desc="check") as bar:
        for camera in store.schema.cameras:
            _check_pictures(FrameStore(store.path, camera), found, thumbs if camera == store.camera else None, bar)
    if not found.damage:
        _compare(store, thumbs, found)
    return found


def _check_numbers(store: FrameStore, found: Findings) -> None:
    for column in columns(store.schema):
        try:
            values = store.column(column.path)
        except InputError as error:
            found.damage.append(str(error))
            continue
        rows = int((~np.isfinite(values.reshape(len(values), -1))).any(1).sum())
        if rows and column.label is not None:
            found.unknown[column.label.name] = rows


def _check_pictures(store: FrameStore, found: Findings, thumbs: "NDArray[np.uint8] | None", bar: "tqdm[Any]") -> None:
    blank = repeated = 0
    for demo in store.demonstrations:
        last: NDArray[np.uint8] | None = None
        try:
            for rows, frames in _blocks(store, demo):
                blank += sum(is_blank(frame) for frame in frames)
                before = [last, *frames[:-1]]
                repeated += sum(_equal(one, two) for one, two in zip(before, frames, strict=True))
                last = None if demo.independent else frames[-1]
                if thumbs is not None:
                    thumbs[rows] = [_thumb(frame) for frame in frames]
                bar.update(len(rows))
            store.final(demo)
        except InputError as error:
            found.damage.append(str(error))
    found.blank[store.camera], found.repeated[store.camera] = blank, repeated


def _blocks(store: FrameStore, demo: Demonstration) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    for first in range(demo.first, demo.first + demo.rows, _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, demo.first + demo.rows))
        if store.camera in store.schema.depths:
            store.depth(rows)
        if store.things and (most := int(store.maps(rows)[..., ::2].max())) > (known := len(store.things)):
            raise InputError(f"{store.path} is damaged: pixels of {store.camera} show thing {most} of {known}.")
        yield rows, store.take(rows)


def _equal(one: "NDArray[np.uint8] | None", two: NDArray[np.uint8]) -> bool:
    return one is not None and bool(np.array_equal(one[::8, ::8], two[::8, ::8]) and np.array_equal(one, two))


def _thumb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(frame, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).reshape(-1)


def _compare(store: FrameStore, thumbs: NDArray[np.uint8], found: Findings) -> None:
    """Look for every test frame among those that train: a twin there makes a score too good."""
    try:
        parts = split(store)
    except InputError as error:
        found.unsplit = str(error)
        return
    chosen = np.linspace(0, len(parts.test) - 1, min(len(parts.test), _TESTED)).astype(np.int64)
    test = thumbs[parts.test[chosen]].astype(np.float32)
    nearest = np.full(len(test), np.inf)
    for first in range(0, len(parts.train), _COMPARED):
        train = thumbs[parts.train[first : first + _COMPARED]].astype(np.float32)
        squares = (test**2).sum(1)[:, None] - 2 * (test @ train.T) + (train**2).sum(1)
        nearest = np.minimum(nearest, squares.min(1))
    found.tested = len(test)
    found.twins = int((nearest / test.shape[1] < _TWIN**2).sum())
