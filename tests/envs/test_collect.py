import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs import collect
from ssl_robot.envs.world import Sight, adapted, make, width_of
from ssl_robot.envs.worlds.pusht import wrapped
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Row, Schema

PUSHT = "gym_pusht/PushT-v0"


@dataclass
class Listed:
    """A sink that keeps everything."""

    seeds: list[int | None] = field(default_factory=list)
    episodes: list[list[Row]] = field(default_factory=list)
    finals: list[Any] = field(default_factory=list)
    successes: list[bool | None] = field(default_factory=list)

    schema: Schema | None = None

    def open(self, schema: Schema, attributes: Any, rows: int | None = None) -> None:
        self.schema = schema

    def begin(self, seed: int | None = None, attributes: Any = None, independent: bool = False) -> "Listed":
        self.seeds.append(seed)
        self.episodes.append([])
        return self

    def add(self, row: Row) -> None:
        self.episodes[-1].append(row)

    def end(self, final: Any = None, success: bool | None = None) -> None:
        self.finals.append(final)
        self.successes.append(success)

    @property
    def rows(self) -> list[Row]:
        return [row for episode in self.episodes for row in episode]

    @property
    def frames(self) -> NDArray[np.uint8]:
        return np.stack([row.frames["top"] for row in self.rows])


def recorded(plan: collect.Plan, size: int = 32) -> Listed:
    sink = Listed()
    collect.collect(PUSHT, Sight(size), sink, plan)
    return sink


def test_a_plan_gives_its_frames_in_episodes_of_its_length() -> None:
    sink = recorded(collect.Plan(17, reset_every=5, seed=3))
    assert [len(episode) for episode in sink.episodes] == [5, 5, 5, 2]
    assert sink.seeds == [3, 4, 5, 6]
    assert [row.truncated for row in sink.rows] == ([False] * 4 + [True]) * 3 + [False, True]
    assert [bool(success) for success in sink.successes] == [False] * 4
    assert [row.time for row in sink.episodes[0]] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert all(final["top"].shape == (32, 32, 3) for final in sink.finals)
    assert len(sink.finals) == 4


def test_without_resets_an_episode_runs_to_its_own_end() -> None:
    """PushT's time limit is 300 steps; a random finger does not get there first."""
    sink = recorded(collect.Plan(303, seed=1), size=8)
    assert [len(episode) for episode in sink.episodes] == [300, 3]
    assert sink.rows[299].truncated
    assert not any(row.terminated for row in sink.rows)


def test_a_seed_repeats_pixels_poses_and_actions() -> None:
    first, again, other = (recorded(collect.Plan(12, reset_every=4, seed=seed)) for seed in (5, 5, 50))
    np.testing.assert_array_equal(again.frames, first.frames)
    for name in ("poses/block", "agent_pos", "actions"):
        for one, two in zip(first.rows, again.rows, strict=True):
            np.testing.assert_array_equal(one.labels[name], two.labels[name])
    assert not np.array_equal(other.frames, first.frames)
    assert len(np.unique([row.labels["actions"] for row in first.rows], axis=0)) == 12


def test_frames_are_those_of_the_simulator_before_each_action(exploration: FrameStore) -> None:
    """The simulator itself, reset to each episode's seed and given the recorded actions."""
    env = gym.make(PUSHT, obs_type="pixels", observation_width=64, observation_height=64)
    frames = exploration.take(np.arange(len(exploration)))
    actions, poses = exploration.values("actions"), exploration.values("poses/block")
    agent = exploration.values("agent_pos")
    for episode in (0, 7):
        observation, info = env.reset(seed=int(exploration.seeds[episode]))
        for row in np.flatnonzero(exploration.episodes == episode):
            np.testing.assert_array_equal(frames[row], observation)
            np.testing.assert_allclose(poses[row, :2], info["block_pose"][:2])
            np.testing.assert_allclose(np.exp(1j * poses[row, 2]), np.exp(1j * info["block_pose"][2]))
            np.testing.assert_allclose(agent[row], info["pos_agent"])
            observation, _, _, _, info = env.step(actions[row].astype(np.float32))


def test_labels_belong_to_their_frames(resets: FrameStore) -> None:
    """The finger is the only thing that is more blue than grey: its middle is where the label says."""
    frames = resets.take(np.arange(300)).astype(int)
    blue = (frames[..., 2] - frames[..., 0] - 60).clip(0)
    ys, xs = np.mgrid[:64, :64] + 0.5
    mass = blue.sum((1, 2))
    middle = np.stack([(blue * axis).sum((1, 2)) / mass for axis in (xs, ys)], 1) * 512 / 64
    assert np.abs(middle - resets.values("agent_pos")).max() < 8  # a pixel


def test_frames_carry_no_cross_at_the_last_action(exploration: FrameStore) -> None:
    """As those of ``render()`` do, in red; an encoder could read the action off it."""

    def red(frame: NDArray[np.uint8], action: NDArray[np.float64]) -> bool:
        column, row = (action / 512 * len(frame)).astype(int)
        r, g, b = frame[row, column].astype(int)
        return bool(r - g > 100 and r - b > 100)

    frames, actions = exploration.take(np.arange(len(exploration))), exploration.values("actions")
    within = np.flatnonzero(np.diff(exploration.episodes) == 0)
    assert not any(red(frames[row + 1], actions[row]) for row in within)
    env = gym.make(PUSHT, obs_type="pixels", render_mode="rgb_array")
    env.reset(seed=0)
    for action in actions[:20]:
        env.step(action.astype(np.float32))
        assert red(np.asarray(env.render()), action)


@pytest.mark.parametrize("change", [lambda seen: 255 - seen, lambda seen: (seen / 255).astype(np.float32)])
def test_frames_are_the_simulators_although_the_agent_sees_others(change: Any) -> None:
    plain = gym.make(PUSHT, obs_type="pixels", observation_width=32, observation_height=32)
    expected, _ = plain.reset(seed=4)
    world = adapted(gym.wrappers.TransformObservation(plain, change, None), Sight(32))
    row = world.look(*world.env.reset(seed=4))
    np.testing.assert_array_equal(row.frames["top"], expected)


@given(st.floats(-50, 50) | st.integers(-8, 8).map(lambda turns: turns * math.pi))
def test_angles_are_wrapped(angle: float) -> None:
    """Half open, so that no angle has two names; just below -pi is where rounding could leave it at pi."""
    for turned in (angle, math.nextafter(angle, -math.inf), math.nextafter(angle, math.inf)):
        assert -math.pi <= wrapped(turned) < math.pi
        assert abs(math.remainder(wrapped(turned) - turned, 2 * math.pi)) < 1e-9


def test_recorded_angles_span_the_turn(resets: FrameStore) -> None:
    angles = resets.values("poses/block")[:, 2]
    assert -math.pi <= angles.min() < -2.8
    assert 2.8 < angles.max() < math.pi
    assert resets.label("poses/block").circular == (False, False, True)


def test_the_file_says_where_its_frames_come_from(resets: FrameStore) -> None:
    attributes = resets.attributes
    assert attributes["source"] == PUSHT
    assert attributes["source_version"]
    assert attributes["fps"] == 10
    plan = json.loads(resets.demonstrations[0].facts["plan"])
    assert (plan["frames"], plan["reset_every"], plan["explorer"], plan["seed"]) == (300, 1, "uniform", 7)
    environment = json.loads(attributes["env_args"])
    again = gym.make(environment["env_name"], **environment["env_kwargs"])
    first, _ = again.reset(seed=int(resets.seeds[0]))
    np.testing.assert_array_equal(first, resets.take(np.array([0]))[0])


@pytest.mark.parametrize("env_id", ["Pong-v5", "PushT-v0", "", "gym_pusht/PushT-v9", "gym_pusht/Push", "gym_pusht/"])
def test_an_environment_that_does_not_exist_is_refused(env_id: str) -> None:
    with pytest.raises(InputError, match=f"Gymnasium cannot make '{env_id}' .*known by more than .*pusht"):
        make(env_id, Sight(64))


@pytest.mark.parametrize("size", [-1, 0, 7])
def test_frames_too_small_to_show_anything_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"A frame of {size} pixels .*--size 8 or more"):
        Sight(size)


def test_a_camera_is_named_once() -> None:
    with pytest.raises(InputError, match="Camera 'top' is asked for more than once: name it once"):
        Sight(32, ("top", "side", "top"))


@pytest.mark.parametrize("num_envs", [1, 2])
def test_pusht_tells_block_and_finger_apart(tmp_path: Path, num_envs: int) -> None:
    """Where its pose says that each is, in its own colour."""
    plan = collect.Plan(12, reset_every=3, seed=3, num_envs=num_envs)
    with FrameWriter(tmp_path / "a.h5") as sink:
        collect.collect(PUSHT, Sight(128, segmentation=True), sink, plan)
    store, rows = FrameStore(tmp_path / "a.h5"), np.arange(12)
    assert store.things == ("block", "agent")
    for frame, shown, block, agent in zip(
        store.take(rows), store.maps(rows)[..., 0], store.values("poses/block"), store.values("agent_pos"), strict=True
    ):
        there = {number: np.argwhere(shown == number)[:, ::-1] + 0.5 for number in (1, 2)}
        assert np.abs(there[2].mean(0) * 4 - agent).max() < 6
        # two bars of 120 x 30 and 30 x 90 of the world's 512; the finger may hide some
        area = (120 * 30 + 30 * 90) / 16
        assert 0.8 * area < len(there[1]) < 1.25 * area
        turn = np.array([[np.cos(block[2]), -np.sin(block[2])], [np.sin(block[2]), np.cos(block[2])]])
        assert np.abs(there[1].mean(0) * 4 - block[:2] - turn @ [0, 41]).max() < 12
        assert (frame[shown == 2].astype(int) @ [-1, 0, 1] > 60).mean() > 0.8  # blue
        assert (np.ptp(frame[shown == 1].astype(int), axis=1) < 60).mean() > 0.9  # gray


@pytest.mark.parametrize("sight", [Sight(32, ("side",)), Sight(32, depth=True)])
def test_what_a_world_cannot_show_is_refused(sight: Sight) -> None:
    with pytest.raises(InputError, match="PushT has one camera"):
        make(PUSHT, sight)


def test_actions_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="whose actions are numbers"):
        width_of(gym.spaces.Dict({"a": gym.spaces.Box(0, 1)}))


@pytest.mark.parametrize("values", [{"frames": 0}, {"reset_every": -1}, {"seed": -1}])
def test_an_impossible_plan_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(InputError, match="give at least one frame and one environment, and no negative number"):
        collect.Plan(**{"frames": 5, **values})


@pytest.mark.parametrize("everyone", [True, False])
def test_an_interrupt_beside_others_is_one_sentence(tmp_path: Any, everyone: bool) -> None:
    """A terminal sends Ctrl-C to all processes, ``kill`` to one: no traceback, nobody stays, the file is whole."""
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "ssl_robot.experiments.cli", "collect", PUSHT, "--out", str(out)]
    command += ["--frames", "100000", "--num-envs", "2", "--reset-every", "5", "--size", "32"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    limit = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size > 50_000) and time.monotonic() < limit:
        time.sleep(0.2)
    (os.killpg if everyone else os.kill)(process.pid, signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)  # which a process that stays would keep from ending
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 130
    lines = [line for line in said.replace("\r", "\n").splitlines() if line and not line.startswith("collect:")]
    assert lines == [f"ssl-robot: interrupted; {out} holds the frames so far."]
    seen = FrameStore(out)
    assert all(seen.column("dones")[np.flatnonzero(np.diff(seen.episodes, append=-1))])


def test_actions_are_not_drawn_from_the_numbers_of_the_scene() -> None:
    """Both are seeded with the same seed: the scene's first numbers would be the first action's and its noise's."""
    sink = recorded(collect.Plan(2, reset_every=1, seed=3))
    bare = np.random.default_rng(3).uniform(0, 512, 2)
    assert not np.allclose(sink.rows[0].labels["actions"], bare, atol=1)


def test_an_unknown_explorer_lists_the_explorers() -> None:
    with pytest.raises(InputError, match=r"'brownian'.*uniform"):
        recorded(collect.Plan(5, explorer="brownian"))


@pytest.mark.parametrize("num_envs", [1, 2])
def test_a_picture_that_is_not_square_is_squeezed_and_said_once(
    tmp_path: Path, num_envs: int, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pygame")
    out = tmp_path / "a.h5"
    words = ["collect", "CartPole-v1", "--out", str(out), "--frames", "60", "--size", "32", "--num-envs", str(num_envs)]
    assert main(words) == 0
    printed = capfd.readouterr().err
    assert printed.count("warning: CartPole-v1 draws 600 x 400 pixels: they are squeezed into 32 x 32.") == 1
    assert printed.count("squeezed") == 1
    frame = FrameStore(out).take(np.array([0]))[0]
    dark = np.flatnonzero((frame < 250).any((0, 2)))
    assert dark.min() == 0  # the rail still reaches from side to side
    assert dark.max() == 31
