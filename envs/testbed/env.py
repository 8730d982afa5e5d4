"""A table, a gripper and one of the testbed's tasks, as a Gymnasium environment."""

import math
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import Canvas, needs
from ssl_robot.envs.testbed import drawing, scene, surroundings
from ssl_robot.envs.testbed.scene import CLUTTER, LIFT, REACH, State
from ssl_robot.envs.testbed.stage import PERIOD, Stage
from ssl_robot.envs.testbed.tasks import TASKS, Task
from ssl_robot.errors import InputError

_HELD = 5  # steps in which the gripper has to be at its goal
_STILL = 0.1  # a command of a direction that is shorter than this says nothing


class TabletopEnv(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One task of the testbed.

    Commands say where the gripper shall be: x and y in [-1, 1] of 25 cm, or the height in [-1, 1] of 0 to 30 cm, or a
    direction as its cosine and sine. The observation is the cue alone, one of two (1, 0), (0, 1), or (0, 0) where a
    task has none: where the gripper is stands in the picture and nowhere else, for a gripper whose place is known
    beside a picture that shows it would say which way the picture is turned.

    The reward is minus the distance to the goal, as a share of the largest there is, and 1 more in the step in which
    the task is done: when the gripper was at its goal for five steps.

    Args:
        task: Name of the task.
        flat: Draw without OpenGL.
        nuisance: Light and table differ in every episode.
        difficulty: 0 to 1: shrinks the block and the tolerance to one half, and adds up to four gray plates.
        mount: 0 to 1: how far the camera may be from its place, at most 2 cm and 3.4 degrees; drawn in every episode.
        size: Height and width of pictures, pixels.
        render: ``full`` smooths edges where OpenGL draws, with samples that lie otherwise on the left than on the
            right: only without it a mirrored scene gives the mirrored picture.
        render_mode: ``rgb_array``, or none.

    Raises:
        InputError: If there is no such task, a number is out of its range, or MuJoCo is missing or cannot draw.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / PERIOD)}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(
        self,
        task: str,
        flat: bool = False,
        nuisance: bool = False,
        difficulty: float = 0.0,
        mount: float = 0.0,
        size: int = 84,
        render: Literal["fast", "full"] = "fast",
        render_mode: str | None = None,
    ) -> None:
        self.task = _task(task)
        for name, value in (("difficulty", difficulty), ("mount", mount)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value}, but must be from 0 to 1.")
        if not flat:
            needs("mujoco", "mujoco")
        self.flat, self.nuisance, self.difficulty, self.mount = flat, nuisance, difficulty, mount
        self.size, self.smooth, self.render_mode = size, render == "full", render_mode
        self.stage = Stage(1 - difficulty / 2)
        self.observation_space = gym.spaces.Box(0, 1, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1 if self.task.frees == "height" else 2,), np.float32)
        self.dt = PERIOD
        self._canvas: Canvas | None = None
        self._cue = self._held = 0

    @property
    def model(self) -> Any:
        """MuJoCo's model."""
        return self.stage.model

    @property
    def data(self) -> Any:
        """MuJoCo's data."""
        return self.stage.data

    @property
    def state(self) -> State:
        """What is on the table now."""
        return self.stage.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Lay out the table; the same seed lays out the same for every task and twin."""
        super().reset(seed=seed)
        state = scene.drawn(self.np_random, round(CLUTTER * self.difficulty))
        cue, other = self.np_random.integers(2**31, size=2).tolist()
        # from numbers of their own: a nuisance changes nothing but the picture
        around = surroundings.drawn(np.random.default_rng(other), self.nuisance, self.mount)
        self.stage.arrange(state, around)
        self._cue, self._held = cue % 2, 0
        return self._observed(), self._told(False)

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move the gripper for a twentieth of a second."""
        self.stage.step(self._wanted(np.clip(np.asarray(action, np.float64), -1, 1)), self.task.moves)
        distance = self._distance()
        tolerance = self.task.tolerance * (1 - self.difficulty / 2)
        self._held = self._held + 1 if distance <= tolerance else 0
        done = self._held >= _HELD
        reward = float(done) - distance / _FARTHEST[self.task.frees]
        return self._observed(), reward, done, False, self._told(done)

    def expert(self) -> NDArray[np.float32]:
        """What somebody does who sees everything."""
        ahead = self.state.later().later() if self.task.moves else self.state
        goal = np.array(self.task.goal(ahead, self._cue))
        if self.task.frees == "yaw":
            goal = np.array([math.cos(goal[0]), math.sin(goal[0])])
        elif self.task.frees == "height":
            goal = 2 * goal / LIFT - 1
        else:
            goal = goal / REACH
        return np.clip(goal, -1, 1).astype(np.float32)

    def render(self) -> NDArray[np.uint8] | None:
        """What the camera sees, (size, size, 3); nothing without a render mode."""
        return None if self.render_mode is None else self.picture(self.size)

    def picture(self, size: int) -> NDArray[np.uint8]:
        """What the camera sees, (size, size, 3)."""
        if self.flat:
            return drawing.picture(self.stage, size)
        import mujoco

        if self._canvas is None or self._canvas.size != size:
            self._clear()
            self._canvas = Canvas(self.model, size, not self.smooth)
        camera = mujoco.MjvCamera()
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, self.data, mujoco.MjvOption(), None, camera, everything, self._canvas.scene)
        return self._canvas.draw(False, False).frame

    def close(self) -> None:
        """Free what drawing took."""
        self._clear()

    def _clear(self) -> None:
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None

    def _observed(self) -> NDArray[np.float32]:
        cue = np.zeros(2, np.float32)
        if self.task.cued:
            cue[self._cue] = 1
        return cue

    def _told(self, done: bool) -> dict[str, Any]:
        return {"is_success": done, "success": done}

    def _wanted(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """Place, height and yaw that a command asks for; not a number where it asks for nothing."""
        wanted = np.full(4, np.nan)
        if self.task.frees == "place":
            wanted[:2] = command * REACH
        elif self.task.frees == "height":
            wanted[2] = (command[0] + 1) / 2 * LIFT
        elif np.hypot(*command) > _STILL:
            wanted[3] = math.atan2(command[1], command[0])
        return wanted

    def _distance(self) -> float:
        """From the gripper to its goal: metres, or radians."""
        state = self.state
        goal = self.task.goal(state, self._cue)
        if self.task.frees == "yaw":
            return abs(math.remainder(state.gripper.yaw - goal[0], 2 * math.pi))
        if self.task.frees == "height":
            return abs(state.reach - goal[0])
        return math.dist((state.gripper.x, state.gripper.y), goal)


_FARTHEST = {"place": 2 * math.sqrt(2) * REACH, "yaw": math.pi, "height": LIFT}


def _task(name: str) -> Task:
    for task in TASKS:
        if task.name == name:
            return task
    raise InputError(f"The testbed has no task '{name}': choose from {', '.join(task.name for task in TASKS)}.")
