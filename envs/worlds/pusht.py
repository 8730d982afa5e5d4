"""PushT: push a T-shaped block with a round finger, seen from above. Drawn without GL."""

import math
from typing import Any

import gym_pusht  # noqa: F401  (registers the environment)
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.frames import Label


class Pusht:
    """The world behind ``gym_pusht/PushT-v0``.

    Frames are the ones an agent observes: those of ``render()`` carry a red cross at the last action, which an
    encoder could read. Lengths are in the world's unit, of which 512 make the frame's width.

    Args:
        env_id: A PushT environment.
        size: Height and width of the frames.
    """

    LABELS = (
        Label("poses/block", ("x", "y", "angle"), ("px", "px", "rad"), (False, False, True)),
        Label("agent_pos", ("x", "y"), ("px", "px"), (False, False)),
    )

    def __init__(self, env_id: str, size: int) -> None:
        self.env: gym.Env[Any, Any] = gym.make(
            env_id, obs_type="pixels", observation_width=size, observation_height=size
        )
        self.camera = "top"

    @staticmethod
    def knows(env_id: str) -> bool:
        """Whether this file is the one for an environment."""
        return env_id.startswith("gym_pusht/")

    def frames(self, observation: Any) -> dict[str, NDArray[np.uint8]]:
        """What the camera sees, (h, w, 3) uint8."""
        return {self.camera: np.ascontiguousarray(observation, np.uint8)}

    def labels(self, observation: Any, info: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
        """Pose of the block, its angle wrapped to [-pi, pi), and place of the finger."""
        x, y, angle = info["block_pose"]
        wrapped = math.remainder(angle, 2 * math.pi)  # exact, in [-pi, pi]
        wrapped = -math.pi if wrapped >= math.pi else wrapped
        return {"poses/block": np.array([x, y, wrapped]), "agent_pos": np.asarray(info["pos_agent"], np.float64)}
