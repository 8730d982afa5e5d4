"""Reacher seen from nearer, so that its arm fills the frame: registered when this file is imported."""

import gymnasium as gym

NEAR = "ssl_robot.experiments.studies._near:NearReacher-v0"
_ABOVE = {"distance": 0.65, "elevation": -90.0, "azimuth": 90.0, "lookat": [0.0, 0.0, 0.0]}

gym.register(
    "NearReacher-v0",
    "gymnasium.envs.mujoco.reacher_v5:ReacherEnv",
    max_episode_steps=50,
    kwargs={
        "default_camera_config": {"distance": 0.65, "elevation": -90.0, "azimuth": 90.0, "lookat": [0.0, 0.0, 0.0]}
    },
)
