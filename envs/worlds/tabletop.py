"""The testbed drawn by OpenGL: a table, a gripper, and tasks whose answers are known by construction."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import needs
from ssl_robot.envs.mujoco import MujocoWorld, fixed
from ssl_robot.envs.tabletop import CUE, PREFIX
from ssl_robot.envs.testbed.scene import SCENE
from ssl_robot.envs.world import Expert, Sight


class Tabletop(MujocoWorld):
    """The world behind ``ssl_robot.envs.tabletop:AlignYaw-v0`` and the like."""

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        super().__init__(env, sight)
        self._labels = (*self._labels, SCENE)

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether the name is one of the testbed's that OpenGL draws."""
        return env_id.startswith(PREFIX) and "Flat" not in env_id

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The task, whose own pictures are the ones recorded."""
        needs("mujoco", "mujoco")
        return gym.make(env_id, size=sight.size, render=sight.render, render_mode="rgb_array")

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether this is a task of the testbed that OpenGL draws."""
        return type(env.unwrapped).__name__ == "TabletopEnv" and not getattr(env.unwrapped, "flat", True)

    @property
    def name(self) -> str:
        """The task's id with the module that registers it."""
        return PREFIX + super().name

    def own_view(self, model: Any, data: Any) -> tuple[str, Any]:
        """The camera over the table."""
        return "top", fixed(model, 0)

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """The cue: where the gripper is has to be seen."""
        return CUE

    def numbers(self, observation: Any, info: dict[str, Any]) -> Mapping[str, NDArray[np.floating]]:
        """The poses, and what the scene's label asks for."""
        return {**super().numbers(observation, info), SCENE.name: np.array(self.simulator.state.facts)}

    def expert(self) -> Expert:
        """What somebody does who sees everything."""
        return lambda observation: np.asarray(self.simulator.expert())
