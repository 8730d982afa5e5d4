"""What the library asks of worlds to act in; it never makes an environment itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_robot.frames import Frames, Seen

Places = Mapping[str, tuple[int, ...]]  # some numbers of some labels: places among a label's components


@dataclass(frozen=True)
class Step:
    """What several copies of a world answer to an action each.

    Attributes:
        seen: What is seen now; in copies whose episode is over, what was seen last.
        rewards: (copies,).
        over: Whether the episode ended, by itself or by a time limit, (copies,) bool.
        cut: Whether it was only a time limit that ended it, (copies,) bool.
        success: Whether the task was done at any time of the episode, (copies,) bool; none where the world does not
            say.
    """

    seen: Seen
    rewards: NDArray[np.float64]
    over: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    success: NDArray[np.bool_] | None


class Arena(Protocol):
    """Copies of a world side by side, which show what a recording of it shows: same camera, size and labels."""

    @property
    def name(self) -> str:
        """Of the task."""

    @property
    def copies(self) -> int:
        """The most that act side by side."""

    @property
    def actions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and largest value of each number of an action, (actions,) each; infinite where there is no bound."""

    @property
    def stops(self) -> bool:
        """Whether success ends an episode that would go on: returns then tell how long it took, too."""

    @property
    def proprioception(self) -> Places:
        """What the robot knows of itself without a camera; empty where nobody said."""

    def begin(self, seeds: Sequence[int], look: bool = True) -> Seen:
        """Start an episode in as many copies as there are seeds, and see their first moments.

        Args:
            seeds: One for each copy; the same seed is the same scene.
            look: Whether frames are needed, here and in the steps that follow; without them ``Seen.frames`` is empty,
                and acting is faster by what drawing takes.
        """

    def again(self, seeds: Mapping[int, int]) -> Seen:
        """Start new episodes in some of the copies, by their numbers; what all copies see now."""

    def step(self, actions: NDArray[Any]) -> Step:
        """Act, (copies, actions), within the bounds; copies whose episode is over stand still and earn nothing."""

    def close(self) -> None:
        """Give back what the copies took."""


class Demonstrations(Frames, Protocol):
    """Frames of somebody acting, with what was done and earned."""

    @property
    def seeds(self) -> NDArray[np.int64]:
        """What each episode was reset with, -1 where that is not known."""

    def column(self, path: str) -> NDArray[Any]:
        """Numbers of every row by their name, as ``rewards``."""
