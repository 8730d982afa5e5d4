"""Actions drawn evenly from the whole action space."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


class Uniform:
    """Every action independent of the last.

    Args:
        space: The environment's action space.
        seed: Repeats the same actions.
    """

    def __init__(self, space: gym.Space[Any], seed: int) -> None:
        self._space = space
        self._space.seed(seed)

    def act(self) -> NDArray[np.floating]:
        """The next action."""
        return np.asarray(self._space.sample())
