"""What the library asks of worlds to act in; it never makes an environment itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_robot.frames import Seen


@dataclass(frozen=True)
class Step:
    """What several copies of a world answer to an action each.

    Attributes:
        seen: What is seen now; in copies whose episode is over, what was seen last.
        rewards: (copies,).
        over: Whether the episode ended, by itself or by its time limit, (copies,) bool.
        success: Whether the task is done, (copies,) bool; false where the world does not say.
    """

    seen: Seen
    rewards: NDArray[np.float64]
    over: NDArray[np.bool_]
    success: NDArray[np.bool_]


class Arena(Protocol):
    """Copies of a world side by side, which show what a recording of it shows: same camera, size and labels."""

    @property
    def name(self) -> str:
        """Of the task."""

    @property
    def actions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and largest value of each number of an action, (actions,) each."""

    def begin(self, seeds: Sequence[int]) -> Seen:
        """Start an episode in as many copies as there are seeds, and see their first frames."""

    def step(self, actions: NDArray[Any]) -> Step:
        """Act, (copies, actions); copies whose episode is over stand still and earn nothing."""

    def close(self) -> None:
        """Give back what the copies took."""
