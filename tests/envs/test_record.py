"""Recording an environment that counts: frames say which step they are."""

import sys
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs.collect import Plan, collect
from ssl_robot.envs.record import Looking, RecordFrames, RecordVectorFrames
from ssl_robot.envs.watch import PATIENCE, StaticError, Watch
from ssl_robot.envs.world import Sight, World
from ssl_robot.errors import InputError

SIGHT = Sight(16)


class Counter(gym.Env[Any, Any]):
    """Ends after ``length`` steps; the frame's colour is the number of its reset, its stripe that of its step."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 5}
    render_mode = "rgb_array"
    observation_space = gym.spaces.Dict({"step": gym.spaces.Box(0, 255, (1,), np.float64)})
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, length: int, still: bool = False) -> None:
        self.length, self.still = length, still
        self.resets = self.steps = 0

    def _observation(self) -> dict[str, NDArray[np.float64]]:
        return {"step": np.array([float(self.steps)])}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.resets, self.steps = self.resets + 1, 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        over = self.steps == self.length
        return self._observation(), float(self.steps), over, False, {"success": over}

    def render(self) -> Any:
        return picture(self.resets, 0 if self.still else self.steps)


def picture(resets: int, steps: int) -> NDArray[np.uint8]:
    frame = np.full((16, 16, 3), 10 * resets, np.uint8)
    frame[steps % 16, :, 1] = 255
    return frame


def acted(i: int) -> NDArray[np.float32]:
    return np.array([i / 100, -i / 100], np.float32)


def act(env: RecordFrames, steps: int) -> None:
    env.reset()
    for step in range(steps):
        env.step(acted(step))


def test_every_step_becomes_a_row_and_the_last_look_is_kept(tmp_path: Any) -> None:
    with FrameWriter(tmp_path / "a.h5") as store, RecordFrames(Counter(4), store, SIGHT) as env:
        for episode in range(3):
            env.reset(seed=50 + episode)
            for step in range(4):
                env.step(acted(step))
        assert env.rows == 12
    seen = FrameStore(tmp_path / "a.h5")
    assert seen.seeds.tolist() == [50, 51, 52]
    expected = [picture(episode + 1, step) for episode in range(3) for step in range(4)]
    np.testing.assert_array_equal(seen.take(np.arange(12)), expected)
    np.testing.assert_array_equal(seen.values("step")[:, 0], [0, 1, 2, 3] * 3)
    np.testing.assert_allclose(seen.values("actions"), [acted(step) for step in range(4)] * 3)
    assert seen.column("rewards").tolist() == [1, 2, 3, 4] * 3
    assert seen.column("terminated").tolist() == [0, 0, 0, 1] * 3
    assert seen.column("truncated").tolist() == [0] * 12
    np.testing.assert_allclose(seen.column("timestamps"), [0, 0.2, 0.4, 0.6] * 3)
    for number, demo in enumerate(seen.demonstrations):
        np.testing.assert_array_equal(seen.final(demo)["render"], picture(number + 1, 4))
        assert (demo.facts["success"], demo.facts["return"]) == (True, 10)


def test_an_episode_cut_short_by_a_reset_or_the_end_says_so(tmp_path: Any) -> None:
    with FrameWriter(tmp_path / "a.h5") as store:
        env = RecordFrames(Counter(9), store, SIGHT)
        for length in (2, 3):
            act(env, length)
        env.close()
    seen = FrameStore(tmp_path / "a.h5")
    assert seen.column("truncated").tolist() == [0, 1, 0, 0, 1]
    assert seen.column("dones").tolist() == [0, 1, 0, 0, 1]
    assert seen.seeds.tolist() == [-1, -1]
    np.testing.assert_array_equal(seen.final(seen.demonstrations[0])["render"], picture(1, 2))


def _vector(mode: gym.vector.AutoresetMode, lengths: tuple[int, ...]) -> gym.vector.SyncVectorEnv:
    makers = [lambda n=n, i=i: Looking(Counter(n), SIGHT, seeds=(i, len(lengths))) for i, n in enumerate(lengths)]
    return gym.vector.SyncVectorEnv(makers, autoreset_mode=mode)


@pytest.mark.parametrize("mode", list(gym.vector.AutoresetMode))
def test_a_vector_records_the_same_however_it_resets(tmp_path: Any, mode: gym.vector.AutoresetMode) -> None:
    """Two environments of 3 and 5 steps: whole episodes, each with its frames, actions, seed and last look."""
    with FrameWriter(tmp_path / "a.h5") as store:
        env = RecordVectorFrames(_vector(mode, (3, 5)), store)
        env.reset()
        while env.rows < 40:
            _, _, terminated, truncated, _ = env.step(np.stack([acted(env.rows), acted(env.rows + 1)]))
            over = terminated | truncated
            if mode is gym.vector.AutoresetMode.DISABLED and over.any():
                env.reset(options={"reset_mask": over})
        env.close()
    seen = FrameStore(tmp_path / "a.h5")
    lengths = np.bincount(seen.episodes)
    whole = [number for number, demo in enumerate(seen.demonstrations) if demo.facts.get("success")]
    assert len(whole) >= 8
    for number in whole:
        rows = np.flatnonzero(seen.episodes == number)
        which = int(seen.seeds[number]) % 2
        resets = int(seen.seeds[number]) // 2 + 1
        assert lengths[number] == (3, 5)[which]
        np.testing.assert_array_equal(seen.take(rows), [picture(resets, step) for step in range(len(rows))])
        np.testing.assert_array_equal(seen.final(seen.demonstrations[number])["render"], picture(resets, len(rows)))
        assert seen.column("terminated")[rows].tolist() == [0] * (len(rows) - 1) + [1]
        assert len(np.unique(seen.values("actions")[rows], axis=0)) == len(rows)


def test_a_reset_that_nobody_asked_for_is_no_step(tmp_path: Any) -> None:
    """Gymnasium's AsyncVectorEnv resets once more after an explicit reset, if an episode had just ended."""
    vector = _vector(gym.vector.AutoresetMode.NEXT_STEP, (3, 5))
    with FrameWriter(tmp_path / "a.h5") as store:
        env = RecordVectorFrames(vector, store)
        env.reset()
        for _ in range(3):
            env.step(np.stack([acted(1), acted(2)]))
        env.reset()
        vector._autoreset_envs[0] = True
        for _ in range(4):
            env.step(np.stack([acted(1), acted(2)]))
        env.close()
    seen = FrameStore(tmp_path / "a.h5")
    assert seen.seeds.tolist() == [0, 1, 3, 4]
    assert np.bincount(seen.episodes).tolist() == [3, 3, 4, 3]
    np.testing.assert_array_equal(seen.values("step")[:, 0], [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2])


def test_a_seed_that_is_given_comes_before_the_next_of_the_row() -> None:
    env = Looking(Counter(3), SIGHT, seeds=(7, 2))
    assert [env.reset(seed=seed)[1]["seed"] for seed in (None, 3, None)] == [7, 3, 9]


def test_a_step_outside_an_episode_is_refused(tmp_path: Any) -> None:
    """After the end, or after a reset by a wrapper inside, which nobody told the recorder about."""
    for number, inside in enumerate((Counter(3), gym.wrappers.Autoreset(Counter(3)))):
        with FrameWriter(tmp_path / f"{number}.h5") as store, RecordFrames(inside, store, SIGHT) as env:
            act(env, 3)
            with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) first.*Autoreset around the recorder"):
                env.step(acted(3))
        assert len(FrameStore(tmp_path / f"{number}.h5")) == 3
    with FrameWriter(tmp_path / "outside.h5") as store:
        recorder = RecordFrames(Counter(3), store, SIGHT)
        outside: Any = gym.wrappers.Autoreset(recorder)
        act(outside, 8)
        outside.close()
        outside.close()
    assert np.bincount(FrameStore(tmp_path / "outside.h5").episodes).tolist() == [3, 3]


def test_a_vector_stops_at_the_rows_it_was_asked_for(tmp_path: Any) -> None:
    with FrameWriter(tmp_path / "a.h5") as store:
        env = RecordVectorFrames(_vector(gym.vector.AutoresetMode.NEXT_STEP, (50, 50, 50)), store, rows=31)
        env.reset()
        for _ in range(15):
            env.step(env.action_space.sample())
        env.close()
    assert len(FrameStore(tmp_path / "a.h5")) == 31


def test_a_vector_that_shows_nothing_is_refused(tmp_path: Any) -> None:
    vector = gym.vector.SyncVectorEnv([lambda: Counter(3)])
    with pytest.raises(InputError, match=r"wrap each of them in ssl_robot\.envs\.record\.Looking"):
        RecordVectorFrames(vector, FrameWriter(tmp_path / "a.h5"))


def test_environments_in_other_processes_give_the_frames_of_one_alone(tmp_path: Any) -> None:
    """PushT in two spawned processes: episodes of a seed are those that the seed gives in this process."""
    alone = Plan(60, reset_every=10, seed=40)
    for name, plan in {"alone": alone, "beside": Plan(60, reset_every=10, seed=40, num_envs=2)}.items():
        with FrameWriter(tmp_path / f"{name}.h5") as store:
            collect("gym_pusht/PushT-v0", Sight(32), store, plan)
    one, two = (FrameStore(tmp_path / f"{name}.h5") for name in ("alone", "beside"))
    assert sorted(two.seeds.tolist())[:6] == one.seeds.tolist() == [40, 41, 42, 43, 44, 45]
    assert len(two) == 60
    firsts = {int(seed): int(np.flatnonzero(two.episodes == n)[0]) for n, seed in enumerate(two.seeds)}
    for number, seed in enumerate(one.seeds):
        first = int(np.flatnonzero(one.episodes == number)[0])
        np.testing.assert_array_equal(two.take(np.array([firsts[int(seed)]])), one.take(np.array([first])))


def test_any_environment_that_renders_is_a_world(tmp_path: Any) -> None:
    """With discrete actions, larger pictures and an observation that is a vector."""
    with FrameWriter(tmp_path / "a.h5") as store:
        collect("CartPole-v1", Sight(48), store, Plan(50, seed=3))
    seen = FrameStore(tmp_path / "a.h5")
    assert seen.label_names == ("state", "actions")
    assert set(seen.values("actions")[:, 0]) == {0, 1}
    assert seen.shape == (48, 48, 3)
    assert np.ptp(seen.take(np.array([7]))) > 100


def test_an_environment_that_does_not_render_is_refused() -> None:
    with pytest.raises(InputError, match="make it with render_mode='rgb_array'"):
        World(gym.make("CartPole-v1"), SIGHT)


def test_an_environment_that_lacks_a_package_to_draw_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    world = World(gym.make("CartPole-v1", render_mode="rgb_array"), SIGHT)
    with pytest.raises(InputError, match=r"CartPole-v1 cannot be drawn \(pygame is not installed.*install what"):
        world.look(*world.env.reset())


@pytest.mark.parametrize(("frame", "what"), [(np.zeros((16, 16, 3), np.uint8), "one colour"), (picture(1, 3), "same")])
def test_frames_that_show_nothing_new_are_noticed(frame: NDArray[np.uint8], what: str) -> None:
    watch = Watch()

    def look(frames: list[NDArray[np.uint8]]) -> None:
        for seen in frames:
            watch.look({"top": seen})

    moving = [picture(2, step) for step in range(PATIENCE * 2)]
    look([*moving, *[frame] * (PATIENCE - 1), *moving])
    with pytest.raises(
        StaticError, match=rf"last {PATIENCE} frames of camera 'top' are .*{what}.*--allow-static .*allow_static=True"
    ):
        look([frame] * (PATIENCE + 1))


def test_a_recording_of_a_still_picture_stops_and_keeps_what_it_has(tmp_path: Any) -> None:
    with FrameWriter(tmp_path / "a.h5") as store:
        env = RecordFrames(Counter(100, still=True), store, SIGHT)
        with pytest.raises(StaticError):
            act(env, 100)
        env.close()
    assert len(FrameStore(tmp_path / "a.h5")) == PATIENCE
    with FrameWriter(tmp_path / "b.h5") as store:
        act(RecordFrames(Counter(100, still=True), store, SIGHT, allow_static=True), 100)
    assert len(FrameStore(tmp_path / "b.h5")) == 100
