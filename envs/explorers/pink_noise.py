"""Pink noise: actions that drift and jitter at once, as much slow change as fast.

Onno Eberhard, Jakob Hollenstein, Cristina Pinneri, Georg Martius. Pink Noise Is All You Need: Colored Noise
Exploration in Deep Reinforcement Learning. ICLR 2023. https://openreview.net/forum?id=hQ9V5QN27eS
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.exploration import bounded, continuous, spread, within
from ssl_robot.envs.world import World

_LENGTH = 1000  # steps, where an environment sets no limit
# As much power as evenly drawn actions have, which lie in [-1, 1].
_DEVIATION = 3**-0.5


class PinkNoise:
    """Actions whose power falls with frequency as 1/f, each number of an action on its own.

    Args:
        world: Where to act, with real numbers; those without bounds have a deviation of 1.
        seed: Repeats the same actions.

    Raises:
        InputError: If actions are choices.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._space = continuous(world.env.action_space)
        self._random = np.random.default_rng(seed)
        self._length = (world.env.spec and world.env.spec.max_episode_steps) or _LENGTH
        self.reset()

    def reset(self) -> None:
        """Begin a new stretch of noise."""
        self._noise = iter(pink(self._random, self._length, self._space.shape))

    def act(self, observation: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The next action."""
        noise = next(self._noise, None)
        if noise is None:
            self.reset()
            noise = next(self._noise)
        middle, half = spread(self._space)
        return within(self._space, middle + half * noise * np.where(bounded(self._space), _DEVIATION, 1.0))


def pink(random: np.random.Generator, length: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Noise with a power of 1/f along its first axis and a variance of 1, (length, *shape).

    Args:
        random: Draws it.
        length: Steps, 1 or more.
        shape: Shape of one step; its numbers are independent.
    """
    # White noise of random phase, weighted by frequency; the lowest is one turn in the whole stretch.
    frequencies = np.maximum(np.fft.rfftfreq(2 * length), 1 / (2 * length))
    weights = frequencies**-0.5
    size = (len(weights), *shape)
    white = random.standard_normal(size) + 1j * random.standard_normal(size)
    noise: NDArray[np.float64] = np.fft.irfft(white * weights.reshape(-1, *[1] * len(shape)), axis=0)[:length]
    # The variance that it has on average, not this draw's own: that would flatten what is slow.
    power = np.square(weights)
    deviation = float(np.sqrt(4 * power.sum() - 3 * (power[0] + power[-1]))) / (2 * length)
    return noise / deviation
