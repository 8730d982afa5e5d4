"""Drawing with MuJoCo: the right pixels, from the right place, whoever else draws in this process."""

import gc
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.envs import canvas
from ssl_robot.envs.mujoco import MujocoWorld
from ssl_robot.envs.world import Sight, adapted, make
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration, Row

mujoco_only = pytest.mark.mujoco

# A small red ball flies over a floor with a matt finish; lights are on the camera, so the ball is red all over.
BALL = """
<mujoco>
  <visual>
    <headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/>
    <global offwidth="64" offheight="64"/>
    <map znear=".01" zfar="20"/>
  </visual>
  <statistic center="0 0 0" extent="1"/>
  <worldbody>
    <light pos="0 0 5" castshadow="true"/>
    <geom type="plane" size="5 5 .1" rgba=".2 .2 .2 1"/>
    <camera name="above" pos="0 0 2"/>
    <camera name="aside" pos="1.5 -1 1.2" xyaxes="1 1.5 0 -.5 .35 1.2" fovy="40"/>
    <camera name="hanging" pos="0 -2 1" xyaxes="-1 0 0 0 -.45 -.9"/>
    <camera name="lens" pos="0 0 2" sensorsize=".01 .012" focal=".009 .011" principal=".0012 -.0008" resolution="9 9"/>
    <body name="{names[0]}" pos="0 0 0"><freejoint/><geom type="sphere" size=".04" rgba="1 0 0 1"/></body>
    <body name="{names[1]}" pos="0 0 -1" mocap="true"><geom type="sphere" size=".01"/></body>
    <body pos="0 0 -1"><joint type="slide"/><geom type="sphere" size=".01"/>
      <body name="welded"><geom type="sphere" size=".01"/></body>
    </body>
    <body name="table" pos="0 0 -2"><geom type="box" size=".1 .1 .1"/></body>
  </worldbody>
</mujoco>
"""
PLACES = [(0, 0, 0.2), (0.3, -0.2, 0.4), (-0.35, 0.25, 0.1)]


class Ball(gym.Env[Any, Any]):
    """A ball where it is put."""

    observation_space = gym.spaces.Box(-1, 1, (3,))
    action_space = gym.spaces.Box(-1, 1, (3,))

    def __init__(self, names: tuple[str, str] = ("arena/ball", "mark")) -> None:
        import mujoco

        self.model: Any = mujoco.MjModel.from_xml_string(BALL.format(names=names))
        self.data: Any = mujoco.MjData(self.model)

    def put(self, place: tuple[float, float, float]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        import mujoco

        self.data.qpos[:3] = place
        mujoco.mj_forward(self.model, self.data)
        return np.array(place, np.float32), {}


class Turned(MujocoWorld):
    """A world that knows of its hanging camera."""

    def hangs(self, camera: Calibration) -> bool:
        return bool(camera.T_world_camera[2, 1] > 0.3)


def seen(place: tuple[float, float, float], sight: Sight, world: type[MujocoWorld] = MujocoWorld) -> Row:
    env = Ball()
    adapter = world(env, sight)
    row = adapter.look(*env.put(place))
    adapter.close()
    return row


def projected(camera: Calibration, point: Any) -> NDArray[np.float64]:
    """Column and row where a point of the world is seen."""
    inside = np.linalg.inv(camera.T_world_camera) @ np.array([*point, 1.0])
    assert inside[2] > 0
    return (camera.K @ inside[:3])[:2] / inside[2]


def middle(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    assert len(rows) > 0
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def red(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    r, g, b = np.moveaxis(frame.astype(int), -1, 0)
    return (r > 100) & (r > 2 * g) & (r > 2 * b)


def frames_of(world: Any, seed: int, steps: int = 4) -> NDArray[np.uint8]:
    """A short episode of a world, (steps, h, w, 3)."""
    return np.stack(list(_episode(world, seed, steps)))


def _episode(world: Any, seed: int, steps: int) -> Any:
    look = world.env.reset(seed=seed)
    actions = np.random.default_rng(seed).uniform(-1, 1, (steps, *world.env.action_space.shape))
    for action in actions:
        yield next(iter(world.look(*look).frames.values()))
        observation, *_, info = world.env.step(action.astype(np.float32))
        look = (observation, info)


def own_frames(env: gym.Env[Any, Any], seed: int, steps: int = 4) -> NDArray[np.uint8]:
    """What an environment's own renderer shows of the same episode."""
    env.reset(seed=seed)
    shown = []
    for action in np.random.default_rng(seed).uniform(-1, 1, (steps, *(env.action_space.shape or ()))):
        shown.append(env.render())
        env.step(action.astype(np.float32))
    return np.stack(shown)


# --- the right pixels ---


@mujoco_only
@pytest.mark.parametrize("size", [40, 200])
def test_frames_are_those_of_mujoco_itself(size: int) -> None:
    """At full quality, through each camera; 200 pixels are more than the model has room for."""
    import mujoco

    env = Ball()
    world = MujocoWorld(env, Sight(size, ("above", "aside", "lens"), render="full"))
    row = world.look(*env.put(PLACES[1]))
    again = world.look(*env.put(PLACES[1]))
    env.model.vis.global_.offwidth = env.model.vis.global_.offheight = size
    with mujoco.Renderer(env.model, size, size) as renderer:
        for name, frame in row.frames.items():
            renderer.update_scene(env.data, name)
            np.testing.assert_array_equal(frame, renderer.render())
            np.testing.assert_array_equal(frame, again.frames[name])
    world.close()


@mujoco_only
@pytest.mark.parametrize("env_id", ["Reacher-v5", "Pusher-v5", "Hopper-v5"])
def test_the_view_is_that_of_gymnasium(env_id: str) -> None:
    """Its free camera looks at the middle of what it finds when first used: let that be the initial pose."""
    import mujoco

    gc.collect()  # or an earlier test's dead renderer blackens Gymnasium's frames
    env = gym.make(env_id, render_mode="rgb_array", width=64, height=64)
    task: Any = env.unwrapped
    mujoco.mj_forward(task.model, task.data)
    if mujoco.mj_name2id(task.model, mujoco.mjtObj.mjOBJ_CAMERA, "track") >= 0:
        task.mujoco_renderer.camera_id = task.model.cam("track").id
    task.render()
    expected = own_frames(env, 3)
    world = adapted(env, Sight(64, render="full"))
    np.testing.assert_array_equal(frames_of(world, 3), expected)
    world.close()
    env.close()


@mujoco_only
def test_fast_leaves_out_shadows_and_leaves_the_model_alone() -> None:
    env = Ball()
    before = (env.model.light_castshadow.copy(), env.model.vis.quality.shadowsize, env.model.vis.global_.offwidth)
    shots = {}
    for render in ("fast", "full"):
        world = MujocoWorld(env, Sight(96, ("aside",), render=render))
        shots[render] = world.look(*env.put(PLACES[0])).frames["aside"].astype(int)
        world.close()
    assert (env.model.light_castshadow, env.model.vis.quality.shadowsize, env.model.vis.global_.offwidth) == before
    assert 0 < np.abs(shots["fast"] - shots["full"]).mean() < 10
    assert np.abs(middle(red(shots["fast"])) - middle(red(shots["full"]))).max() < 0.5


@mujoco_only
def test_a_seed_repeats_frames_and_poses() -> None:
    world = make("Reacher-v5", Sight(48))
    first, again, other = (frames_of(world, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    world.close()
    fresh = make("Reacher-v5", Sight(48))
    frames_of(fresh, 6)
    np.testing.assert_array_equal(frames_of(fresh, 5), first)
    fresh.close()


# --- whoever else draws ---


@mujoco_only
def test_two_worlds_at_once_show_what_each_shows_alone() -> None:
    alone = {}
    for env_id in ("Reacher-v5", "InvertedPendulum-v5"):
        world = make(env_id, Sight(48))
        alone[env_id] = frames_of(world, 1)
        world.close()
    first, second = (make(env_id, Sight(48)) for env_id in alone)
    together = list(zip(_episode(first, 1, 4), _episode(second, 1, 4), strict=True))
    first.close()
    for index, env_id in enumerate(alone):
        np.testing.assert_array_equal(np.stack([pair[index] for pair in together]), alone[env_id])
    np.testing.assert_array_equal(frames_of(second, 1), alone["InvertedPendulum-v5"])
    second.close()


@mujoco_only
def test_a_world_after_another_shows_what_it_shows_alone() -> None:
    """The trap: garbage of the first one is collected while the second one's context is current."""
    shown = []
    for _ in range(3):
        world = make("Reacher-v5", Sight(48))
        shown.append(frames_of(world, 2))
        world.close()
        world.env.close()
        following = make("Reacher-v5", Sight(48))
        del world
        gc.collect()
        shown.append(frames_of(following, 2))
        del following  # never closed
        gc.collect()
    assert shown[0].std() > 5
    for frames in shown[1:]:
        np.testing.assert_array_equal(frames, shown[0])


@mujoco_only
def test_renderers_of_others_do_not_disturb_and_are_not_disturbed() -> None:
    """Gymnasium's renderer never makes its context current again, and frees it whenever garbage is collected."""
    gc.collect()
    alone = own_frames(gym.make("Reacher-v5", render_mode="rgb_array", width=48, height=48), 4)
    gc.collect()
    theirs = gym.make("Reacher-v5", render_mode="rgb_array", width=48, height=48)
    theirs.reset(seed=4)
    theirs.render()
    ours = make("Reacher-v5", Sight(48))
    before = frames_of(ours, 7)
    np.testing.assert_array_equal(own_frames(theirs, 4), alone)
    del theirs
    gc.collect()
    np.testing.assert_array_equal(frames_of(ours, 7), before)
    ours.close()


@mujoco_only
def test_a_closed_world_and_a_forked_one_draw_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Ball()
    world = MujocoWorld(env, Sight(32))
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(InputError, match=r"made before a fork.*spawn"):
            world.look(*env.put(PLACES[0]))
    world.look(*env.put(PLACES[0]))
    world.close()
    world.close()
    with pytest.raises(InputError, match="is closed: make it again"):
        world.look(*env.put(PLACES[0]))


# --- the right place ---


@mujoco_only
@pytest.mark.parametrize("size", [33, 96, 240])
@pytest.mark.parametrize("place", PLACES)
def test_calibration_says_where_the_ball_is_seen(size: int, place: tuple[float, float, float]) -> None:
    row = seen(place, Sight(size, ("above", "aside", "hanging", "lens")), Turned)
    for name, frame in row.frames.items():
        point = row.labels["poses/arena_ball"][:3]
        np.testing.assert_allclose(point, place, atol=1e-6)
        error = np.abs(middle(red(frame)) - projected(row.cameras[name], point)).max()
        assert error < 0.75 + size / 240, name


@mujoco_only
@pytest.mark.parametrize("camera", [(), ("above",), ("aside",), ("lens",)])
def test_calibration_is_a_lens_and_a_rotation(camera: tuple[str, ...]) -> None:
    (found,) = seen(PLACES[0], Sight(64, camera)).cameras.values()
    rotation = found.T_world_camera[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_array_equal(found.T_world_camera[3], [0, 0, 0, 1])
    assert found.K[0, 0] > 0
    assert found.K[1, 1] > 0
    assert found.K[2].tolist() == [0, 0, 1]
    if camera == ("above",):  # as its XML says
        np.testing.assert_allclose(rotation, np.diag([1, -1, -1]), atol=1e-6)
        np.testing.assert_allclose(found.T_world_camera[:3, 3], [0, 0, 2], atol=1e-6)
        focal = 32 / np.tan(np.radians(22.5))
        np.testing.assert_allclose(found.K, [[focal, 0, 32], [0, focal, 32], [0, 0, 1]], rtol=1e-5)


@mujoco_only
@pytest.mark.parametrize("render", ["fast", "full"])
def test_depth_is_metres_along_the_line_of_sight(render: Any) -> None:
    """The floor under a camera that looks straight down is 2 m away in every pixel, the ball's top nearer."""
    row = seen((0, 0, 0.2), Sight(65, ("above", "lens"), depth=True, render=render))
    for depth in row.depths.values():
        assert depth.dtype == np.float32
        assert depth.shape == (65, 65)
        assert np.median(depth) == pytest.approx(2, abs=1e-3)
        assert depth.min() == pytest.approx(2 - 0.2 - 0.04, abs=3e-3)


@mujoco_only
def test_depth_and_calibration_put_every_pixel_of_the_floor_on_the_floor() -> None:
    row = seen((0, 0, -5), Sight(60, ("aside", "hanging"), depth=True), Turned)
    for name, depth in row.depths.items():
        rows, columns = np.mgrid[:60, :60] + 0.5
        rays = np.linalg.inv(row.cameras[name].K) @ np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
        points = row.cameras[name].T_world_camera @ np.vstack([rays * depth.reshape(-1), np.ones(3600)])
        near = depth.reshape(-1) < 3
        assert near.mean() > 0.2
        assert np.abs(points[2, near]).max() < 5e-3, name


@mujoco_only
def test_a_hanging_camera_is_turned_with_everything_it_says() -> None:
    sight = Sight(50, ("hanging",), depth=True)
    hanging, turned = seen(PLACES[1], sight), seen(PLACES[1], sight, Turned)
    np.testing.assert_array_equal(turned.frames["hanging"], hanging.frames["hanging"][::-1, ::-1])
    np.testing.assert_array_equal(turned.depths["hanging"], hanging.depths["hanging"][::-1, ::-1])
    assert hanging.cameras["hanging"].T_world_camera[2, 1] > 0.3
    assert turned.cameras["hanging"].T_world_camera[2, 1] < -0.3


@mujoco_only
@pytest.mark.parametrize("render", ["fast", "full"])
def test_every_pixel_says_which_body_it_shows(render: Any) -> None:
    """The ball is what is red, in the middle of the frame; the floor belongs to the world, and so to nothing."""
    row = seen((0, 0, 0.2), Sight(65, ("above",), segmentation=True, render=render))
    shown = row.maps["above"]
    assert (shown.dtype, shown.shape) == (np.uint8, (65, 65))
    ball = shown == 1
    assert np.unique(shown).tolist() == [0, 1]
    np.testing.assert_allclose(middle(ball), [32.5, 32.5], atol=0.1)
    # a sphere of 4 cm seen from 1.8 m away, with a lens that sees 45 degrees in 65 pixels
    radius = 32.5 / np.tan(np.radians(22.5)) * np.tan(np.arcsin(0.04 / 1.8))
    assert ball.sum() == pytest.approx(np.pi * radius**2, rel=0.15)
    if render == "fast":  # without smoothing, to the pixel
        np.testing.assert_array_equal(ball, red(row.frames["above"]))
    plain = seen((0, 0, 0.2), Sight(65, ("above",), render=render))
    np.testing.assert_array_equal(plain.frames["above"], row.frames["above"])
    assert plain.maps == {}


@mujoco_only
def test_what_is_fixed_to_a_body_is_part_of_it() -> None:
    from ssl_robot.envs.mujoco import bodies, shown_as

    env = Ball()
    found = bodies(env.model)
    geoms = shown_as(env.model, found)[5]  # mjOBJ_GEOM
    names = dict(enumerate(found, 1))
    of = [names.get(int(number)) for number in geoms]
    assert of == [None, "arena_ball", "mark", "body_3", "body_3", "table"]


@mujoco_only
def test_a_hanging_camera_is_turned_with_its_map() -> None:
    sight = Sight(50, ("hanging",), segmentation=True)
    hanging, turned = seen(PLACES[1], sight), seen(PLACES[1], sight, Turned)
    assert hanging.maps["hanging"].any()
    np.testing.assert_array_equal(turned.maps["hanging"], hanging.maps["hanging"][::-1, ::-1])


@mujoco_only
def test_more_bodies_than_a_map_can_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_robot.envs.mujoco.MOST", 3)
    with pytest.raises(InputError, match="has 4 bodies, and a map tells 3 apart: leave out segmentation"):
        MujocoWorld(Ball(), Sight(32, segmentation=True))


@mujoco_only
def test_a_parallel_projection_has_no_lens_and_no_depth() -> None:
    import mujoco

    env = Ball()
    xml = BALL.format(names=("ball", "mark")).replace("<global", '<global orthographic="true" fovy="2"')
    env.model = mujoco.MjModel.from_xml_string(xml)
    env.data = mujoco.MjData(env.model)
    world = MujocoWorld(env, Sight(32))
    assert world.schema.calibrated == ()
    assert list(world.schema.cameras) == ["default"]
    assert world.look(*env.put(PLACES[0])).cameras == {}
    world.close()
    with pytest.raises(InputError, match="Camera default is a parallel projection, which measures no depth"):
        MujocoWorld(env, Sight(32, depth=True))


# --- what is where ---


@mujoco_only
def test_bodies_that_move_or_stand_by_name_have_poses() -> None:
    """Names lose their slash, a nameless one has its number, and what is welded to another is left out."""
    row = seen(PLACES[1], Sight(32))
    assert [name for name in row.labels if name.startswith("poses/")] == [
        "poses/arena_ball",
        "poses/mark",
        "poses/body_3",
        "poses/table",
    ]
    np.testing.assert_allclose(row.labels["poses/table"], [0, 0, -2, 1, 0, 0, 0])
    np.testing.assert_allclose(row.labels["poses/arena_ball"], [*PLACES[1], 1, 0, 0, 0])
    np.testing.assert_allclose(row.labels["state"], PLACES[1], rtol=1e-6)


@mujoco_only
def test_a_model_that_is_built_anew_is_drawn_anew() -> None:
    env, other = Ball(), Ball(("arena/ball", "stranger"))
    world = MujocoWorld(env, Sight(64, ("above",)))
    expected = world.look(*env.put(PLACES[0])).frames["above"]
    fresh = Ball()
    env.model, env.data = fresh.model, fresh.data
    np.testing.assert_array_equal(world.look(*env.put(PLACES[0])).frames["above"], expected)
    env.model, env.data = other.model, other.data
    with pytest.raises(InputError, match="other bodies in every episode: it cannot be recorded"):
        world.look(*env.put(PLACES[0]))


# --- what cannot be done ---


@mujoco_only
def test_an_unknown_camera_lists_the_cameras() -> None:
    with pytest.raises(InputError, match=r"no camera 'wrist': choose from above, aside, hanging, lens\."):
        MujocoWorld(Ball(), Sight(32, ("above", "wrist")))
    with pytest.raises(InputError, match="Reacher-v5 has no camera 'above': it has none by name, so ask for none"):
        make("Reacher-v5", Sight(32, ("above",)))


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(InputError, match=r"no_such_simulator is not installed: pip install 'ssl-robot\[metaworld\]'"):
        canvas.needs("no_such_simulator", "metaworld")


def test_without_opengl_the_remedy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=-6))
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(InputError, match=r"apt-get install libegl1 libgl1 libgl1-mesa-dri, or .* libosmesa6"):
        canvas.backend()
    assert "MUJOCO_GL" not in os.environ


def test_the_first_opengl_that_works_is_taken_and_a_choice_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("MUJOCO_GL", "GLFW")
    assert canvas.backend() == "glfw"
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(canvas, "_works", lambda name: name == "osmesa")
    assert canvas.backend() == "osmesa"
    assert os.environ["MUJOCO_GL"] == "osmesa"


@mujoco_only
@pytest.mark.parametrize("choice", ["osmesa:nonsense", "disabled"])
def test_a_choice_that_cannot_draw_is_one_sentence(choice: str) -> None:
    """In another process: MuJoCo reads the choice when it is imported."""
    script = "from ssl_robot.envs.world import *\ntry: make('Reacher-v5', Sight(32))\nexcept InputError as e: print(e)"
    surroundings = {**os.environ, "MUJOCO_GL": choice}
    done = subprocess.run([sys.executable, "-c", script], env=surroundings, capture_output=True, text=True, timeout=120)
    assert f"MuJoCo cannot draw with MUJOCO_GL='{choice}'" in done.stdout
    assert "unset it" in done.stdout


_DRAWS_AND_TRAINS = """
from ssl_robot.envs.world import Sight, make
world = make("Reacher-v5", Sight(32))
world.look(*world.env.reset(seed=0))
import torch
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
world.close()
print("done")
"""


@pytest.mark.mujoco
def test_a_process_may_draw_and_then_train() -> None:
    """Mesa and torch's compiler each bring an LLVM; loaded in the wrong order they end the process."""
    pytest.importorskip("torch")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _DRAWS_AND_TRAINS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
