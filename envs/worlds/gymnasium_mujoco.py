"""The MuJoCo environments that come with Gymnasium: Reacher, Pusher, HalfCheetah, Ant and the others."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.mujoco import MujocoWorld, needs
from ssl_robot.envs.world import Expert, Sight

# Their environments have Gymnasium's renderer too, and worlds of their own.
_OTHERS = ("gymnasium_robotics", "metaworld", "ogbench")


class GymnasiumMujoco(MujocoWorld):
    """The world behind ``Reacher-v5`` and the like, and any environment with Gymnasium's MuJoCo renderer."""

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether Gymnasium registers this name as one of its MuJoCo environments."""
        try:
            spec = gym.spec(env_id)
        except (gym.error.Error, ImportError, AttributeError):
            return False
        return str(spec.entry_point).startswith("gymnasium.envs.mujoco")

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The environment, without a renderer of its own."""
        needs("mujoco", "mujoco")
        return gym.make(env_id)

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether Gymnasium's renderer draws this environment."""
        package = type(env.unwrapped).__module__.partition(".")[0]
        return hasattr(env.unwrapped, "mujoco_renderer") and package not in _OTHERS

    def expert(self) -> Expert:
        """A scripted policy from observation to action; there is one for Reacher.

        Raises:
            InputError: For the others.
        """
        return reach if type(self.env.unwrapped).__name__ == "ReacherEnv" else super().expert()


def reach(observation: Any) -> NDArray[np.floating]:
    """Reacher's arm pulled to its target: the transposed Jacobian turns the way to go into torques.

    Args:
        observation: Reacher's, of 10 numbers: cosines, sines, target, joint velocities, fingertip minus target.
    """
    (c0, c1), (s0, s1) = observation[:2], observation[2:4]
    upper, lower = 0.1, 0.11  # metres
    c01, s01 = c0 * c1 - s0 * s1, s0 * c1 + c0 * s1
    jacobian = np.array([[-upper * s0 - lower * s01, -lower * s01], [upper * c0 + lower * c01, lower * c01]])
    torque = jacobian.T @ (-40.0 * observation[8:10]) - 0.15 * observation[6:8]
    return np.clip(torque, -1, 1).astype(np.float32)
