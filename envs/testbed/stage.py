"""The table in MuJoCo: lays out a state, moves the gripper, and knows where the camera is. Draws nothing."""

import contextlib
import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import backend
from ssl_robot.envs.testbed.scene import AZURE, CLUTTER, ORANGE, Place, State, level
from ssl_robot.envs.testbed.surroundings import Surroundings
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration

PERIOD = 0.05  # seconds of a step
_STEPS = 10
# How fast the place that the gripper is held at moves, a step: metres in x, y and z, radians.
_SPEED = np.array([0.035, 0.035, 0.01, 0.15])
# Share of the way to the camera by which plates lie over the tray, so that none hides in another.
_CLUTTER, _BLOCK, _PUCK = 0.002, 0.004, 0.006
_PARKED = -0.5
_PARTS = {"block": ("block_bar", "block_stem"), "puck": ("puck_square", "puck_diamond")}


class Stage:
    """A model of the table and what is on it now.

    Args:
        scale: Length of the block, as a share of the usual one.

    Raises:
        InputError: If MuJoCo is not installed or cannot be imported.

    Attributes:
        model: MuJoCo's model.
        data: MuJoCo's data.
    """

    def __init__(self, scale: float = 1.0) -> None:
        mujoco = _mujoco()
        self.model: Any = mujoco.MjModel.from_xml_path(str(Path(__file__).with_name("tabletop.xml")))
        self.data: Any = mujoco.MjData(self.model)
        for name in _PARTS["block"]:
            geom = self.model.geom(name)
            geom.pos[:] *= scale
            geom.size[:2] *= scale
        self._advance = mujoco.mj_step
        self._settle = mujoco.mj_forward
        self._reset = mujoco.mj_resetData
        self._state: State | None = None

    @property
    def state(self) -> State:
        """What is on the table now."""
        assert self._state is not None
        x, y, z, yaw = self.data.qpos.tolist()
        return replace(self._state, gripper=Place(x, y, yaw), reach=z)

    def arrange(self, state: State, around: Surroundings) -> None:
        """Lay out a state; the gripper is at rest."""
        self._reset(self.model, self.data)
        self._dress(state, around)
        self._put(state)
        place = state.gripper
        self.data.qpos[:] = self.data.ctrl[:] = (place.x, place.y, state.reach, place.yaw)
        self._settle(self.model, self.data)

    def step(self, wanted: NDArray[np.float64], moves: bool) -> None:
        """One step of the gripper towards a place, and of the puck.

        Args:
            wanted: x, y, z and yaw; not a number where the gripper keeps still. It turns the short way round.
            moves: Whether the puck goes on around the middle.
        """
        held = self.data.ctrl
        way = np.nan_to_num(wanted - held)
        way[3] = math.remainder(way[3], 2 * math.pi)
        held += np.clip(way, -_SPEED, _SPEED)
        if moves:
            assert self._state is not None
            self._put(self._state.later())
        self._advance(self.model, self.data, _STEPS)
        self._settle(self.model, self.data)  # else bodies lie where they were before the last of these

    @property
    def lens(self) -> tuple[float, NDArray[np.float64]]:
        """Of the camera: half its width at a distance of 1, and ``T_world_camera``, (4, 4)."""
        axes = self.data.cam_xmat[0].reshape(3, 3)
        T = np.eye(4)
        T[:3] = np.stack([axes[:, 0], -axes[:, 1], -axes[:, 2], self.data.cam_xpos[0]], axis=1)
        return math.tan(math.radians(float(self.model.cam_fovy[0])) / 2), T

    def calibration(self, size: int) -> Calibration:
        """Lens and place of the camera, for square frames of this size."""
        half, T = self.lens
        f = size / (2 * half)
        return Calibration(np.array([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]]), T)

    def _put(self, state: State) -> None:
        """Block and puck at their places."""
        self._state = state
        for body, place, share in (("block", state.block, _BLOCK), ("puck", state.puck, _PUCK)):
            number = self.model.body(body).mocapid[0]
            self.data.mocap_pos[number] = (place.x, place.y, level(state.height, share))
            self.data.mocap_quat[number] = _upright(place.yaw)

    def _dress(self, state: State, around: Surroundings) -> None:
        """Colours, sizes and what means nothing."""
        colours = (ORANGE, AZURE) if state.colour > 0 else (AZURE, ORANGE)
        for colour, body in zip(colours, ("block", "puck"), strict=True):
            for name in _PARTS[body]:
                self.model.geom(name).rgba[:3] = np.array(colour) / 255
        for name in _PARTS["puck"]:
            self.model.geom(name).size[:2] = state.size
        for i in range(CLUTTER):
            place = state.clutter[i] if i < len(state.clutter) else None
            self._lay(f"clutter{i}", place, level(state.height, _CLUTTER))
        around.dress(self.model)

    def _lay(self, name: str, place: Place | None, height: float) -> None:
        geom = self.model.geom(name)
        geom.pos[:] = (0, 0, _PARKED) if place is None else (place.x, place.y, height)
        geom.quat[:] = _upright(0.0 if place is None else place.yaw)


def _upright(yaw: float) -> tuple[float, float, float, float]:
    """The quaternion (w x y z) of a turn about the vertical."""
    return math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)


def _mujoco() -> Any:
    """MuJoCo, which needs no OpenGL as long as nothing is drawn."""
    if importlib.util.find_spec("mujoco") is None:
        raise InputError("The package mujoco is not installed: pip install 'ssl-robot[mujoco]'.")
    with contextlib.suppress(InputError):
        backend()  # MuJoCo settles on an OpenGL when it is imported: others in this process may want to draw
    try:
        import mujoco
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        line = str(error).strip().partition("\n")[0]
        raise InputError(f"MuJoCo cannot be imported ({line}): unset MUJOCO_GL.") from None
    return mujoco
