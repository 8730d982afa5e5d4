"""Every world of the catalogue keeps the same promises."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import ssl_robot.envs.worlds
from ssl_robot import catalogue
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs.collect import Plan, collect
from ssl_robot.envs.tabletop import PREFIX
from ssl_robot.envs.world import Sight, World, adapted, make, provenance
from ssl_robot.errors import InputError
from ssl_robot.frames import Row

# Some environments of each world, and the package that brings them; the first one is looked at closely.
EXAMPLES = {
    "dm_control": ("shimmy", "dm_control/reacher-easy-v0", "dm_control/walker-walk-v0"),
    "gymnasium_mujoco": ("mujoco", "Reacher-v5", "Pusher-v5", "HalfCheetah-v5"),
    "gymnasium_robotics": ("gymnasium_robotics", "FetchReach-v4", "PointMaze_UMaze-v3", "AdroitHandDoor-v1"),
    "metaworld": ("metaworld", "metaworld/drawer-open-v3", "metaworld/push-v3"),
    "ogbench": ("ogbench", "cube-single-v0", "ogbench/pointmaze-medium-v0"),
    "pusht": ("gym_pusht", "gym_pusht/PushT-v0"),
    "tabletop": ("mujoco", f"{PREFIX}AlignYaw-v0", f"{PREFIX}CuedColourNuisance-v0"),
    "tabletop_flat": ("mujoco", f"{PREFIX}ReachDepthFlat-v0", f"{PREFIX}FindMovingFlatNuisance-v0"),
}
GL_FREE = ("pusht", "tabletop_flat")
WORLDS = catalogue.names(ssl_robot.envs.worlds)
# What each world calls its picture where no camera is asked for, and how long a step takes.
VIEWS = {
    "dm_control": ("fixed", 0.02),
    "gymnasium_mujoco": ("default", 0.02),
    "gymnasium_robotics": ("default", 0.04),
    "metaworld": ("corner2", 0.0125),
    "ogbench": ("front", 0.05),
    "pusht": ("top", 0.1),
    "tabletop": ("top", 0.05),
    "tabletop_flat": ("top", 0.05),
}


def marks(name: str) -> list[pytest.MarkDecorator]:
    package = EXAMPLES[name][0]
    absent = importlib.util.find_spec(package) is None
    skip = pytest.mark.skipif(absent, reason=f"{package} is not installed")
    return [skip] if name in GL_FREE else [skip, pytest.mark.mujoco]


EACH_WORLD = pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in EXAMPLES])
EACH_EXAMPLE = pytest.mark.parametrize(
    ("name", "env_id"),
    [pytest.param(name, env_id, marks=marks(name)) for name, (_, *ids) in EXAMPLES.items() for env_id in ids],
)


def only(row: Row) -> Any:
    (frame,) = row.frames.values()
    return frame


def test_every_world_has_an_example() -> None:
    assert sorted(EXAMPLES) == WORLDS


@pytest.mark.parametrize("env_id", [env_id for _, *ids in EXAMPLES.values() for env_id in ids])
def test_one_world_claims_an_environment(env_id: str) -> None:
    owners = [name for name, (_, *ids) in EXAMPLES.items() if env_id in ids]
    claims = [name for name in WORLDS if catalogue.found(ssl_robot.envs.worlds, name).claims(env_id)]
    assert claims == owners


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Pong-v5", "", "powderworld-easy-v0", "Reacher-v99", "no/such-v0", "AlignYaw-v0"]
)
def test_no_world_claims_what_is_not_its_own(env_id: str) -> None:
    assert not any(catalogue.found(ssl_robot.envs.worlds, name).claims(env_id) for name in WORLDS)


def test_claims_import_no_simulator() -> None:
    """In another process, where nothing is imported yet."""
    script = (
        "import sys, ssl_robot.envs.worlds as w; from ssl_robot import catalogue as c; "
        "[c.found(w, n).claims(i) for n in c.names(w) for i in ('CartPole-v1', 'Reacher-v5', 'cube-single-v0')]; "
        "print({'mujoco', 'metaworld', 'dm_control', 'shimmy', 'ogbench', 'gymnasium_robotics'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"


@EACH_EXAMPLE
def test_a_row_is_what_the_schema_says(name: str, env_id: str) -> None:
    world = make(env_id, Sight(40))
    assert type(world) is catalogue.found(ssl_robot.envs.worlds, name)
    look = world.env.reset(seed=0)
    for _ in range(3):
        check(world, world.look(*look))
        observation, *_, info = world.env.step(world.env.action_space.sample())
        look = (observation, info)
    world.close()
    world.env.close()


def check(world: World, row: Row) -> None:
    schema = world.schema
    assert set(row.frames) == set(schema.cameras)
    for name, frame in row.frames.items():
        assert frame.dtype == np.uint8
        assert frame.shape == schema.cameras[name] == (40, 40, 3)
        assert frame.flags.c_contiguous
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 3
    assert set(row.cameras) == set(schema.calibrated)
    assert {label.name for label in schema.labels} == {*row.labels, "actions"}
    assert len({label.name for label in schema.labels}) == len(schema.labels)
    for label in schema.labels:
        assert len(label.components) == len(label.units) == len(label.circular) > 0
        if label.name == "actions":
            continue
        assert row.labels[label.name].shape == (len(label.components),)
        assert np.isfinite(row.labels[label.name]).all()
        if "qw" in label.components:
            assert np.linalg.norm(row.labels[label.name][3:]) == pytest.approx(1)


@EACH_WORLD
def test_a_seed_gives_the_same_first_frame_whatever_came_before(name: str) -> None:
    world = make(EXAMPLES[name][1], Sight(48))
    first = world.look(*world.env.reset(seed=11))
    other = world.look(*world.env.reset(seed=12))
    for _ in range(10):
        world.env.step(world.env.action_space.sample())
    again = world.look(*world.env.reset(seed=11))
    np.testing.assert_array_equal(only(again), only(first))
    for label, values in first.labels.items():
        np.testing.assert_array_equal(again.labels[label], values)
    assert not np.array_equal(only(other), only(first))
    world.close()
    world.env.close()


@EACH_WORLD
def test_a_world_says_where_its_frames_come_from(name: str) -> None:
    world = make(EXAMPLES[name][1], Sight(40))
    view, period = VIEWS[name]
    assert list(world.schema.cameras) == [view]
    assert world.period == pytest.approx(period)
    origin = provenance(world)
    assert origin["source"].removeprefix("ogbench/") == EXAMPLES[name][1]
    assert origin["source_version"]
    assert origin["fps"] == pytest.approx(1 / period)
    assert origin["render"] == "fast"
    world.close()
    world.env.close()


@EACH_EXAMPLE
def test_what_a_robot_knows_of_itself_is_among_its_labels(name: str, env_id: str) -> None:
    world = make(env_id, Sight(16))
    for label, places in world.proprioception.items():
        width = len(world.schema.label(label).components)
        assert sorted(set(places)) == sorted(places)
        assert min(places) >= 0
        assert max(places) < width
    assert json.loads(provenance(world)["proprioception"]) == {k: list(v) for k, v in world.proprioception.items()}
    look = world.look(*world.env.reset(seed=0))
    world.close()
    world.env.close()
    assert look.labels.keys() >= world.proprioception.keys()


@EACH_WORLD
def test_an_environment_of_somebody_else_finds_its_world(name: str) -> None:
    env = make(EXAMPLES[name][1], Sight(40)).env
    wrapped = gym.wrappers.TimeLimit(env, 5)
    world = adapted(wrapped, Sight(24))
    assert type(world) is catalogue.found(ssl_robot.envs.worlds, name)
    assert only(world.look(*wrapped.reset(seed=0))).shape == (24, 24, 3)
    world.close()
    wrapped.close()


# --- scripted experts ---


def played(world: World, seed: int, steps: int) -> tuple[float, bool]:
    """Return and success of an expert's episode."""
    observation, info = world.env.reset(seed=seed)
    expert, total, success = world.expert(), 0.0, False
    for _ in range(steps):
        action = expert(observation)
        assert action in world.env.action_space
        observation, reward, terminated, truncated, info = world.env.step(action)
        total += float(reward)
        success = success or bool(world.success(info))
        if terminated or truncated or success:
            break
    return total, success


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "env_id",
    [
        pytest.param("metaworld/drawer-open-v3", marks=marks("metaworld")),
        pytest.param("metaworld/button-press-topdown-v3", marks=marks("metaworld")),
        pytest.param("cube-single-v0", marks=marks("ogbench")),
        pytest.param("scene-v0", marks=marks("ogbench")),
    ],
)
def test_an_expert_does_its_task(env_id: str, seed: int) -> None:
    world = make(env_id, Sight(16))
    assert played(world, seed, 200)[1]
    world.close()
    world.env.close()


@pytest.mark.mujoco
def test_reachers_expert_reaches() -> None:
    """Random torques return -43 on average."""
    world = make("Reacher-v5", Sight(16))
    returns = [played(world, seed, 50)[0] for seed in range(10)]
    assert min(returns) > -12
    observation, _ = world.env.reset(seed=3)
    expert = world.expert()
    for _ in range(50):
        observation, *_ = world.env.step(expert(observation))
    assert np.linalg.norm(observation[8:10]) < 0.002  # metres
    world.close()


@pytest.mark.skipif(importlib.util.find_spec("ogbench") is None, reason="ogbench is not installed")
@pytest.mark.mujoco
def test_an_oracle_draws_the_same_for_the_same_scene() -> None:
    world = make("cube-single-v0", Sight(16))
    state = np.random.get_state()[1].copy()
    first, again = (played(world, 4, 200) for _ in range(2))
    assert first == again
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    world.close()


@pytest.mark.mujoco
@pytest.mark.parametrize("env_id", ["Pusher-v5", pytest.param("FetchReach-v4", marks=marks("gymnasium_robotics"))])
def test_where_there_is_no_expert_the_explorer_is_named(env_id: str) -> None:
    world = make(env_id, Sight(16))
    with pytest.raises(InputError, match=f"no scripted expert for {env_id}: choose another --explorer"):
        world.expert()
    world.close()


# --- what MetaWorld needs ---


@pytest.mark.parametrize(
    "camera", [pytest.param(n, marks=marks("metaworld")) for n in ("corner", "corner2", "corner3")]
)
def test_metaworlds_corner_cameras_stand_upright(camera: str) -> None:
    """The image's lower edge is nearer to the floor, and the calibration agrees with the picture."""
    world = make("metaworld/drawer-open-v3", Sight(96, (camera,)))
    row = world.look(*world.env.reset(seed=0))
    pose = row.cameras[camera]
    assert pose.T_world_camera[2, 1] < -0.3
    x, y, z = row.labels["state"][:3]
    hand, above = (np.linalg.inv(pose.T_world_camera) @ [x, y, height, 1] for height in (z, z + 0.1))
    column, line = (pose.K @ hand[:3])[:2] / hand[2]
    assert (pose.K @ above[:3])[1] / above[2] < line
    assert 0 < column < 96
    assert 0 < line < 96
    world.close()


@pytest.mark.parametrize("name", [pytest.param("metaworld", marks=marks("metaworld"))])
def test_metaworlds_tasks_are_listed(name: str) -> None:
    with pytest.raises(InputError, match="MetaWorld has no task 'drawer-shut-v3': choose from assembly-v3, basketball"):
        make("metaworld/drawer-shut-v3", Sight(16))


@pytest.mark.parametrize("name", [pytest.param("metaworld", marks=marks("metaworld"))])
def test_metaworlds_expert_needs_the_goal(name: str) -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_HIDDEN

    env: Any = ALL_V3_ENVIRONMENTS_GOAL_HIDDEN["reach-v3-goal-hidden"](seed=0)
    world = adapted(env, Sight(16))
    with pytest.raises(InputError, match="hides its goal from the scripted expert"):
        world.expert()
    world.close()


@EACH_WORLD
def test_a_recording_is_what_its_seeds_and_actions_give(name: str, tmp_path: Path) -> None:
    """Frames and labels bit for bit: two episodes recorded, then lived through again in an environment of their own."""
    env_id, sight = EXAMPLES[name][1], Sight(32)
    with FrameWriter(tmp_path / "a.h5") as store:
        collect(env_id, sight, store, Plan(12, reset_every=6, seed=3))
    seen, world = FrameStore(tmp_path / "a.h5"), make(env_id, sight)
    camera = seen.camera
    for demo in seen.demonstrations:
        rows = np.arange(demo.first, demo.first + demo.rows)
        look = world.look(*world.env.reset(seed=int(seen.seeds[seen.episodes[demo.first]])))
        for row, frame in zip(rows, seen.take(rows), strict=True):
            np.testing.assert_array_equal(look.frames[camera], frame)
            for label, numbers in look.labels.items():
                np.testing.assert_array_equal(seen.values(label)[row], numbers)
            action = seen.values("actions")[row].astype(world.env.action_space.dtype)
            observation, *_, info = world.env.step(action)
            look = world.look(observation, info)
        np.testing.assert_array_equal(seen.final(demo)[camera], look.frames[camera])
    world.close()
