"""Frames that lie in memory, for whoever has them there already."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Label


@dataclass(frozen=True)
class Arrays:
    """An array of frames, with labels beside it.

    >>> frames = Arrays(np.zeros((6, 32, 32, 3), np.uint8), lengths=(4, 2))
    >>> frames.episodes.tolist()
    [0, 0, 0, 0, 1, 1]

    Attributes:
        images: (frames, h, w, 3) uint8, RGB.
        lengths: Frames of each episode; none where every frame is one of its own.
        named: Labels, with their numbers, (frames, components).
        things: Names of what pixels can show, by their number from 1.
        segments: What each pixel shows, (frames, h, w, channels) uint8 (see ``segments.py``); goes with ``things``.

    Raises:
        InputError: If the frames are of another type or shape, or lengths or labels do not fit them.
    """

    images: NDArray[np.uint8]
    lengths: Sequence[int] | None = None
    named: Mapping[str, tuple[Label, NDArray[np.float64]]] = field(default_factory=dict)
    things: tuple[str, ...] = ()
    segments: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise InputError(f"Frames are uint8 of (n, h, w, 3), not {self.images.dtype} of {self.images.shape}.")
        if self.lengths is not None and sum(self.lengths) != len(self.images):
            raise InputError(f"Episodes have {sum(self.lengths)} frames together, but there are {len(self.images)}.")
        for name, (_, values) in self.named.items():
            if len(values) != len(self.images):
                raise InputError(f"{name} has {len(values)} rows for {len(self.images)} frames: give one for each.")
        if (self.segments is not None) != bool(self.things):
            raise InputError("Names of things and maps of them go together: give both or neither.")
        if self.segments is not None and self.segments.shape[:3] != self.images.shape[:3]:
            raise InputError(f"Maps of {self.segments.shape} do not fit frames of {self.images.shape}: give one each.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame."""
        h, w, c = self.images.shape[1:]
        return h, w, c

    @cached_property
    def episodes(self) -> NDArray[np.int64]:
        """The episode each frame belongs to."""
        lengths = [1] * len(self) if self.lengths is None else self.lengths
        return np.repeat(np.arange(len(lengths)), lengths)

    @cached_property
    def contents(self) -> NDArray[np.uint64]:
        """One hash per episode, of its first frame's pixels."""
        firsts = np.searchsorted(self.episodes, np.arange(self.episodes[-1] + 1))
        hashes = [hashlib.blake2b(self.images[i].tobytes(), digest_size=8).digest() for i in firsts]
        return np.array([int.from_bytes(value, "little") for value in hashes], np.uint64)

    @property
    def nbytes(self) -> int:
        """Nothing is read from a disk."""
        return 0

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all pixels, of where episodes end and of all labels."""
        digest = hashlib.sha256(f"{self.images.shape} {self.lengths and list(self.lengths)}".encode())
        digest.update(np.ascontiguousarray(self.images).data)
        for label, values in self.named.values():
            digest.update(repr(label).encode() + np.ascontiguousarray(values, np.float64).tobytes())
        return digest.hexdigest()[:16]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(self.named)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places, a copy."""
        return self.images[indices]

    def maps(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What each pixel of the frames at the given places shows, a copy.

        Raises:
            InputError: If that is not known.
        """
        if self.segments is None:
            raise InputError("Nobody has said what the pixels show: give segments, and names of things.")
        return self.segments[indices]

    def label(self, name: str) -> Label:
        """What the numbers of a label mean."""
        return self.named[name][0]

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every frame."""
        return self.named[name][1]
