"""The MuJoCo environments that come with Gymnasium: Reacher, Pusher, HalfCheetah, Ant and the others."""

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import needs
from ssl_robot.envs.mujoco import MujocoWorld
from ssl_robot.envs.world import Expert, Sight

# Their environments have Gymnasium's renderer too, and worlds of their own.
_OTHERS = ("gymnasium_robotics", "metaworld", "ogbench")
# Angles and velocities of the joints, as a robot's encoders tell them; not where targets and objects are.
_JOINTS = {"ReacherEnv": (0, 1, 2, 3, 6, 7), "PusherEnv": tuple(range(14))}
_UPPER, _LOWER = 0.1, 0.11  # lengths of Reacher's arm, metres


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

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """The joints of Reacher's and Pusher's arms; of the others, which see no more than themselves, nothing."""
        joints = _JOINTS.get(type(self.env.unwrapped).__name__)
        return {} if joints is None else {"state": joints}

    def expert(self) -> Expert:
        """A scripted policy from observation to action; there is one for Reacher.

        Raises:
            InputError: For the others.
        """
        return reach if type(self.env.unwrapped).__name__ == "ReacherEnv" else super().expert()


def reach(observation: Any) -> NDArray[np.floating]:
    """Torques that bring the fingertip of Reacher's arm to its target, within 2 mm after 50 steps.

    Of the two ways to hold the elbow it takes the nearer one, and turns the joints there like springs with dampers.

    Args:
        observation: Reacher's, of 10 numbers: two cosines, two sines, target, joint velocities, fingertip to target.
    """
    angles = np.arctan2(observation[2:4], observation[:2])
    x, y = observation[4:6]
    bend = math.acos(np.clip((x * x + y * y - _UPPER**2 - _LOWER**2) / (2 * _UPPER * _LOWER), -1, 1))
    ways = [_turns(x, y, elbow, angles) for elbow in (bend, -bend)]
    torques = 0.5 * min(ways, key=lambda turns: float(np.abs(turns).sum())) - 0.05 * observation[6:8]
    return np.asarray(np.clip(torques, -1, 1), np.float32)


def _turns(x: float, y: float, elbow: float, angles: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far the joints have to turn, radians; the elbow not through its stop."""
    shoulder = math.atan2(y, x) - math.atan2(_LOWER * math.sin(elbow), _UPPER + _LOWER * math.cos(elbow))
    return np.array([math.remainder(shoulder - angles[0], 2 * math.pi), elbow - angles[1]])
