"""What the library asks of a collection of frames, and of a place to put them.

The library never opens files: a store hands it something that answers ``Frames``, a recorder writes to
something that answers ``FrameSink``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

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
    """

    cameras: Mapping[str, tuple[int, int, int]]
    labels: tuple[Label, ...] = ()

    def label(self, name: str) -> Label:
        """What the numbers of a label mean; ``KeyError`` if there is none of that name."""
        return {label.name: label for label in self.labels}[name]


@dataclass(frozen=True)
class Row:
    """One moment: what was seen, what it meant, and what was done about it.

    Attributes:
        frames: Camera name to uint8 array of height, width, channels.
        labels: Label name to vector of numbers; ``actions`` is the action taken after the frame was seen.
        time: Seconds since the episode began.
    """

    frames: Mapping[str, NDArray[np.uint8]]
    labels: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    time: float = 0.0


class FrameSink(Protocol):
    """Where a recorder puts what it saw, one row at a time, in bounded memory."""

    def begin(self, seed: int | None = None) -> None:
        """Start an episode."""

    def add(self, row: Row) -> None:
        """Append one row to the episode."""

    def end(self, final: Mapping[str, NDArray[np.uint8]] | None = None, success: bool = False) -> None:
        """End the episode; ``final`` holds the frames seen after its last action."""


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

    def __len__(self) -> int:
        """Number of frames."""

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places, uint8, (b, h, w, c)."""

    def label(self, name: str) -> Label:
        """What the numbers of a label mean."""

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every frame, (frames, components)."""


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
    if target in names:
        return frames.label(target)
    matches = [name for name in names if name.endswith((f"/{target}", f".{target}"))]
    if len(matches) == 1:
        return frames.label(matches[0])
    if matches:
        raise InputError(f"'{target}' could be {' or '.join(matches)}: give the full name.")
    raise InputError(f"There is no label '{target}': choose from {', '.join(names) or 'none, the file has no labels'}.")
