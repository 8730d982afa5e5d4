"""MetaWorld: fifty tasks of a Sawyer arm on a table, each with a scripted policy."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import needs
from ssl_robot.envs.mujoco import MujocoWorld
from ssl_robot.envs.world import Expert, Sight, name_of
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration

_PREFIX = "metaworld/"
_CAMERA = "corner2"  # sees table, arm and object in every task; the free camera stands far away
_STEPS = 500


class Metaworld(MujocoWorld):
    """The world behind ``metaworld/drawer-open-v3`` and the like, and any environment of MetaWorld's own making.

    Ours draw goal and objects anew at every reset, from its seed: MetaWorld's own ``reset(seed)`` ignores it. The
    corner cameras hang upside down; their frames are turned, and their calibration with them.
    """

    stops = True

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether the name is a task of MetaWorld."""
        return env_id.startswith(_PREFIX)

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The task, with its goal in the observation.

        Raises:
            InputError: If MetaWorld has no such task; the message lists those that there are.
        """
        needs("metaworld", "metaworld")
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        name = env_id.removeprefix(_PREFIX)
        if name not in ALL_V3_ENVIRONMENTS:
            raise InputError(f"MetaWorld has no task '{name}': choose from {', '.join(sorted(ALL_V3_ENVIRONMENTS))}.")
        if env_id not in gym.registry:
            entry = "ssl_robot.envs.worlds.metaworld:task"
            gym.register(env_id, entry, max_episode_steps=_STEPS, kwargs={"name": name})
        return gym.make(env_id, disable_env_checker=True)

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether the environment is one of MetaWorld, wrapped or not."""
        return any(cls.__module__.startswith("metaworld.") for cls in type(env.unwrapped).__mro__)

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """Where the hand is, and how far its fingers are apart."""
        return {"state": (0, 1, 2, 3)}

    def settle(self) -> None:
        """Move the goal's mark to the goal: after a reset MetaWorld still shows the last one."""
        task: Any = self.env.unwrapped
        for name, place in task._target_site_config:
            task._set_pos_site(name, place)

    def hangs(self, camera: Calibration) -> bool:
        """Whether the camera's upper side points to the floor; the one on the gripper looks straight down."""
        down = camera.T_world_camera[:3, 1]
        return bool(down[2] > 0.3)

    def expert(self) -> Expert:
        """MetaWorld's scripted policy for the task.

        Raises:
            InputError: If the observation hides the goal, without which the policy is lost.
        """
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP

        task = self.env.unwrapped
        if getattr(task, "_partially_observable", False):
            raise InputError(f"{name_of(self.env)} hides its goal from the scripted expert: choose another --explorer.")
        names = {cls: name for name, cls in ALL_V3_ENVIRONMENTS.items()}
        name = next(names[cls] for cls in type(task).__mro__ if cls in names)
        policies: Any = ENV_POLICY_MAP
        policy = policies[name]()

        def act(observation: Any) -> NDArray[np.floating]:
            return np.asarray(np.clip(policy.get_action(observation), -1, 1), np.float32)

        return act


class Seeded(gym.Wrapper[Any, Any, Any, Any]):
    """A MetaWorld task whose reset heeds its seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the same seed gives the same goal and objects."""
        if seed is not None:
            task: Any = self.env.unwrapped
            task.seed(seed)
        return self.env.reset(seed=seed, options=options)


def task(name: str, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """A task that draws goal and objects anew at every reset, and shows the goal in its observation.

    Args:
        name: MetaWorld's, as in ``drawer-open-v3``.
        render_mode: Gymnasium's.
    """
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

    tasks: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
    env = tasks[f"{name}-goal-observable"](render_mode=render_mode)
    env.observation_space = env.sawyer_observation_space
    env.mujoco_renderer.camera_id = env.model.cam(_CAMERA).id
    env._freeze_rand_vec, env.seeded_rand_vec = False, True
    return Seeded(env)
