"""How to act when there is nothing to win yet: the protocol of ``explorers/`` and what all of them need."""

import copy
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.world import World
from ssl_robot.errors import InputError

# Simulators write "no limit" as infinity or as a huge number; no action worth trying is that large.
_HUGE = 1e6


class Explorer(Protocol):
    """A source of actions: one file in ``explorers/``, whose class is called like the file.

    It is made with the world and a seed, and two of the same seed that see the same act the same.
    """

    def __init__(self, world: World, seed: int) -> None:
        """Get ready to act in a world."""

    def reset(self) -> None:
        """Forget what was; called at the start of every episode."""

    def act(self, observation: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The next action, in the world's action space and of its type.

        Args:
            observation: What the environment returned last.
            info: What it said beside it.
        """


class Noisy:
    """Another explorer whose hand shakes: Gaussian noise on its actions, which stay within their bounds.

    Args:
        explorer: Whose actions.
        space: Where they lie; numbers without bounds count as -1 to 1, and are not cut.
        scale: Standard deviation of the noise, in half ranges of each number; 0 leaves the actions as they are.
        seed: Repeats the same noise.

    Raises:
        InputError: If the scale is negative, or the actions are no vector of real numbers.
    """

    def __init__(self, explorer: Explorer, space: gym.Space[Any], scale: float, seed: int) -> None:
        if not scale >= 0:
            raise InputError(f"Noise of {scale} half ranges is no noise: give 0 or more.")
        self._explorer, self._space, self._scale = explorer, continuous(space), scale
        self._random = np.random.default_rng(seed)

    def reset(self) -> None:
        """Start the other explorer's next episode."""
        self._explorer.reset()

    def act(self, observation: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The other explorer's next action, shaken."""
        action = np.asarray(self._explorer.act(observation, info), np.float64)
        noise = self._random.standard_normal(action.shape) * self._scale
        return within(self._space, action + noise * spread(self._space)[1])


def noisy(explorer: Explorer, space: gym.Space[Any], scale: float, seed: int) -> Explorer:
    """An explorer with noise of ``scale`` half ranges on its actions; the same one where there is none.

    Raises:
        InputError: If the scale is negative, or the actions are no vector of real numbers.
    """
    return explorer if scale == 0 else Noisy(explorer, space, scale, seed)


def continuous(space: gym.Space[Any]) -> gym.spaces.Box:
    """The space, if its actions are real numbers.

    Raises:
        InputError: If they are choices.
    """
    if isinstance(space, gym.spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return space
    raise InputError(f"Actions of {space} are choices, which bear no noise: explore with uniform or sticky.")


def bounded(space: gym.spaces.Box) -> NDArray[np.bool_]:
    """Which numbers of an action have bounds on both sides."""
    return (np.abs(space.low) < _HUGE) & (np.abs(space.high) < _HUGE)


def spread(space: gym.spaces.Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle and half range of each number of an action; 0 and 1 where it has no bounds.

    >>> spread(gym.spaces.Box(np.array([0.0, -np.inf]), np.array([4.0, np.inf])))
    (array([2., 0.]), array([2., 1.]))
    """
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    low, high = np.where(bounded(space), low, -1.0), np.where(bounded(space), high, 1.0)
    return (low + high) / 2, (high - low) / 2


def within(space: gym.spaces.Box, action: NDArray[np.floating]) -> NDArray[Any]:
    """The nearest action of the space, in its type."""
    return np.asarray(np.clip(action, space.low, space.high), space.dtype)


def drawn(space: gym.Space[Any]) -> NDArray[Any]:
    """An action drawn from a seeded space: evenly, or where a number has no bounds from N(0, 1)."""
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        choice: NDArray[Any] = space.sample()  # a single one is a number: environments look it up in tables
        return choice
    middle, half = spread(space)
    even = space.np_random.uniform(-1, 1, space.shape)
    normal = space.np_random.standard_normal(space.shape)
    return within(space, middle + half * np.where(bounded(space), even, normal))


def seeded(space: gym.Space[Any], seed: int) -> gym.Space[Any]:
    """A copy of a space that draws by this seed; the environment's own is left alone."""
    own = copy.deepcopy(space)
    own.seed(seed)
    return own
