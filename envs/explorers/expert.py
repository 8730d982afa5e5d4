"""The scripted policy that a world brings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.world import World


class Expert:
    """Does the task; every episode begins with a fresh policy.

    Args:
        world: Where to act.
        seed: Of no use: scripted policies draw nothing of their own.

    Raises:
        InputError: If the world has no scripted policy.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._policy = world.expert()

    def reset(self) -> None:
        """Begin the task anew."""
        self._policy = self._world.expert()

    def act(self, observation: Any, info: dict[str, Any]) -> NDArray[Any]:
        """What the policy does."""
        return np.asarray(self._policy(observation), self._world.env.action_space.dtype)
