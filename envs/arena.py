"""Worlds to act in, side by side in one process: what a policy probe does with the world that a recording names."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.arena import Places, Step
from ssl_robot.envs import world as worlds
from ssl_robot.envs.exploration import within
from ssl_robot.envs.world import Sight, World
from ssl_robot.errors import InputError
from ssl_robot.frames import Seen

# Arguments of environments that only say how they are drawn, which is the arena's business.
_DRAWN = {"render_mode", "obs_type", "observation_width", "observation_height", "width", "height", "render_kwargs"}


def opened(
    env_args: str,
    size: int,
    camera: str,
    render: Literal["fast", "full"] = "fast",
    proprioception: str = "",
    copies: int = 8,
    steps: int = 0,
) -> "Copies":
    """Copies of the world that a recording comes from, seen as it was recorded; copies are made when they are needed.

    Args:
        env_args: The recording's attribute: JSON with ``env_name`` and ``env_kwargs``.
        size: Height and width of its frames, pixels.
        camera: Name of the camera that it is looked at through.
        render: The recording's attribute.
        proprioception: The recording's attribute, JSON: label to places among its numbers; what the world says now,
            where the recording is silent.
        copies: The most that act side by side.
        steps: After which an episode is cut, as by ``--reset-every``; 0: the environment's own limit.

    Raises:
        InputError: If the recording names no environment, or one that cannot be made again, looked at like that, or
            acted in by numbers.
    """
    name, arguments = _named(env_args)
    first = _made(name, size, camera, render)
    try:
        _check(first, name, arguments)
        places = _places(json.loads(proprioception)) if proprioception else first.proprioception
        return Copies(first, lambda: _made(name, size, camera, render), camera, places, copies, steps)
    except BaseException:
        _end(first)
        raise


class Copies:
    """The arena: see ``ssl_robot.arena.Arena``.

    Args:
        first: A world.
        more: Makes another copy of it.
        camera: Whose frames are seen.
        proprioception: What the robot knows of itself.
        copies: The most that act side by side.
        steps: After which an episode is cut; 0: the environment's own limit.
    """

    def __init__(
        self,
        first: World,
        more: Callable[[], World],
        camera: str,
        proprioception: Mapping[str, tuple[int, ...]],
        copies: int,
        steps: int,
    ) -> None:
        if copies < 1:
            raise InputError(f"{copies} copies of a world cannot act: give at least 1.")
        self.name, self.copies = worlds.name_of(first.env), copies
        self.proprioception: Places = proprioception
        self.stops = first.stops
        self._worlds, self._more, self._camera, self._steps = [first], more, camera, steps
        space = first.env.action_space
        assert isinstance(space, gym.spaces.Box)
        self._space, self._look = space, True
        self.actions = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
        self._moments: list[tuple[NDArray[np.uint8], Mapping[str, NDArray[np.floating]]]] = []
        self._over, self._cut, self._done = (np.zeros(0, np.bool_) for _ in range(3))
        self._tells, self._age = False, np.zeros(0, np.int64)

    def begin(self, seeds: Sequence[int], look: bool = True) -> Seen:
        """Start an episode in as many copies as there are seeds."""
        if not 1 <= len(seeds) <= self.copies:
            raise InputError(f"{len(seeds)} episodes cannot begin in {self.copies} copies: give 1 to {self.copies}.")
        while len(self._worlds) < len(seeds):
            self._worlds.append(self._more())
            self._worlds[-1].told = True  # whoever uses the first one has heard it
        self._look = look
        self._over, self._cut, self._done = (np.zeros(len(seeds), np.bool_) for _ in range(3))
        self._age = np.zeros(len(seeds), np.int64)
        self._moments = [self._reset(i, seed) for i, seed in enumerate(seeds)]
        return self._seen()

    def again(self, seeds: Mapping[int, int]) -> Seen:
        """Start new episodes in some of the copies."""
        for i, seed in seeds.items():
            self._moments[i] = self._reset(i, seed)
            self._over[i] = self._cut[i] = self._done[i] = False
            self._age[i] = 0
        return self._seen()

    def step(self, actions: NDArray[Any]) -> Step:
        """Act in every copy whose episode goes on."""
        rewards = np.zeros(len(self._moments))
        for i in np.flatnonzero(~self._over).tolist():
            rewards[i] = self._act(i, actions[i])
        success = self._done.copy() if self._tells else None
        return Step(self._seen(), rewards, self._over.copy(), self._cut.copy(), success)

    def close(self) -> None:
        """Close all copies."""
        for world in self._worlds:
            _end(world)

    def _reset(self, i: int, seed: int) -> tuple[NDArray[np.uint8], Mapping[str, NDArray[np.floating]]]:
        return self._moment(self._worlds[i], *self._worlds[i].env.reset(seed=seed))

    def _act(self, i: int, action: NDArray[Any]) -> float:
        world = self._worlds[i]
        bounded = within(self._space, np.asarray(action, np.float64).reshape(self._space.shape))
        observation, reward, terminated, truncated, info = world.env.step(bounded)
        told = world.success(info)
        self._tells |= told is not None
        self._done[i] |= bool(told)
        self._age[i] += 1
        ended = bool(terminated) or (world.stops and bool(told))
        late = bool(truncated) or self._age[i] == self._steps
        self._over[i], self._cut[i] = ended or late, late and not ended
        self._moments[i] = self._moment(world, observation, info)
        return float(reward)

    def _moment(
        self, world: World, observation: Any, info: dict[str, Any]
    ) -> tuple[NDArray[np.uint8], Mapping[str, NDArray[np.floating]]]:
        if not self._look:
            return np.zeros((0, 0, 3), np.uint8), world.numbers(observation, info)
        row = world.look(observation, info)
        return row.frames[self._camera], row.labels

    def _seen(self) -> Seen:
        frames = np.stack([frame for frame, _ in self._moments])
        names = self._moments[0][1]
        return Seen(frames, {n: np.stack([labels[n] for _, labels in self._moments]).astype(np.float64) for n in names})


def _named(env_args: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the environment."""
    try:
        said = json.loads(env_args)
        return str(said["env_name"]), dict(said.get("env_kwargs", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            "The recording does not say which environment it comes from, so nothing can act there: give one made by "
            "'ssl-robot collect'."
        ) from None


def _made(name: str, size: int, camera: str, render: Literal["fast", "full"]) -> World:
    """A world seen through the camera of that name: the one it shows by itself, or one of the model's."""
    world = worlds.make(name, Sight(size, render=render))
    if camera in world.schema.cameras:
        return world
    _end(world)
    return worlds.make(name, Sight(size, (camera,), render=render))


def _check(world: World, name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a world that is not the recorded one, or whose actions are choices."""
    space = world.env.action_space
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise InputError(f"Actions of {name} are choices ({space}), but a policy here gives real numbers: ask another.")
    now = _named(worlds.provenance(world)["env_args"])[1]
    other = sorted(key for key in {*arguments, *now} - _DRAWN if arguments.get(key) != now.get(key))
    if other:
        raise InputError(
            f"{name} was recorded with another {' and '.join(other)} than 'ssl-robot collect' gives it, and so cannot "
            "be made again: record it with that command."
        )


def _places(said: Mapping[str, Sequence[int]]) -> Places:
    return {str(name): tuple(int(place) for place in places) for name, places in said.items()}


def _end(world: World) -> None:
    world.close()
    world.env.close()
