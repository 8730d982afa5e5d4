"""The testbed drawn without OpenGL: the same tables, labels and lens."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.mujoco import bodies, pose
from ssl_robot.envs.tabletop import CUE, PREFIX
from ssl_robot.envs.testbed.scene import SCENE
from ssl_robot.envs.world import Expert, Sight, World, observed, values_of, width_of
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_CAMERA = "top"


class TabletopFlat(World):
    """The world behind ``ssl_robot.envs.tabletop:AlignYawFlat-v0`` and the like.

    Args:
        env: A task of the testbed, made with ``flat=True``.
        sight: How to look; there is one camera, ``top``, and no depth.

    Raises:
        InputError: If another camera or depth is asked for.
    """

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        super().__init__(env, sight)
        if set(sight.cameras) - {_CAMERA} or sight.depth or sight.segmentation:
            raise InputError(f"{self.name} has one camera, '{_CAMERA}'; ask for no depth, no segmentation.")
        task: Any = env.unwrapped
        self._task, self._bodies = task, bodies(task.model)

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether the name is one of the testbed's that are drawn without OpenGL."""
        return env_id.startswith(PREFIX) and "Flat" in env_id

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The task, whose own pictures are the ones recorded."""
        return gym.make(env_id, size=sight.size, render=sight.render, render_mode="rgb_array")

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether this is a task of the testbed that is drawn without OpenGL."""
        return type(env.unwrapped).__name__ == "TabletopEnv" and bool(getattr(env.unwrapped, "flat", False))

    @property
    def name(self) -> str:
        """The task's id with the module that registers it."""
        return PREFIX + super().name

    @property
    def schema(self) -> Schema:
        """One square camera with its calibration, the cue, the poses, the scene and the action."""
        size = self.sight.size
        labels = (*self.labels(), Label.plain("actions", width_of(self.env.action_space)))
        return Schema({_CAMERA: (size, size, 3)}, labels, calibrated=(_CAMERA,))

    def labels(self) -> tuple[Label, ...]:
        """The cue, place and rotation of each body, and the scene."""
        return (*observed(self.env.observation_space), *(pose(name) for name in self._bodies), SCENE)

    @property
    def period(self) -> float:
        """Seconds from one step to the next."""
        return float(self._task.dt)

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """The cue: where the gripper is has to be seen."""
        return CUE

    def numbers(self, observation: Any, info: dict[str, Any]) -> Mapping[str, NDArray[np.floating]]:
        """The cue, the poses, and what the scene's label asks for."""
        data = self._task.data
        places = {
            f"poses/{name}": np.concatenate([data.xpos[body], data.xquat[body]]) for name, body in self._bodies.items()
        }
        return {**values_of(observation, self.labels()), **places, SCENE.name: np.array(self._task.state.facts)}

    def look(self, observation: Any, info: dict[str, Any]) -> Row:
        """The frame, what it shows, and where the camera stands."""
        size = self.sight.size
        cameras = {_CAMERA: self._task.stage.calibration(size)}
        return Row({_CAMERA: self._task.picture(size)}, self.numbers(observation, info), cameras=cameras)

    def expert(self) -> Expert:
        """What somebody does who sees everything."""
        return lambda observation: np.asarray(self._task.expert())
