"""Fewer frames of a recording, where a first answer must come soon."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_robot.frames import Frames, Label


@dataclass(frozen=True)
class Thinned:
    """Every so many frames of a recording: the same episodes, and so the same parts, with fewer frames each.

    Attributes:
        frames: The recording.
        step: One frame of as many is kept, 1 or more.
    """

    frames: Frames
    step: int

    @classmethod
    def to(cls, frames: Frames, most: int) -> Frames:
        """The recording itself, or so few of its frames that they are about ``most``."""
        step = round(len(frames) / most)
        return cls(frames, step) if step > 1 else frames

    @property
    def rows(self) -> NDArray[np.int64]:
        """Where the frames lie in the recording."""
        return np.arange(0, len(self.frames), self.step)

    @property
    def fingerprint(self) -> str:
        """The recording's, and the step."""
        return f"{self.frames.fingerprint}-{self.step}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame."""
        return self.frames.shape

    @property
    def episodes(self) -> NDArray[np.int64]:
        """The episode of each frame, counted as in the recording."""
        return self.frames.episodes[:: self.step]

    @property
    def contents(self) -> NDArray[np.uint64]:
        """One hash per episode of the recording."""
        return self.frames.contents

    @property
    def label_names(self) -> tuple[str, ...]:
        """Full names of the labels, actions included."""
        return self.frames.label_names

    @property
    def nbytes(self) -> int:
        """About the bytes that reading every frame takes from the disk."""
        return self.frames.nbytes // self.step

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.rows)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames at the given places among those kept, uint8, (b, h, w, c)."""
        return self.frames.take(self.rows[indices])

    def label(self, name: str) -> Label:
        """What the numbers of a label mean; ``KeyError`` if there is none of that name."""
        return self.frames.label(name)

    def values(self, name: str) -> NDArray[np.float64]:
        """The numbers of a label for every frame, (frames, components)."""
        return self.frames.values(name)[:: self.step]
