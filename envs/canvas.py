"""Drawing MuJoCo's scenes off screen: which OpenGL, when its context is current, what a camera's numbers mean.

MuJoCo draws wrong or black frames without a word when a foreign OpenGL context is current, or when a dead renderer's
textures are deleted while a living one's context is. So every canvas here has a thread of its own, where no context
but its own is ever current.
"""

import contextlib
import functools
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

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration

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
    _before_mesa()
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


def _before_mesa() -> None:
    """Load the LLVM of torch's compiler before Mesa loads its own.

    The other way round the process crashes as soon as torch loads it, which happens with the first optimizer: in any
    program that trains a policy and draws.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton._C.libtriton")


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
    codes: NDArray[np.uint8] | None
    done: "Future[None]"


@dataclass(frozen=True)
class Drawing:
    """What a canvas shows.

    Attributes:
        frame: (size, size, 3) uint8.
        depth: Metres along the line of sight, (size, size), where asked for. Where nothing stands it is the distance
            of the far plane.
        shown: Kind (MuJoCo's ``mjtObj``) and number of what each pixel shows, (size, size, 2), where asked for; -1 for
            nothing, and for what MuJoCo adds to a scene.
    """

    frame: NDArray[np.uint8]
    depth: NDArray[np.float32] | None = None
    shown: NDArray[np.int32] | None = None

    def turned(self) -> "Drawing":
        """The same by half a turn, for a camera that hangs upside down."""
        return Drawing(
            np.ascontiguousarray(self.frame[::-1, ::-1]),
            None if self.depth is None else np.ascontiguousarray(self.depth[::-1, ::-1]),
            None if self.shown is None else np.ascontiguousarray(self.shown[::-1, ::-1]),
        )


def _draw(job: _Job, gl: Any, con: Any) -> None:
    import mujoco

    height, width = job.frame.shape[:2]
    rectangle = mujoco.MjrRect(0, 0, width, height)
    gl.make_current()
    mujoco.mjr_render(rectangle, job.scene, con)
    mujoco.mjr_readPixels(job.frame, job.depth, rectangle, con)
    if job.codes is not None:
        with _coded(job.scene):
            mujoco.mjr_render(rectangle, job.scene, con)
        mujoco.mjr_readPixels(job.codes, None, rectangle, con)


@contextmanager
def _coded(scene: Any) -> Iterator[None]:
    """A scene whose parts are drawn in flat colours that number them."""
    import mujoco

    flags = [int(flag) for flag in (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)]
    before = scene.flags[flags].copy()
    scene.flags[flags] = 1
    try:
        yield
    finally:
        scene.flags[flags] = before


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

    Attributes:
        size: As given.
        scene: MuJoCo's scene, which the next frame shows.
    """

    def __init__(self, model: Any, size: int, fast: bool) -> None:
        import mujoco

        self.size = size
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

    def draw(self, depth: bool = False, segmentation: bool = False) -> Drawing:
        """The scene as it is now.

        Args:
            depth: Whether to measure distances too.
            segmentation: Whether to say what each pixel shows too.

        Raises:
            InputError: If the canvas is closed, or belongs to the process that this one was forked from.
        """
        if self._process != os.getpid() or not self._end.alive:
            raise InputError("This world is closed, or was made before a fork: make one here, or spawn processes.")
        frame = np.empty((self.size, self.size, 3), np.uint8)
        buffer = np.empty((self.size, self.size), np.float32) if depth else None
        codes = np.empty((self.size, self.size, 3), np.uint8) if segmentation else None
        job = _Job(self.scene, frame, buffer, codes, Future())
        self._jobs.put(job)
        job.done.result()
        # OpenGL counts rows from below.
        return Drawing(
            np.ascontiguousarray(frame[::-1]),
            None if buffer is None else _metres(buffer[::-1], self.scene.camera[0]),
            None if codes is None else _shown(codes[::-1], self.scene),
        )

    def close(self) -> None:
        """Free the context; it is gone when this returns."""
        self._end()
        if self._process == os.getpid():
            self._thread.join()


def _metres(buffer: NDArray[np.float32], camera: Any) -> NDArray[np.float32]:
    """Distances from a depth buffer that is 1 at the near plane and 0 at the far one."""
    near, far = float(camera.frustum_near), float(camera.frustum_far)
    return (near * far / (near + buffer.astype(np.float64) * (far - near))).astype(np.float32)


def _shown(codes: NDArray[np.uint8], scene: Any) -> NDArray[np.int32]:
    """Kind and number of the object behind each colour, which is one more than the number of a part of the scene."""
    numbers = codes.astype(np.int64) @ np.array([1, 1 << 8, 1 << 16])
    parts = {geom.segid + 1: (geom.objtype, geom.objid) for geom in scene.geoms[: scene.ngeom] if geom.segid >= 0}
    table = np.full((max(parts, default=0) + 2, 2), -1, np.int32)
    for number, part in parts.items():
        table[number] = part
    return np.asarray(table[np.minimum(numbers, len(table) - 1)], np.int32)


def calibration(scene: Any, size: int, turned: bool = False) -> Calibration:
    """The lens and the place of the camera that a scene was last updated with.

    Args:
        scene: MuJoCo's scene; its two eyes are averaged, as MuJoCo does for a single picture.
        size: Height and width of the frames, pixels.
        turned: Whether frames are turned by half a turn after drawing.
    """
    eyes = [
        np.concatenate([np.asarray(getattr(eye, name), np.float64).reshape(-1) for name in _EYE])
        for eye in scene.camera
    ]
    return _calibration(((eyes[0] + eyes[1]) / 2).tobytes(), size, turned)


_EYE = ("forward", "up", "pos", "frustum_center", "frustum_top", "frustum_bottom", "frustum_near", "frustum_width")


@functools.lru_cache(maxsize=64)  # most cameras never move
def _calibration(eye: bytes, size: int, turned: bool) -> Calibration:
    numbers = np.frombuffer(eye)
    ahead, up, place = _unit(numbers[:3]), _unit(numbers[3:6]), numbers[6:9]
    centre, top, bottom, near, width = numbers[9:].tolist()
    # Half the width at the near plane; without one of its own it follows the picture's shape, which is square.
    half = width or (top - bottom) / 2
    fx, fy = near * size / (2 * half), near * size / (top - bottom)
    cx, cy = (half - centre) * size / (2 * half), top * size / (top - bottom)
    x, y = np.cross(-up, ahead), -up
    if turned:
        x, y, cx, cy = -x, -y, size - cx, size - cy
    T = np.eye(4)
    T[:3] = np.stack([x, y, ahead, place], axis=1)
    return Calibration(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), T)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))
