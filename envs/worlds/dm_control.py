"""DeepMind's control suite and the other environments of dm_control, through Shimmy."""

from typing import Any

import gymnasium as gym

from ssl_robot.envs.canvas import needs
from ssl_robot.envs.mujoco import MujocoWorld, fixed, free, named
from ssl_robot.envs.world import Sight


class DmControl(MujocoWorld):
    """The world behind ``dm_control/reacher-easy-v0`` and the like."""

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether the name is one of dm_control."""
        return env_id.startswith("dm_control/")

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The environment, seen from its first camera: that is the one that publications show."""
        needs("dm_control", "dm-control")
        needs("shimmy", "dm-control")
        import shimmy

        gym.register_envs(shimmy)
        return gym.make(env_id, render_kwargs={"camera_id": 0}, disable_env_checker=True)

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether Shimmy made the environment from one of dm_control."""
        return type(env.unwrapped).__module__ == "shimmy.dm_control_compatibility"

    @property
    def simulation(self) -> tuple[Any, Any]:
        """MuJoCo's model and data; composed environments have new ones in every episode."""
        physics = self.simulator._env.physics
        return physics.model.ptr, physics.data.ptr

    def own_view(self, model: Any, data: Any) -> tuple[str, Any]:
        """The camera that ``render()`` was told to use, or the free one."""
        chosen = self.simulator.render_kwargs.get("camera_id", -1)
        number = model.cam(chosen).id if isinstance(chosen, str) else int(chosen)
        if not 0 <= number < model.ncam:
            return "default", free(model)
        return named(model, "cam", number) or f"camera_{number}", fixed(model, number)
