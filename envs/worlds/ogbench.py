"""OGBench: a UR5e arm with cubes, drawers, windows and buttons, and mazes to find a way through."""

import importlib
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import needs
from ssl_robot.envs.mujoco import MujocoWorld, fixed, named
from ssl_robot.envs.world import Expert, Sight

_PREFIX = "ogbench/"
_ARM = re.compile(r"(visual-)?(cube|scene|puzzle)-")
_OWN = tuple(range(19))  # angles and velocities of 6 joints, hand (3), its turn (2), gripper (2)
_MAZE = re.compile(r"(visual-)?(pointmaze|antmaze|humanoidmaze|antsoccer)-")


class Ogbench(MujocoWorld):
    """The world behind ``cube-single-v0`` and the like, with ``ogbench/`` before the name or without.

    Scenes of the arm are those of OGBench's own data collection: arm, objects and goal are drawn anew at every reset,
    from its seed, and a scripted policy knows the way.

    Args:
        env: An environment of OGBench; it is reset if it never was, because it has no model before that.
        sight: How to look.
    """

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        if getattr(env.unwrapped, "_model", env) is None:
            env.reset()
        super().__init__(env, sight)

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether the name is one of OGBench's that MuJoCo simulates."""
        name = env_id.removeprefix(_PREFIX)
        return bool(_ARM.match(name) or _MAZE.match(name))

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The environment; an arm's own tasks, with ``singletask`` in their names, are left as they are."""
        needs("ogbench", "ogbench")
        import ogbench

        gym.register_envs(ogbench)
        name = env_id.removeprefix(_PREFIX)
        if _ARM.match(name) and "singletask" not in name:
            return gym.make(name, mode="data_collection", disable_env_checker=True)
        return gym.make(name, disable_env_checker=True)

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether the environment is one of OGBench that MuJoCo simulates."""
        return type(env.unwrapped).__module__.startswith(("ogbench.manipspace.", "ogbench.locomaze."))

    @property
    def period(self) -> float:
        """Seconds from one step to the next."""
        control = getattr(self.simulator, "control_timestep", None)
        return super().period if control is None else float(control())

    def own_view(self, model: Any, data: Any) -> tuple[str, Any]:
        """The arm from the front, or a maze from above."""
        default = "front_pixels" if getattr(self.simulator, "_ob_type", "") == "pixels" else "front"
        chosen = getattr(self.simulator, "custom_camera", default)
        if not isinstance(chosen, (str, int)):
            return "default", chosen
        camera = model.cam(chosen)
        return named(model, "cam", camera.id) or f"camera_{camera.id}", fixed(model, camera.id)

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """The arm's joints, hand and gripper, which an arm's observation begins with; in mazes nothing."""
        arm = type(self.simulator).__module__.startswith("ogbench.manipspace.")
        return {"state": _OWN} if arm and self.labels()[0].name == "state" else {}

    def expert(self) -> Expert:
        """OGBench's scripted policy for what the episode's goal asks of the arm.

        Raises:
            InputError: If there is none: for mazes, and for an arm's own tasks.
        """
        if getattr(self.simulator, "_mode", "") != "data_collection":
            return super().expert()
        return _Oracle(self.simulator)


class _Oracle:
    """A scripted policy, chosen at the first step of an episode, when its goal is known."""

    def __init__(self, env: Any) -> None:
        self._env = env
        self._policy: Any = None

    def __call__(self, observation: Any) -> NDArray[np.floating]:
        info = self._env.compute_ob_info()
        if self._policy is None:
            kind = info["privileged/target_task"]
            module = importlib.import_module(f"ogbench.manipspace.oracles.markov.{kind}_markov")
            self._policy = getattr(module, f"{kind.title()}MarkovOracle")(env=self._env)
            with _numpy_seeded(zlib.crc32(self._env.data.qpos.tobytes())):
                self._policy.reset(observation, info)
        return np.asarray(self._policy.select_action(observation, info), np.float32)


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """NumPy's own generator, which OGBench draws from, seeded for a while."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
