"""Several collections of frames as one."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Label


class Collection:
    """Frames of several collections, one after the other; a ``Frames``.

    Labels are those that all of them have, with the same components.

    Args:
        parts: The collections.

    Raises:
        InputError: If there are none, or their frames have different shapes.

    Attributes:
        shape: Height, width and channels of one frame.
    """

    def __init__(self, parts: Sequence[Frames]) -> None:
        if not parts:
            raise InputError("There are no frames: name at least one recording.")
        shapes = list(dict.fromkeys(part.shape for part in parts))
        if len(shapes) > 1:
            raise InputError(
                f"Recordings show frames of {shapes[0]} and {shapes[1]}: import them with one --size, or use one alone."
            )
        self._parts, self.shape = parts, shapes[0]
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def fingerprint(self) -> str:
        """A short text that changes when the content of any part does."""
        return hashlib.sha256("".join(part.fingerprint for part in self._parts).encode()).hexdigest()[:16]

    @cached_property
    def sources(self) -> NDArray[np.int64]:
        """The part that each frame comes from."""
        return np.repeat(np.arange(len(self._parts)), np.diff(self._starts))

    @cached_property
    def episodes(self) -> NDArray[np.int64]:
        """The episode each frame belongs to, counted through all parts."""
        found, before = [], 0
        for part in self._parts:
            found.append(part.episodes + before)
            before += len(part.contents)
        return np.concatenate(found)

    @cached_property
    def contents(self) -> NDArray[np.uint64]:
        """One hash per episode, of its first frame's pixels."""
        return np.concatenate([part.contents for part in self._parts])

    @property
    def nbytes(self) -> int:
        """Bytes that reading every frame takes from the disk."""
        return sum(part.nbytes for part in self._parts)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels that every part has, with the same components."""
        first, *others = self._parts
        return tuple(
            name
            for name in first.label_names
            if all(name in other.label_names and other.label(name) == first.label(name) for other in others)
        )

    def label(self, name: str) -> Label:
        """What the numbers of a label mean."""
        if name in self.label_names:
            return self._parts[0].label(name)
        first, *others = (part.label(name) for part in self._parts)  # a part may know it without listing it
        if any(other != first for other in others):
            raise KeyError(name)
        return first

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every frame, (frames, components)."""
        try:
            self.label(name)
        except KeyError:
            raise InputError(
                f"Not all recordings have the label '{name}': choose from {', '.join(self.label_names)}."
            ) from None
        return np.concatenate([part.values(name) for part in self._parts])

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places, uint8, (b, h, w, c)."""
        out = np.empty((len(indices), *self.shape), np.uint8)
        which = np.searchsorted(self._starts, indices, side="right") - 1
        for i in np.unique(which):
            asked = which == i
            out[asked] = self._parts[i].take(indices[asked] - self._starts[i])
        return out
