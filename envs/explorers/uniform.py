"""Actions drawn evenly from the whole action space."""

from typing import Any

from numpy.typing import NDArray

from ssl_robot.envs.exploration import drawn, seeded
from ssl_robot.envs.world import World


class Uniform:
    """Every action independent of the last; numbers without bounds are drawn from N(0, 1).

    Args:
        world: Where to act.
        seed: Repeats the same actions.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._space = seeded(world.env.action_space, seed)

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, observation: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The next action."""
        return drawn(self._space)
