"""The rules of MuJoCo, in one place: which OpenGL draws, when a context is current, what a camera's numbers mean.

MuJoCo draws wrong or black frames without a word when a foreign OpenGL context is current, or when a dead renderer's
textures are deleted while a living one's context is. So every canvas here has a thread of its own, where no context
but its own is ever current.
"""

import gc
import importlib
import importlib.util
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.world import Sight, World, name_of, observed, values_of, width_of
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration, Label, Row, Schema

_REMEDY = "apt-get install libegl1 libgl1 libgl1-mesa-dri, or apt-get install libosmesa6"
_GEOMS = 10_000  # as many as MuJoCo's own renderer has room for
_PROBE = "from mujoco.{0} import GLContext; context = GLContext(8, 8); context.make_current(); context.free()"


def needs(package: str, extra: str) -> None:
    """Check that a simulator is installed and that MuJoCo can draw; call it before anything imports ``mujoco``.

    Args:
        package: The module that must be there.
        extra: The extra of ours that brings it.

    Raises:
        InputError: If it is missing, or nothing here can draw.
    """
    for name in dict.fromkeys((package, "mujoco")):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"The package {name} is not installed: pip install 'ssl-robot[{extra}]'.")
    backend()
    try:
        importlib.import_module("mujoco")
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise InputError(_cannot_draw(error)) from None


def backend() -> str:
    """The OpenGL that MuJoCo draws with: the user's choice, or else the first of EGL and OSMesa that works.

    It is written to ``MUJOCO_GL``, for MuJoCo reads that when it is imported, and child processes inherit it.

    Raises:
        InputError: If none works; the message says what to install.
    """
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen or not sys.platform.startswith("linux"):
        return chosen
    for name in ("egl", "osmesa"):
        if _works(name):
            os.environ["MUJOCO_GL"] = name
            return name
    raise InputError(f"MuJoCo finds no OpenGL to draw with, neither EGL nor OSMesa: {_REMEDY}.")


def _works(name: str) -> bool:
    """Tried in another process: a broken driver may end the one that asks."""
    surroundings = {**os.environ, "MUJOCO_GL": name}
    command = [sys.executable, "-c", _PROBE.format(name)]
    try:
        return subprocess.run(command, env=surroundings, capture_output=True, timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _cannot_draw(error: BaseException) -> str:
    chosen = os.environ.get("MUJOCO_GL", "")
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"MuJoCo cannot draw with MUJOCO_GL='{chosen}' ({line}): unset it, and if that does not help {_REMEDY}."


def _context(model: Any, size: int, fast: bool) -> tuple[Any, Any]:
    """An OpenGL context and MuJoCo's own inside it; the model is left as it was."""
    import mujoco

    name = os.environ.get("MUJOCO_GL", "").strip().lower()
    module = importlib.import_module(f"mujoco.{name}" if name in ("egl", "osmesa") else "mujoco.gl_context")
    gl = module.GLContext(size, size)
    gl.make_current()
    wanted: dict[str, Any] = {"offwidth": size, "offheight": size}
    quality: dict[str, Any] = {"shadowsize": 0, "offsamples": 0, "numslices": 10, "numstacks": 10} if fast else {}
    with _lent(model.vis.global_, wanted), _lent(model.vis.quality, quality):
        con = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, con)
    con.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
    return gl, con


@contextmanager
def _lent(record: Any, values: dict[str, Any]) -> Iterator[None]:
    """A record with other values for a while."""
    before = {name: getattr(record, name) for name in values}
    for name, value in values.items():
        setattr(record, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(record, name, value)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection, which may free another renderer while this thread's context is current."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class _Job:
    """A scene to draw, where to, and how to tell that it is done."""

    scene: Any
    frame: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    done: "Future[None]"


def _draw(job: _Job, gl: Any, con: Any) -> None:
    import mujoco

    height, width = job.frame.shape[:2]
    rectangle = mujoco.MjrRect(0, 0, width, height)
    gl.make_current()
    mujoco.mjr_render(rectangle, job.scene, con)
    mujoco.mjr_readPixels(job.frame, job.depth, rectangle, con)


def _serve(model: Any, size: int, fast: bool, jobs: "queue.SimpleQueue[_Job | None]", ready: "Future[None]") -> None:
    """The life of a canvas's thread: make the context, draw what comes, free the context."""
    try:
        gl, con = _context(model, size, fast)
    except BaseException as error:
        ready.set_exception(error)
        return
    del model
    ready.set_result(None)
    while (job := jobs.get()) is not None:
        with _no_collection():
            try:
                _draw(job, gl, con)
            except BaseException as error:
                job.done.set_exception(error)
            else:
                job.done.set_result(None)
        del job
    with _no_collection():
        gl.make_current()
        con.free()  # first: it deletes its textures from the context that is current
        gl.free()


class Canvas:
    """Draws a model off screen into square frames.

    Args:
        model: What is drawn; it is read now, and left as it is.
        size: Height and width of the frames, pixels; may exceed what the model declares.
        fast: Leave out shadows, reflections and smoothing.

    Raises:
        InputError: If OpenGL gives no context.
    """

    def __init__(self, model: Any, size: int, fast: bool) -> None:
        import mujoco

        self._size = size
        self._process = os.getpid()
        self.scene = mujoco.MjvScene(model, _GEOMS)
        if fast:
            self.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        ready: Future[None] = Future()
        arguments = (model, size, fast, self._jobs, ready)
        # A daemon: at exit its context must not outlive the driver, nor be freed by another thread.
        self._thread = threading.Thread(target=_serve, args=arguments, name="canvas", daemon=True)
        self._thread.start()
        try:
            ready.result()
        except Exception as error:
            raise InputError(_cannot_draw(error)) from error
        self._end = weakref.finalize(self, self._jobs.put, None)

    def draw(self, depth: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """The scene as it is now.

        Args:
            depth: Whether to measure distances too.

        Returns:
            A frame, (size, size, 3), and metres along the line of sight, (size, size), or nothing. Where nothing
            stands the distance is that of the far plane.

        Raises:
            InputError: If the canvas is closed, or belongs to the process that this one was forked from.
        """
        if self._process != os.getpid() or not self._end.alive:
            raise InputError("This world is closed, or was made before a fork: make one here, or spawn processes.")
        frame = np.empty((self._size, self._size, 3), np.uint8)
        buffer = np.empty((self._size, self._size), np.float32) if depth else None
        job = _Job(self.scene, frame, buffer, Future())
        self._jobs.put(job)
        job.done.result()
        # OpenGL counts rows from below.
        upright = np.ascontiguousarray(frame[::-1])
        return upright, None if buffer is None else _metres(buffer[::-1], self.scene.camera[0])

    def close(self) -> None:
        """Free the context; it is gone when this returns."""
        self._end()
        if self._process == os.getpid():
            self._thread.join()


def _metres(buffer: NDArray[np.float32], camera: Any) -> NDArray[np.float32]:
    """Distances from a depth buffer that is 1 at the near plane and 0 at the far one."""
    near, far = float(camera.frustum_near), float(camera.frustum_far)
    return (near * far / (near + buffer.astype(np.float64) * (far - near))).astype(np.float32)


def calibration(scene: Any, size: int, turned: bool = False) -> Calibration:
    """The lens and the place of the camera that a scene was last updated with.

    Args:
        scene: MuJoCo's scene; its two eyes are averaged, as MuJoCo does for a single picture.
        size: Height and width of the frames, pixels.
        turned: Whether frames are turned by half a turn after drawing.
    """
    ahead, up = _unit(_mean(scene, "forward")), _unit(_mean(scene, "up"))
    centre, top, bottom, near = (
        float(_mean(scene, f"frustum_{name}")) for name in ("center", "top", "bottom", "near")
    )
    # Half the width at the near plane; without one of its own it follows the picture's shape, which is square.
    half = float(_mean(scene, "frustum_width")) or (top - bottom) / 2
    fx, fy = near * size / (2 * half), near * size / (top - bottom)
    cx, cy = (half - centre) * size / (2 * half), top * size / (top - bottom)
    x, y = np.cross(-up, ahead), -up
    if turned:
        x, y, cx, cy = -x, -y, size - cx, size - cy
    T = np.eye(4)
    T[:3] = np.stack([x, y, ahead, _mean(scene, "pos")], axis=1)
    return Calibration(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), T)


def _mean(scene: Any, name: str) -> NDArray[np.float64]:
    return np.mean([np.asarray(getattr(eye, name), np.float64) for eye in scene.camera], axis=0)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


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
    return str(getattr(model, kind)(index).name).replace("/", "_")


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
        InputError: If MuJoCo cannot draw here, a camera does not exist, or depth is asked of a parallel projection.
    """

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        super().__init__(env, sight)
        needs("mujoco", "mujoco")
        self._canvas: Canvas | None = None
        self._attach(self.simulation[0])
        self._labels = (*observed(env.observation_space), *(pose(name) for name in self._bodies))
        flat = [view.name for view in self._views if not view.perspective]
        if flat and sight.depth:
            raise InputError(f"Camera {flat[0]} is a parallel projection, which measures no depth: ask for another.")

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
        """Square cameras with their calibration, the observation's numbers, the poses of the bodies, the action."""
        size, names = self.sight.size, tuple(view.name for view in self._views)
        calibrated = tuple(view.name for view in self._views if view.perspective)
        labels = (*self._labels, Label.plain("actions", width_of(self.env.action_space)))
        return Schema(dict.fromkeys(names, (size, size, 3)), labels, names if self.sight.depth else (), calibrated)

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

    def look(self, observation: Any, info: dict[str, Any]) -> Row:
        """The frames, what they show, and where the cameras stand.

        Raises:
            InputError: If the simulator has changed its bodies since the world was made.
        """
        model, data = self.simulation
        if model is not self._model:
            self._attach(model)
        self.settle()
        shots = {view.name: self._shot(view, data) for view in self._views}
        poses = {f"poses/{name}": _place(data, index) for name, index in self._bodies.items()}
        return Row(
            {name: frame for name, (frame, _, _) in shots.items()},
            {**values_of(observation, self._labels), **poses},
            depths={name: depth for name, (_, depth, _) in shots.items() if depth is not None},
            cameras={view.name: shots[view.name][2] for view in self._views if view.perspective},
        )

    def close(self) -> None:
        """Free the canvas."""
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None

    def _shot(self, view: View, data: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, Calibration]:
        canvas = self._aimed(view.camera, data)
        frame, depth = canvas.draw(self.sight.depth)
        if view.turned:
            frame = np.ascontiguousarray(frame[::-1, ::-1])
            depth = None if depth is None else np.ascontiguousarray(depth[::-1, ::-1])
        return frame, depth, calibration(canvas.scene, self.sight.size, view.turned)

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
        if list(found) != list(getattr(self, "_bodies", found)):
            raise InputError(f"{name_of(self.env)} has other bodies in every episode: it cannot be recorded.")
        self._model, self._bodies, self._option = model, found, self._options()
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
