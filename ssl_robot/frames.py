"""What the library asks of a collection of frames, and of a place to put them.

The library never opens files: a store hands it something that answers ``Frames``, a recorder writes to
something that answers ``FrameSink``.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError


@dataclass(frozen=True)
class Label:
    """What the numbers beside a frame mean.

    Attributes:
        name: Full name; parts are divided by ``/`` or ``.``, as in ``poses/block`` or ``observation.state``.
        components: One name per number, as in ``("x", "y", "angle")``.
        units: One unit per number (``m``, ``px``, ``rad``, or empty where the source does not say).
        circular: Which numbers are angles that wrap at 2 pi (joint angles within limits do not).
    """

    name: str
    components: tuple[str, ...]
    units: tuple[str, ...]
    circular: tuple[bool, ...]

    @classmethod
    def plain(cls, name: str, width: int, components: Sequence[str] = ()) -> "Label":
        """A label of numbers that do not wrap and whose unit the source does not say."""
        names = tuple(components) or tuple(str(i) for i in range(width))
        return cls(name, names, ("",) * width, (False,) * width)


@dataclass(frozen=True)
class Schema:
    """What every row of a recording holds.

    Attributes:
        cameras: Height, width and channels of each camera's frames.
        labels: The numbers kept beside each frame; the one named ``actions`` is what was done about it.
        depths: Cameras that measure distance too.
        calibrated: Cameras whose lens and place are known.
        segmented: Cameras of which every pixel says what it shows, with the channels of their maps (``segments.py``
            says what they mean).
        things: Names of what pixels can show: number 1 in a map is the first; 0 is anything else.
    """

    cameras: Mapping[str, tuple[int, int, int]]
    labels: tuple[Label, ...] = ()
    depths: tuple[str, ...] = ()
    calibrated: tuple[str, ...] = ()
    segmented: Mapping[str, int] = field(default_factory=dict)
    things: tuple[str, ...] = ()

    def label(self, name: str) -> Label:
        """What the numbers of a label mean; ``KeyError`` if there is none of that name."""
        return {label.name: label for label in self.labels}[name]


@dataclass(frozen=True)
class Calibration:
    """The lens of a camera and where it stands.

    Attributes:
        K: Intrinsics in pixels, (3, 3): a point (x, y, z) of the camera's frame (x right, y down, z ahead) is seen at
            column (K @ point)[0] / z and row (K @ point)[1] / z; the middle of the first pixel is (.5, .5).
        T_world_camera: Takes points of the camera's frame to the world's, metres, (4, 4).
    """

    K: NDArray[np.float64]
    T_world_camera: NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One moment: what was seen, what it meant, and what was done about it.

    Attributes:
        frames: Camera name to uint8 array of height, width, channels.
        labels: Label name to vector of numbers; ``actions`` is the action taken after the frame was seen.
        time: Seconds since the episode began.
        depths: Camera name to float32 array of height, width: metres along the line of sight of the frame's middle.
        cameras: Camera name to its calibration.
        maps: Camera name to uint8 array of height, width, or of height, width, channels: what each pixel shows; one
            with fewer channels than the schema's tells of the same things.
    """

    frames: Mapping[str, NDArray[np.uint8]]
    labels: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    time: float = 0.0
    depths: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    cameras: Mapping[str, Calibration] = field(default_factory=dict)
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """Moments as a reader sees them, from a recording or from worlds that are being acted in.

    Attributes:
        frames: uint8, (b, h, w, 3).
        labels: What is known about each moment beside its frame, (b, components) each.
    """

    frames: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class EpisodeSink(Protocol):
    """Where the rows of one episode go."""

    def add(self, row: Row) -> None:
        """Append one row; its arrays may be used again afterwards."""

    def end(self, final: Mapping[str, NDArray[np.uint8]] | None = None, success: bool | None = None) -> None:
        """Nothing more comes; ``final`` holds the frames seen after the last action."""


class FrameSink(Protocol):
    """Where a recorder puts what it saw, one row at a time, in bounded memory; several episodes may be open."""

    def open(self, schema: Schema, attributes: Mapping[str, Any], rows: int | None = None) -> None:
        """What every row will hold, where it comes from, and how many are expected; once, before the first episode."""

    def begin(
        self, seed: int | None = None, attributes: Mapping[str, Any] | None = None, independent: bool = False
    ) -> EpisodeSink:
        """Start an episode.

        Args:
            seed: What it was reset with.
            attributes: Numbers and texts about it, as its task or policy; the same for many independent rows, which
                are stored far more densely then.
            independent: It is one row that has nothing to do with the next episode's (independent resets).
        """


class Frames(Protocol):
    """Frames that can be read in any order, with what is known about them."""

    @property
    def fingerprint(self) -> str:
        """A short text that changes when the content does."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame."""

    @property
    def episodes(self) -> NDArray[np.int64]:
        """The episode each frame belongs to, counted from 0 in order of recording."""

    @property
    def contents(self) -> NDArray[np.uint64]:
        """One hash per episode, of its first frame's pixels: equal only where cameras and sizes are."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Full names of the labels, actions included."""

    @property
    def nbytes(self) -> int:
        """Bytes that reading every frame takes from the disk."""

    def __len__(self) -> int:
        """Number of frames."""

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places, uint8, (b, h, w, c)."""

    def label(self, name: str) -> Label:
        """What the numbers of a label mean; ``KeyError`` if there is none of that name.

        A collection may know more than it lists: what follows from the rest, as where a calibrated camera stood.
        """

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every frame, (frames, components)."""


def seen(frames: Frames, rows: NDArray[np.int64], labels: Sequence[str] = ()) -> Seen:
    """Some moments of a recording.

    Args:
        frames: The collection.
        rows: Places in it, (b,).
        labels: Names of the labels that come along.
    """
    return Seen(frames.take(rows), {name: frames.values(name)[rows] for name in labels})


def later(frames: Frames, indices: NDArray[np.int64], gap: int) -> NDArray[np.int64]:
    """The frames ``gap`` steps after the given ones, held back at the end of their own episode.

    Args:
        frames: The collection.
        indices: Places in it, any shape.
        gap: Steps, zero or more.
    """
    episodes = frames.episodes
    last = np.searchsorted(episodes, episodes[indices], side="right") - 1
    return np.minimum(indices + gap, last)


def find_label(frames: Frames, target: str) -> Label:
    """The label with this full name, or the only one whose last parts are this.

    Raises:
        InputError: If none or several match; the message lists what there is.
    """
    names = frames.label_names
    with contextlib.suppress(KeyError):  # it may be known without being listed
        return frames.label(target)
    matches = [name for name in names if name.endswith((f"/{target}", f".{target}"))]
    if len(matches) == 1:
        return frames.label(matches[0])
    if matches:
        raise InputError(f"'{target}' could be {' or '.join(matches)}: give the full name.")
    raise InputError(f"There is no label '{target}': choose from {', '.join(names) or 'none, the file has no labels'}.")
