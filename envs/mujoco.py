"""What all simulators built on MuJoCo share: cameras, poses and calibration, from a model and its data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.canvas import Canvas, Drawing, calibration, needs
from ssl_robot.envs.world import Sight, World, name_of, observed, values_of, width_of
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration, Label, Row, Schema
from ssl_robot.segments import MOST


@dataclass(frozen=True)
class View:
    """One camera of a world.

    Attributes:
        name: What its frames are called in a recording; ``/`` is written ``_``.
        camera: MuJoCo's ``MjvCamera``.
        turned: Whether the camera hangs upside down, so that its frames are turned back.
        perspective: Whether it has a lens, which parallel projections do not.
    """

    name: str
    camera: Any
    turned: bool = False
    perspective: bool = True


def fixed(model: Any, camera: int) -> Any:
    """MuJoCo's camera for one of the model's own, by its number."""
    import mujoco

    view = mujoco.MjvCamera()
    view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera
    return view


def free(model: Any) -> Any:
    """The free camera that a model starts with."""
    import mujoco

    view = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, view)
    return view


def named(model: Any, kind: str, index: int) -> str:
    """Name of a body or camera of a model, without ``/``, which divides the names of a recording."""
    return str(getattr(model, kind)(index).name).strip("/").replace("/", "_")


def rendered(renderer: Any, model: Any, data: Any) -> tuple[int, Any]:
    """The camera that Gymnasium's renderer draws with.

    Where it looks at the middle of everything, that is the middle in the model's initial pose, not in the first pose
    that happens to be drawn: so two processes have the same camera.

    Args:
        renderer: Gymnasium's ``MujocoRenderer``.
        model: The model.
        data: The model in its initial pose.

    Returns:
        Number of the model's camera, -1 for a free one, and MuJoCo's camera.
    """
    import mujoco

    # Up to Gymnasium 1.3 a camera of that name is its renderer's choice too; 1.4 lets the robot run out of the picture.
    track = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
    number = track if renderer.camera_id in (None, -1) else renderer.camera_id
    if number != -1:
        return number, fixed(model, number)
    view = mujoco.MjvCamera()
    view.lookat[:] = np.median(data.geom_xpos, axis=0)
    view.distance = model.stat.extent
    for name, value in (renderer.default_cam_config or {}).items():
        if isinstance(value, np.ndarray):
            getattr(view, name)[:] = value
        else:
            setattr(view, name, value)
    view.type = mujoco.mjtCamera.mjCAMERA_FREE
    return -1, view


def bodies(model: Any) -> dict[str, int]:
    """Bodies whose place is worth knowing: those that move by themselves, and those that stand in the world by name.

    Returns:
        Name to number; nameless ones are called ``body_3`` after their number.
    """
    kept: dict[str, int] = {}
    for index in range(1, model.nbody):
        name = named(model, "body", index)
        moves = model.body_weldid[index] == index and (model.body_jntnum[index] or model.body_mocapid[index] >= 0)
        if moves or (name and model.body_parentid[index] == 0):
            kept[name if name and name not in kept else f"body_{index}"] = index
    return kept


def shown_as(model: Any, things: Mapping[str, int]) -> dict[int, NDArray[np.uint8]]:
    """What each geom and each site of a model counts as in a map: the body it is fixed to.

    A body that is none of the things is part of the one that carries it; what the world itself carries is 0.

    Args:
        model: The model.
        things: Name to number of the bodies to tell apart.

    Returns:
        For MuJoCo's kinds ``mjOBJ_GEOM`` and ``mjOBJ_SITE``, the number in a map of each object of that kind.
    """
    import mujoco

    number = np.zeros(model.nbody, np.uint8)
    own = {body: place for place, body in enumerate(things.values(), 1)}
    for body in range(1, model.nbody):  # parents come before their children
        number[body] = own.get(body, number[model.body_parentid[body]])
    bodies_of = {mujoco.mjtObj.mjOBJ_GEOM: model.geom_bodyid, mujoco.mjtObj.mjOBJ_SITE: model.site_bodyid}
    return {int(kind): number[of] for kind, of in bodies_of.items()}


def pose(name: str) -> Label:
    """The label of a body's place and rotation in the world."""
    components = ("x", "y", "z", "qw", "qx", "qy", "qz")
    return Label(f"poses/{name}", components, ("m", "m", "m", "", "", "", ""), (False,) * 7)


class MujocoWorld(World):
    """Any simulator that has a MuJoCo model and its data.

    Frames are drawn by a canvas of our own, of any size and from any of the model's cameras, and show the state that
    the simulator left: exactly what the poses beside them say.

    Args:
        env: The environment; its ``unwrapped`` has ``model`` and ``data`` unless a subclass says otherwise.
        sight: How to look. Without cameras: the view of the environment's own ``render()``; a model's camera called
            ``track`` is preferred to a free one.

    Raises:
        InputError: If MuJoCo cannot draw here, a camera does not exist, depth is asked of a parallel projection, or a
            map cannot number all bodies.
    """

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        super().__init__(env, sight)
        needs("mujoco", "mujoco")
        model, _ = self.simulation
        self._canvas: Canvas | None = None
        self._bodies = bodies(model)
        self._attach(model)
        self._labels = (*observed(env.observation_space), *(pose(name) for name in self._bodies))
        flat = [view.name for view in self._views if not view.perspective]
        if flat and sight.depth:
            raise InputError(f"Camera {flat[0]} is a parallel projection, which measures no depth: ask for another.")
        if sight.segmentation and len(self._bodies) > MOST:
            raise InputError(
                f"{name_of(env)} has {len(self._bodies)} bodies, and a map tells {MOST} apart: leave out segmentation."
            )

    @property
    def simulator(self) -> Any:
        """What holds the model, its data, the time step and perhaps Gymnasium's renderer."""
        return self.env.unwrapped

    @property
    def simulation(self) -> tuple[Any, Any]:
        """MuJoCo's model and data as they are now; an episode may bring new ones."""
        return self.simulator.model, self.simulator.data

    @property
    def schema(self) -> Schema:
        """Square cameras with all they say, the observation's numbers, the poses of the bodies, the action."""
        size, names = self.sight.size, tuple(view.name for view in self._views)
        calibrated = tuple(view.name for view in self._views if view.perspective)
        labels = (*self._labels, Label.plain("actions", width_of(self.env.action_space)))
        return Schema(
            dict.fromkeys(names, (size, size, 3)),
            labels,
            names if self.sight.depth else (),
            calibrated,
            dict.fromkeys(names, 1) if self.sight.segmentation else {},
            tuple(self._bodies) if self.sight.segmentation else (),
        )

    def labels(self) -> tuple[Label, ...]:
        """The observation's numbers, and place and rotation of each body."""
        return self._labels

    @property
    def period(self) -> float:
        """Seconds from one step to the next."""
        step = getattr(self.simulator, "dt", None)
        return super().period if step is None else float(step)

    def settle(self) -> None:
        """Bring up to date what the simulator moves only to be drawn, as a goal's mark."""
        callback = getattr(self.simulator, "_render_callback", None)
        if callback is not None:
            callback()

    def own_view(self, model: Any, data: Any) -> tuple[str, Any]:
        """Name and camera of the view that the environment's own ``render()`` gives.

        Args:
            model: The model.
            data: The model in its initial pose.
        """
        renderer = getattr(self.simulator, "mujoco_renderer", None)
        if renderer is None:
            return "default", free(model)
        number, camera = rendered(renderer, model, data)
        return (named(model, "cam", number) or f"camera_{number}") if number >= 0 else "default", camera

    def hangs(self, camera: Calibration) -> bool:
        """Whether a camera hangs upside down by the simulator's mistake, so that its frames are to be turned."""
        return False

    def numbers(self, observation: Any, info: dict[str, Any]) -> Mapping[str, NDArray[np.floating]]:
        """The observation's numbers and the poses of the bodies as they are now.

        Raises:
            InputError: If the simulator has changed its bodies since the world was made.
        """
        model, data = self.simulation
        if model is not self._model:
            self._attach(model)
        self.settle()
        poses = {f"poses/{name}": _place(data, index) for name, index in self._bodies.items()}
        return {**values_of(observation, self._labels), **poses}

    def look(self, observation: Any, info: dict[str, Any]) -> Row:
        """The frames, what they show, and where the cameras stand.

        Raises:
            InputError: If the simulator has changed its bodies since the world was made.
        """
        numbers = self.numbers(observation, info)
        shots = {view.name: self._shot(view, self.simulation[1]) for view in self._views}
        return Row(
            {name: shot.frame for name, (shot, _) in shots.items()},
            numbers,
            depths={name: shot.depth for name, (shot, _) in shots.items() if shot.depth is not None},
            cameras={view.name: shots[view.name][1] for view in self._views if view.perspective},
            maps={name: self._map(shot.shown) for name, (shot, _) in shots.items() if shot.shown is not None},
        )

    def close(self) -> None:
        """Free the canvas."""
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None

    def _shot(self, view: View, data: Any) -> tuple[Drawing, Calibration]:
        canvas = self._aimed(view.camera, data)
        drawing = canvas.draw(self.sight.depth, self.sight.segmentation)
        shot = drawing.turned() if view.turned else drawing
        return shot, calibration(canvas.scene, self.sight.size, view.turned)

    def _map(self, shown: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The number of the thing that each pixel shows, (h, w)."""
        kinds, numbers = shown[..., 0], shown[..., 1]
        found = np.zeros(kinds.shape, np.uint8)
        for kind, counts_as in self._counts_as.items():
            there = kinds == kind
            found[there] = counts_as[numbers[there]]
        return found

    def _aimed(self, camera: Any, data: Any) -> Canvas:
        import mujoco

        if self._canvas is None:
            raise InputError(f"The world of {name_of(self.env)} is closed: make it again.")
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._option, None, camera, everything, self._canvas.scene)
        return self._canvas

    def _attach(self, model: Any) -> None:
        """Get ready to draw a model."""
        import mujoco

        self.close()
        found = bodies(model)
        if list(found) != list(self._bodies):
            raise InputError(f"{name_of(self.env)} has other bodies in every episode: it cannot be recorded.")
        self._model, self._bodies, self._option = model, found, self._options()
        self._counts_as = shown_as(model, found) if self.sight.segmentation else {}
        self._canvas = Canvas(model, self.sight.size, self.sight.render == "fast")
        initial = mujoco.MjData(model)
        mujoco.mj_forward(model, initial)
        self._views = [self._view(name, camera, initial) for name, camera in self._cameras(model, initial)]

    def _options(self) -> Any:
        import mujoco

        option = mujoco.MjvOption()
        for flag, value in getattr(getattr(self.simulator, "mujoco_renderer", None), "_vopt", {}).items():
            option.flags[flag] = value
        return option

    def _cameras(self, model: Any, data: Any) -> list[tuple[str, Any]]:
        if not self.sight.cameras:
            return [self.own_view(model, data)]
        known = {model.cam(index).name: index for index in range(model.ncam) if model.cam(index).name}
        unknown = sorted(set(self.sight.cameras) - set(known))
        if unknown:
            choice = f"choose from {', '.join(known)}" if known else "it has none by name, so ask for none"
            raise InputError(f"{name_of(self.env)} has no camera '{unknown[0]}': {choice}.")
        return [(named(model, "cam", known[name]), fixed(model, known[name])) for name in self.sight.cameras]

    def _view(self, name: str, camera: Any, data: Any) -> View:
        scene = self._aimed(camera, data).scene
        perspective = not getattr(scene.camera[0], "orthographic", 0)
        turned = perspective and self.hangs(calibration(scene, self.sight.size))
        return View(name, camera, turned, perspective)


def _place(data: Any, body: int) -> NDArray[np.float64]:
    return np.concatenate([data.xpos[body], data.xquat[body]]).astype(np.float64)
