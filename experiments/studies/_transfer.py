"""Heads that learn on one recording and are examined on another: what holds where only the surroundings differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot import cache
from ssl_robot.datasets.store import FrameStore
from ssl_robot.frames import Frames, Label
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose
from ssl_robot.readers import Reader
from ssl_robot.splits import Split, split


@dataclass(frozen=True)
class Transfer(Pose):
    """The pose probe, whose heads learn on another recording than the one they are examined on.

    Attributes:
        learnt: That recording: heads learn and are chosen on its own parts for it.
    """

    learnt: str = ""

    def ask(self, reader: Reader, frames: Frames) -> list[Score]:
        """Scores of every frame of the recording.

        Raises:
            InputError: If the two recordings do not have the label.
        """
        first = FrameStore(Path(self.learnt))
        both = Joined((first, frames))
        features = torch.cat([cache.features(reader, part, self.layer) for part in both.parts])
        own = split(first)
        return self.score(features, both, Split(own.train, own.validation, np.arange(len(first), len(both))))


@dataclass(frozen=True)
class Joined:
    """Recordings of the same labels and size, one after the other.

    Attributes:
        parts: The recordings.
    """

    parts: Sequence[Frames]

    @property
    def fingerprint(self) -> str:
        """That of each."""
        return "-".join(part.fingerprint for part in self.parts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame."""
        return self.parts[0].shape

    @property
    def episodes(self) -> NDArray[np.int64]:
        """The episode of each frame, counted through."""
        before = np.cumsum([0, *(len(part.contents) for part in self.parts)])
        return np.concatenate([part.episodes + n for part, n in zip(self.parts, before, strict=False)])

    @property
    def contents(self) -> NDArray[np.uint64]:
        """One hash per episode."""
        return np.concatenate([part.contents for part in self.parts])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the first one's labels."""
        return self.parts[0].label_names

    @property
    def nbytes(self) -> int:
        """Bytes that reading every frame takes from the disk."""
        return sum(part.nbytes for part in self.parts)

    def __len__(self) -> int:
        """Number of frames."""
        return sum(map(len, self.parts))

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places, uint8, (b, h, w, c)."""
        found = np.empty((len(indices), *self.shape), np.uint8)
        first = 0
        for part in self.parts:
            here = (indices >= first) & (indices < first + len(part))
            found[here] = part.take(indices[here] - first)
            first += len(part)
        return found

    def label(self, name: str) -> Label:
        """What the numbers of a label mean."""
        return self.parts[0].label(name)

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every frame, (frames, components)."""
        return np.concatenate([part.values(name) for part in self.parts])
