"""Episodes that are open: their rows wait here until the writer brings them to the disk."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.demo import Demo
from ssl_robot.frames import Row


class OpenEpisode:
    """An episode, or a group of independent ones, that is being recorded; an ``EpisodeSink``.

    Args:
        demo: Where it will lie in the file.
        admit: Takes each row in, with the seed of an independent one (-1: unknown), as ``FrameWriter.admit`` does.

    Attributes:
        pending: Rows that wait, with their seeds.
        rows: How many were added.
        ended: Nothing more comes.
        final: Frames seen after the last action, by camera.
        success: Whether the task was done, where that is known.
    """

    def __init__(self, demo: Demo, admit: "Callable[[OpenEpisode, Row, int], None]") -> None:
        self.demo, self._admit = demo, admit
        self.pending: list[tuple[Row, int]] = []
        self.rows = 0
        self.ended = False
        self.final: dict[str, NDArray[np.uint8]] = {}
        self.success: bool | None = None

    def add(self, row: Row, seed: int = -1) -> None:
        """Append one row.

        Raises:
            InputError: If there is no room, or was none before.
            ValueError: If the row is not what the schema says.
        """
        self._admit(self, row, seed)

    def end(self, final: Mapping[str, NDArray[np.uint8]] | None = None, success: bool | None = None) -> None:
        """Nothing more comes.

        Raises:
            ValueError: If a final frame is not what the schema says; the episode stays open.
        """
        self.final, self.success = self.demo.kept_final(final or {}), success
        self.ended = True  # last: the flusher looks at it first

    def taken(self) -> tuple[list[Row], list[int], bool]:
        """The rows that wait, which wait no longer, their seeds, and whether they are the last."""
        ended = self.ended
        rows, seeds = [row for row, _ in self.pending], [seed for _, seed in self.pending]
        self.pending = []
        return rows, seeds, ended


class OneRow:
    """One row among others that have nothing to do with it; an ``EpisodeSink``.

    Args:
        shared: The group of all of them.
        seed: What it was reset with, where that is known.
    """

    def __init__(self, shared: OpenEpisode, seed: int | None) -> None:
        self._shared, self._seed = shared, -1 if seed is None else seed

    def add(self, row: Row) -> None:
        """Append the row."""
        self._shared.add(row, self._seed)

    def end(self, final: Mapping[str, NDArray[np.uint8]] | None = None, success: bool | None = None) -> None:
        """The group stays open for the next one; final frames of independent rows are not kept."""
