"""Which things a frame shows, one by one, from a map that says of each pixel what it shows.

A map is uint8, (h, w, c). With one channel it holds numbers of things, each of which is there once; 0 is nothing. With
more, channels come in pairs: the number of a thing, and the number of one of several such things in this frame. There
are more pairs than one where things cover the same pixels. A pixel with a thing but without a number belongs to a
crowd: there are such things, but nobody counted them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames

MOST = 255  # things, and as many of one of them in a pair of channels
LEAST = 4  # pixels of something that can still be asked for


class Segmented(Frames, Protocol):
    """Frames of which every pixel says what it shows."""

    @property
    def things(self) -> tuple[str, ...]:
        """Names of what pixels can show, by their number from 1; none where that is not known after all."""

    def maps(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Maps of the frames at the given places, (b, h, w, c)."""


def segmented(frames: Frames) -> Segmented:
    """The same frames, once it is known that they have maps.

    Raises:
        InputError: If they have none.
    """
    if getattr(frames, "things", ()):
        return cast(Segmented, frames)
    raise InputError(
        "The recording does not say what its pixels show: collect with --segmentation, or import a folder in COCO's "
        "format."
    )


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing in a frame.

    Attributes:
        thing: What it is: a number from 1.
        mask: Where it is seen, (h, w) bool.
        crowd: Whether it stands for an unknown number of such things.
    """

    thing: int
    mask: NDArray[np.bool_]
    crowd: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom edge, pixels: of one pixel in the corner 0, 0, 1, 1."""
        rows, columns = (np.flatnonzero(self.mask.any(axis)) for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def instances(found: NDArray[np.uint8], least: int = LEAST) -> list[Instance]:
    """The things that a map tells of, those of a lower number first.

    >>> found = np.zeros((6, 6, 1), np.uint8)
    >>> found[1:3, 2:6] = 5
    >>> [(item.thing, item.box) for item in instances(found)]
    [(5, (2, 1, 6, 3))]

    Args:
        found: The map, (h, w, c).
        least: Pixels below which something is left out.
    """
    return [
        Instance(int(code) >> 8, codes == code, not int(code) & 255)
        for codes in _layers(found)
        for code, count in zip(*np.unique(codes, return_counts=True), strict=True)
        if code and count >= least
    ]


def _layers(found: NDArray[np.uint8]) -> Iterator[NDArray[np.uint16]]:
    """Thing times 256 plus number for each pair of channels, (h, w); 0 where there is nothing."""
    if found.shape[2] == 1:
        found = widened(found, 2)
    for i in range(0, found.shape[2], 2):
        things = found[..., i].astype(np.uint16)
        yield np.where(things > 0, things << 8 | found[..., i + 1], 0).astype(np.uint16)


def mapped(items: Sequence[Instance], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The map that tells of these things, with as many pairs of channels as they need.

    Args:
        items: What is in the frame; each is kept whole, whatever covers it.
        shape: Height and width of the frame, pixels.

    Returns:
        (h, w, 2 x pairs) uint8, with at least one pair.
    """
    pairs: list[NDArray[np.uint8]] = [np.zeros((*shape, 2), np.uint8)]
    counts: list[dict[tuple[int, bool], int]] = [{}]
    for item in items:
        kind, most = (item.thing, item.crowd), 1 if item.crowd else MOST  # two crowds in one pair would be one
        free = (i for i, pair in enumerate(pairs) if not pair[item.mask, 0].any() and counts[i].get(kind, 0) < most)
        place = next(free, len(pairs))
        if place == len(pairs):
            pairs.append(np.zeros((*shape, 2), np.uint8))
            counts.append({})
        counts[place][kind] = counts[place].get(kind, 0) + 1
        pairs[place][item.mask] = item.thing, 0 if item.crowd else counts[place][kind]
    return np.concatenate(pairs, 2)


def widened(found: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """A map that tells of the same things with more channels; as it is where it has as many, or cannot be widened.

    >>> widened(np.array([[[7], [0]]], np.uint8), 4).tolist()
    [[[7, 1, 0, 0], [0, 0, 0, 0]]]

    Args:
        found: The map, (h, w, c).
        channels: How many it shall have: an even number, or c.
    """
    h, w, own = found.shape
    if own >= channels or channels % 2 or (own > 1 and own % 2):
        return found
    if own == 1:
        found = np.concatenate([found, (found > 0).astype(found.dtype)], 2)
    more = np.zeros((h, w, channels - found.shape[2]), found.dtype)
    return np.concatenate([found, more], 2)
