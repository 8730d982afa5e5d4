"""The testbed keeps what an environment promises, and its experts do its tasks."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs.collect import Plan, collect
from ssl_robot.envs.tabletop import IDS, PREFIX, TASKS, hurt_by, predictions
from ssl_robot.envs.testbed.scene import COMPONENTS, LAP
from ssl_robot.envs.testbed.tasks import ASKED
from ssl_robot.envs.world import Sight, adapted, make
from ssl_robot.errors import InputError

if importlib.util.find_spec("mujoco") is None:  # not imported here: that would settle which OpenGL it draws with
    pytest.skip("mujoco is not installed", allow_module_level=True)
FLAT = [env_id for env_id in IDS if "Flat" in env_id]
EACH_ID = pytest.mark.parametrize(
    "env_id", [env_id if "Flat" in env_id else pytest.param(env_id, marks=pytest.mark.mujoco) for env_id in IDS]
)


def played(env: gym.Env[Any, Any], seed: int) -> bool:
    env.reset(seed=seed)
    while True:
        _, _, terminated, truncated, info = env.step(env.unwrapped.expert())  # type: ignore[attr-defined]
        if terminated or truncated:
            assert info["success"] == info["is_success"] == terminated
            return terminated


@EACH_ID
def test_gymnasium_finds_nothing_wrong(env_id: str) -> None:
    env = gym.make(env_id, render_mode="rgb_array", size=32)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
@pytest.mark.parametrize("env_id", FLAT)
def test_the_expert_does_the_task(env_id: str, difficulty: float) -> None:
    """A twin that OpenGL draws moves alike: see the test of twins."""
    env = gym.make(env_id, difficulty=difficulty)
    assert np.mean([played(env, seed) for seed in range(100)]) >= 0.95


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_chance_does_not_do_the_task(task: str) -> None:
    env = gym.make(f"{PREFIX}{task}Flat-v0")
    env.action_space.seed(0)
    done = 0
    for seed in range(30):
        env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
        done += terminated
    assert done <= 10


def looks(env_id: str, steps: int = 6) -> list[dict[str, Any]]:
    world = make(env_id, Sight(32))
    world.env.action_space.seed(0)
    look, found = world.env.reset(seed=3), []
    for _ in range(steps):
        row = world.look(*look)
        found.append({**row.labels, "K": row.cameras["top"].K, "T": row.cameras["top"].T_world_camera})
        observation, *_, info = world.env.step(world.env.action_space.sample())
        look = (observation, info)
    world.close()
    world.env.close()
    return found


@pytest.mark.mujoco
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_twins_have_the_same_labels(task: str) -> None:
    """Drawn by OpenGL or not, with another light and table or not."""
    plain, *others = (looks(f"{PREFIX}{task}{twin}-v0") for twin in ("", "Nuisance", "Flat", "FlatNuisance"))
    for other in others:
        for one, two in zip(plain, other, strict=True):
            assert one.keys() == two.keys()
            for name in one:
                if name in ("K", "T"):  # OpenGL's comes out of a scene in single precision
                    np.testing.assert_allclose(two[name], one[name], atol=1e-4)
                else:
                    np.testing.assert_array_equal(two[name], one[name])


def test_all_tasks_lay_out_the_same_table() -> None:
    """So that one recording serves them all."""
    facts = []
    for task in TASKS:
        env: Any = gym.make(f"{PREFIX}{task.name}Flat-v0").unwrapped
        env.reset(seed=5)
        facts.append(env.state)
    assert all(state == facts[0] for state in facts)


def test_a_nuisance_changes_the_picture_alone() -> None:
    plain, nuisance = (gym.make(f"{PREFIX}AlignYaw{twin}-v0").unwrapped for twin in ("Flat", "FlatNuisance"))
    frames = []
    for env in (plain, nuisance, nuisance):
        env.reset(seed=len(frames) // 2)  # the last episode of the three is another one
        frames.append(env.picture(32))  # type: ignore[attr-defined]
    assert plain.reset(seed=1)[0].tolist() == nuisance.reset(seed=1)[0].tolist()
    assert plain.state == nuisance.state  # type: ignore[attr-defined]
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 10


@EACH_ID
def test_the_picture_is_the_one_recorded(env_id: str, tmp_path: Path) -> None:
    """And the environment can be made again from what the file says."""
    with FrameWriter(tmp_path / "a.h5") as store:
        collect(env_id, Sight(40), store, Plan(3, seed=7))
    seen = FrameStore(tmp_path / "a.h5")
    made = json.loads(seen.attributes["env_args"])
    assert made["env_name"] == seen.attributes["source"] == env_id
    env = gym.make(made["env_name"], **made["env_kwargs"])
    env.reset(seed=7)
    for row in range(3):
        np.testing.assert_array_equal(env.render(), seen.take(np.array([row]))[0])
        env.step(seen.values("actions")[row].astype(np.float32))
    env.close()


def test_spawned_environments_act_like_one_here() -> None:
    env_id = f"{PREFIX}CuedColourFlat-v0"
    vector = gym.make_vec(env_id, 2, "async", vector_kwargs={"context": "spawn"}, size=24, render_mode="rgb_array")
    alone = gym.make(env_id, size=24, render_mode="rgb_array")
    cues, _ = vector.reset(seed=[4, 5])
    vector.step(np.full((2, 2), 0.5, np.float32))
    pictures = vector.render()
    assert pictures is not None
    for i, seed in enumerate((4, 5)):
        assert alone.reset(seed=seed)[0].tolist() == cues[i].tolist()
        alone.step(np.full(2, 0.5, np.float32))
        np.testing.assert_array_equal(alone.render(), pictures[i])
    vector.close()


def test_the_flat_twin_needs_no_opengl() -> None:
    script = (
        "import sys, gymnasium as gym; env = gym.make('ssl_robot.envs.tabletop:AlignYawFlat-v0', size=32, "
        "render_mode='rgb_array'); env.reset(seed=0); print(env.render().shape, 'OpenGL' in sys.modules)"
    )
    surroundings = {"MUJOCO_GL": "disable", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=surroundings, timeout=120)
    assert done.stdout.strip() == "(32, 32, 3) False", done.stderr


def test_the_predictions_need_neither_mujoco_nor_torch() -> None:
    script = (
        "import sys; from ssl_robot.envs.tabletop import predictions; "
        "print(len(predictions()) > 0, {'mujoco', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "True set()"


def test_the_predictions_speak_of_what_there_is() -> None:
    rows = predictions()
    assert len({(row.invariance, row.component, row.effect) for row in rows}) == len(rows)
    assert {row.invariance for row in rows} <= set(catalogue.names(ssl_robot.invariances))
    assert {row.component for row in rows} <= set(ASKED)
    for row in rows:
        hidden = {other.component for other in rows if (other.invariance, other.effect) == (row.invariance, "hidden")}
        assert (row.component in hidden) == (row.effect == "hidden") or row.effect == "helped"
        assert set(row.together) == (hidden - {row.component} if row.effect == "hidden" else set())
    for task in TASKS:
        assert set(task.needs) <= set(ASKED)


def test_every_task_has_a_pattern_of_its_own() -> None:
    assert {task.name: hurt_by(task) for task in TASKS} == {
        "CuedColour": ("hue", "gray", "flip", "vertical_flip", "rotation", "quarter_turn", "time"),
        "CuedSide": ("flip", "rotation", "quarter_turn", "time"),
        "AlignYaw": ("flip", "vertical_flip", "rotation", "quarter_turn"),
        "ReachDepth": ("crop",),
        "FindMoving": ("flip", "vertical_flip", "rotation", "quarter_turn", "time"),
    }


def test_a_puck_that_moves_goes_once_around() -> None:
    env: Any = gym.make(f"{PREFIX}FindMovingFlat-v0").unwrapped
    env.reset(seed=1)
    first = dict(zip(COMPONENTS, env.state.facts, strict=True))
    places = []
    for _ in range(LAP):
        env.step(np.zeros(2, np.float32))
        places.append(env.state.facts)
    last = dict(zip(COMPONENTS, places[-1], strict=True))
    assert last == pytest.approx(first)
    found = {name: np.ptp([place[i] for place in places]) for i, name in enumerate(COMPONENTS)}
    assert {name for name, spread in found.items() if spread > 1e-9} == {"puck x", "puck y"}


def test_difficulty_shrinks_the_block_and_adds_clutter() -> None:
    frames = []
    for difficulty in (0.0, 1.0):
        env: Any = gym.make(f"{PREFIX}AlignYawFlat-v0", difficulty=difficulty).unwrapped
        env.reset(seed=1)
        frames.append(env.picture(64))
    coloured = [(np.ptp(frame, axis=2) > 100).sum() for frame in frames]
    gray = [(frame == 110).all(2).sum() for frame in frames]
    assert coloured[1] < 0.6 * coloured[0]
    assert gray[0] == 0 < gray[1]


@pytest.mark.parametrize("twin", ["Flat", pytest.param("", marks=pytest.mark.mujoco)])
def test_a_camera_that_is_not_in_its_place_says_where_it_is(twin: str) -> None:
    """The puck is seen where its label and the lens say."""
    env: Any = gym.make(f"{PREFIX}AlignYaw{twin}-v0", mount=1.0, size=128, render_mode="rgb_array")
    world, eyes = adapted(env, Sight(128)), []
    for seed in range(4):
        row = world.look(*env.reset(seed=seed))
        lens = row.cameras["top"]
        seen = np.linalg.inv(lens.T_world_camera) @ [*row.labels["poses/puck"][:3], 1]
        column, line = (lens.K @ seen[:3])[:2] / seen[2]
        frame = row.frames["top"].astype(int)
        hues = frame[:, :, 0] - frame[:, :, 2]
        mask = hues * row.labels["scene"][3] < -100  # the puck has the colour that the block has not
        lines, columns = np.nonzero(mask)
        assert abs(columns.mean() + 0.5 - column) < 3
        assert abs(lines.mean() + 0.5 - line) < 3
        eyes.append(lens.T_world_camera[:3, 3])
    assert np.ptp(eyes, axis=0)[:2].min() > 0.005
    world.close()
    env.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"difficulty": 1.5}, "difficulty is 1.5, but must be from 0 to 1"),
        ({"mount": -0.1}, "mount is -0.1, but must be from 0 to 1"),
        ({"task": "Juggle"}, "no task 'Juggle': choose from CuedColour"),
    ],
)
def test_a_bad_setting_is_said_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        gym.make(f"{PREFIX}AlignYawFlat-v0", **arguments)


def test_a_flat_world_has_one_camera_and_no_depth() -> None:
    for sight in (Sight(32, ("side",)), Sight(32, depth=True)):
        with pytest.raises(InputError, match="has one camera, 'top'; ask for no depth"):
            make(f"{PREFIX}AlignYawFlat-v0", sight)
