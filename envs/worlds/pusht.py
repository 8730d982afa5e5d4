"""PushT: push a T-shaped block with a round finger, seen from above. Drawn without GL."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.world import Sight, World
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_BLOCK = Label("poses/block", ("x", "y", "angle"), ("px", "px", "rad"), (False, False, True))
_THINGS = ("block", "agent")
_AGENT = Label("agent_pos", ("x", "y"), ("px", "px"), (False, False))


class Pusht(World):
    """The world behind ``gym_pusht/PushT-v0``.

    Frames are the ones an agent observes: those of ``render()`` carry a red cross at the last action, which an
    encoder could read. Lengths are in the world's unit, of which 512 make the frame's width.

    Args:
        env: A PushT environment, whatever it observes.
        sight: How to look; there is one camera, ``top``, and no depth. What it can tell apart are block and finger.

    Raises:
        InputError: If another camera or depth is asked for.
    """

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        super().__init__(env, sight)
        if set(sight.cameras) - {"top"} or sight.depth:
            raise InputError("PushT has one camera, 'top', and no depth: ask for nothing else.")
        self._world: Any = env.unwrapped
        self._altered = any(isinstance(layer, gym.ObservationWrapper) for layer in _layers(env))

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether this file is the one for an environment."""
        return env_id.startswith("gym_pusht/")

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The environment as agents observe it: in pixels of the frames' size."""
        import gym_pusht  # noqa: F401  (registers the environment)

        return gym.make(env_id, obs_type="pixels", observation_width=sight.size, observation_height=sight.size)

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether this is a PushT environment."""
        return type(env.unwrapped).__module__.startswith("gym_pusht.")

    @property
    def schema(self) -> Schema:
        """One square camera, the block's pose, the finger's place and the action."""
        size, labels = self.sight.size, (_BLOCK, _AGENT, Label.plain("actions", 2))
        if not self.sight.segmentation:
            return Schema({"top": (size, size, 3)}, labels)
        return Schema({"top": (size, size, 3)}, labels, segmented={"top": 1}, things=_THINGS)

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """Where the finger is."""
        return {"agent_pos": (0, 1)}

    def numbers(self, observation: Any, info: dict[str, Any]) -> Mapping[str, NDArray[np.floating]]:
        """The block's pose with its angle wrapped to [-pi, pi), and the finger's place."""
        x, y, angle = info["block_pose"]
        place = np.array(info["pos_agent"], np.float64)
        return {"poses/block": np.array([x, y, wrapped(angle)]), "agent_pos": place}

    def look(self, observation: Any, info: dict[str, Any]) -> Row:
        """The frame, and the block's pose and the finger's place."""
        size = self.sight.size
        frame = np.asarray(observation)
        if self._altered or frame.dtype != np.uint8 or frame.shape != (size, size, 3):
            frame = self._world._get_img(self._world._draw(), width=size, height=size)
        maps = {"top": self._map()} if self.sight.segmentation else {}
        return Row({"top": np.array(frame, np.uint8, order="C")}, self.numbers(observation, info), maps=maps)

    def _map(self) -> NDArray[np.uint8]:
        """Which thing the middle of each pixel shows: told by the colours of the picture before it is made smaller."""
        import pygame
        from gym_pusht.envs.pymunk_override import light_color

        picture, size = self._world._draw(), self.sight.size
        places = [((np.arange(size) + 0.5) * length / size).astype(np.int64) for length in picture.get_size()]
        colours = pygame.surfarray.pixels2d(picture)[np.ix_(*places)].T
        found = np.zeros((size, size), np.uint8)
        for number, body in enumerate((self._world.block, self._world.agent), 1):
            for shape in body.shapes:
                for colour in (tuple(shape.color), light_color(shape.color).as_int()):
                    found[colours == picture.map_rgb(colour)] = number
        return found


def _layers(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """An environment and what it wraps, from the outside."""
    yield env
    while isinstance(env, gym.Wrapper):
        env = env.env
        yield env


def wrapped(angle: float) -> float:
    """The angle in [-pi, pi): PushT's own counts full turns."""
    rest = math.remainder(angle, 2 * math.pi)  # exact, in [-pi, pi]
    return -math.pi if rest >= math.pi else rest
