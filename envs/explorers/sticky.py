"""The last action again, nine times out of ten: straighter ways than evenly drawn actions take."""

from typing import Any

from numpy.typing import NDArray

from ssl_robot.envs.exploration import drawn, seeded
from ssl_robot.envs.world import World

_AGAIN = 0.9  # an action is kept for ten steps on average


class Sticky:
    """Actions that stay: each is repeated with probability .9, or else drawn anew.

    Args:
        world: Where to act; choices do as well as numbers.
        seed: Repeats the same actions.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._space = seeded(world.env.action_space, seed)
        self._last: NDArray[Any] | None = None

    def reset(self) -> None:
        """Begin with a new action."""
        self._last = None

    def act(self, observation: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The last action again, or a new one."""
        if self._last is None or self._space.np_random.random() >= _AGAIN:
            self._last = drawn(self._space)
        return self._last.copy()
