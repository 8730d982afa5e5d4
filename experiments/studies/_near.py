"""Reacher seen from above and nearer, so that its arm fills the frame: registered when this file is imported."""

import gymnasium as gym

_ABOVE = {"distance": 0.65, "elevation": -90.0, "azimuth": 90.0, "lookat": [0.0, 0.0, 0.0]}

gym.register(
    "NearReacher-v0",
    "gymnasium.envs.mujoco.reacher_v5:ReacherEnv",
    max_episode_steps=50,
    kwargs={"default_camera_config": _ABOVE},
)
