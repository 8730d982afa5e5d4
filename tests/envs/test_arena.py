"""What policies act in shows exactly what was recorded, ends when it should, and refuses what it cannot be."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from ssl_robot.baselines import named
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs.arena import Copies, opened
from ssl_robot.envs.collect import Plan, collect
from ssl_robot.envs.world import Sight, World
from ssl_robot.errors import InputError
from ssl_robot.probes.policy import Policy

mujoco = pytest.mark.mujoco
WORLDS = [
    "gym_pusht/PushT-v0",
    pytest.param("Reacher-v5", marks=mujoco),
    pytest.param("metaworld/drawer-open-v3", marks=mujoco),
]


class Dial(gym.Env[Any, Any]):
    """Turned by its action; done when it points beyond 1, cut after six steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gym.spaces.Box(-9, 9, (1,))
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode: str | None = None, stiff: bool = False) -> None:
        self.render_mode = render_mode
        self.stiff = stiff

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.angle = float(self.np_random.uniform(-1, 0))
        return np.array([self.angle], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in self.action_space
        self.angle += float(action[0])
        return np.array([self.angle], np.float32), 1.0, False, False, {"success": self.angle > 1}

    def render(self) -> Any:
        return np.full((16, 16, 3), int(100 + 10 * self.angle), np.uint8)


@pytest.fixture(autouse=True)
def _dial() -> Iterator[None]:
    gym.register("Dial-v0", Dial, max_episode_steps=6)
    yield
    gym.registry.pop("Dial-v0")


def dial(copies: int = 3, steps: int = 0, **arguments: Any) -> Copies:
    said = json.dumps({"env_name": "Dial-v0", "type": 2, "env_kwargs": arguments})
    return opened(said, 16, "render", copies=copies, steps=steps)


def of(store: FrameStore, copies: int) -> Copies:
    said = store.attributes
    return opened(said["env_args"], store.shape[0], store.camera, said["render"], said["proprioception"], copies)


@pytest.mark.parametrize("env_id", WORLDS)
def test_what_is_seen_is_what_was_recorded(env_id: str, tmp_path: Path) -> None:
    """Bit for bit, two episodes side by side; and the labels are the same when nothing is drawn."""
    with FrameWriter(tmp_path / "a.h5") as sink:
        collect(env_id, Sight(32), sink, Plan(10, reset_every=5, seed=3))
    store = FrameStore(tmp_path / "a.h5")
    actions = store.values("actions").reshape(2, 5, -1)
    labels = [name for name in store.label_names if name != "actions"]
    with contextlib.closing(of(store, 2)) as arena:
        for look in (True, False):
            seen = arena.begin(store.seeds.tolist(), look)
            for age in range(5):
                rows = np.array([age, 5 + age])
                if look:
                    np.testing.assert_array_equal(seen.frames, store.take(rows))
                else:
                    assert seen.frames.shape == (2, 0, 0, 3)
                assert sorted(seen.labels) == sorted(labels)
                for name in labels:
                    np.testing.assert_array_equal(seen.labels[name], store.values(name)[rows])
                step = arena.step(actions[:, age])
                np.testing.assert_allclose(step.rewards, store.column("rewards")[rows])
                seen = step.seen
        for name, places in arena.proprioception.items():
            assert places
            assert max(places) < len(store.label(name).components)


def test_copies_whose_episode_is_over_stand_still() -> None:
    with contextlib.closing(dial(2)) as arena:
        arena.begin([0, 1])
        for _ in range(6):
            step = arena.step(np.array([[0.1], [0.2]]))
        assert step.over.all()
        assert step.cut.all()
        last = step.seen
        step = arena.step(np.ones((2, 1)))
        np.testing.assert_array_equal(step.seen.labels["state"], last.labels["state"])
        np.testing.assert_array_equal(step.seen.frames, last.frames)
        assert step.rewards.tolist() == [0, 0]
        begun = arena.again({1: 7})
        step = arena.step(np.ones((2, 1)))
        assert step.rewards.tolist() == [0, 1]
        assert step.over.tolist() == [True, False]
        assert begun.labels["state"][0] == last.labels["state"][0]


def test_an_episode_can_be_cut_earlier() -> None:
    with contextlib.closing(dial(1, steps=2)) as arena:
        arena.begin([0])
        ends = [arena.step(np.zeros((1, 1))) for _ in range(2)]
        assert [bool(step.over[0]) for step in ends] == [False, True]
        assert ends[1].cut[0]


def test_success_is_remembered_and_ends_an_episode_where_the_world_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    for stops in (False, True):
        monkeypatch.setattr(World, "stops", stops)
        with contextlib.closing(dial(1)) as arena:
            arena.begin([0])
            up = [arena.step(np.ones((1, 1))) for _ in range(2)][1]
            assert up.success is not None
            assert up.success[0]
            assert (bool(up.over[0]), bool(up.cut[0])) == (stops, False)
            down = arena.step(-np.ones((1, 1)))
            assert down.success is not None
            assert down.success[0]


def test_actions_are_held_within_their_bounds() -> None:
    with contextlib.closing(dial(1)) as arena:
        start = arena.begin([0]).labels["state"][0, 0]
        seen = arena.step(np.array([[50.0]])).seen
        assert seen.labels["state"][0, 0] == pytest.approx(start + 1)


@mujoco
def test_another_camera_than_the_usual_one_is_looked_through(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "a.h5") as sink:
        collect("metaworld/reach-v3", Sight(24, ("corner",)), sink, Plan(2, reset_every=2, seed=1))
    store = FrameStore(tmp_path / "a.h5")
    with contextlib.closing(of(store, 1)) as arena:
        np.testing.assert_array_equal(arena.begin([1]).frames, store.take(np.array([0])))


@pytest.mark.parametrize(
    ("env_args", "says"),
    [
        ("", "does not say which environment"),
        ("[]", "does not say which environment"),
        ('{"type": 2}', "does not say which environment"),
        ('{"env_name": "Nowhere-v0", "type": 2}', "cannot make 'Nowhere-v0'"),
        ('{"env_name": "CartPole-v1", "type": 2}', "Actions of CartPole-v1 are choices"),
        ('{"env_name": "Dial-v0", "env_kwargs": {"stiff": true}}', "recorded with another stiff"),
    ],
)
def test_what_cannot_be_acted_in_is_refused_in_a_sentence(env_args: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        opened(env_args, 16, "render")


def test_how_it_was_drawn_is_no_reason_to_refuse() -> None:
    dial(1, render_mode="rgb_array").close()


def test_too_many_or_no_copies_are_refused() -> None:
    with pytest.raises(InputError, match="0 copies"):
        dial(0)
    with contextlib.closing(dial(2)) as arena, pytest.raises(InputError, match="3 episodes cannot begin in 2 copies"):
        arena.begin([1, 2, 3])


@mujoco
def test_a_policy_cloned_from_the_truth_reaches(tmp_path: Path) -> None:
    """Reacher, from recording to score; who sees nothing does not reach."""
    with FrameWriter(tmp_path / "a.h5") as sink:
        collect("Reacher-v5", Sight(16), sink, Plan(1000, explorer="expert", seed=5, allow_static=True))
    store = FrameStore(tmp_path / "a.h5")
    with contextlib.closing(of(store, 10)) as arena:
        assert arena.proprioception == {"state": (0, 1, 2, 3, 6, 7)}
        asked = Policy(updates=400, episodes=10)
        knows, blind = (
            {score.metric: score for score in asked.ask(named(name, store), store, arena)}
            for name in ("state", "nothing")
        )
    assert knows["return"].value > -8
    assert blind["return"].value < knows["return"].value - 2
    assert -50 < knows["return"].chance < -35
