"""Gymnasium-Robotics: Fetch, the Shadow hand, Adroit, the Franka kitchen and the mazes."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from ssl_robot.envs.canvas import needs
from ssl_robot.envs.mujoco import MujocoWorld
from ssl_robot.envs.world import Sight

# Told by name, so that nothing is imported for other environments.
_FETCH = (0, 1, 2, 9, 10, 20, 21, 22, 23, 24)  # where there is an object too, whose numbers lie between
_NAMES = ("Fetch", "HandReach", "HandManipulate", "AdroitHand", "FrankaKitchen", "PointMaze_", "AntMaze_")


class GymnasiumRobotics(MujocoWorld):
    """The world behind ``FetchReach-v4`` and the like."""

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether the name is one of Gymnasium-Robotics."""
        return env_id.startswith(_NAMES)

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The environment, without a renderer of its own."""
        needs("gymnasium_robotics", "metaworld")
        import gymnasium_robotics

        gym.register_envs(gymnasium_robotics)
        return gym.make(env_id, disable_env_checker=True)

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether the environment is one of Gymnasium-Robotics."""
        return type(env.unwrapped).__module__.startswith("gymnasium_robotics.")

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """Place and speed of Fetch's gripper and its fingers; of the other robots nothing."""
        name = type(self.env.unwrapped).__name__
        if not name.startswith("MujocoFetch"):
            return {}
        return {"observation": tuple(range(10)) if "Reach" in name else _FETCH}

    @property
    def simulator(self) -> Any:
        """The environment, or the robot inside it where mazes and the kitchen wrap one."""
        outer: Any = self.env.unwrapped
        inner = (getattr(outer, name, None) for name in ("robot_env", "point_env", "ant_env"))
        return next((robot for robot in inner if robot is not None), outer)
