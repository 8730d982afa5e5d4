"""What Gymnasium's environments show through an encoder, and what stacks of vectors remember."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import AddRenderObservation, FrameStackObservation
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import ssl_robot
from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.plugins.gymnasium import EncodeVectorObservation, FrameStack, RenderObservation

MODES = list(AutoresetMode)
DO_NOTHING = np.zeros((3, 2), np.float32)


def envs(mode: AutoresetMode = AutoresetMode.NEXT_STEP, seen: str = "image", count: int = 3) -> Any:
    return gym.make_vec(
        "Painted-v0", count, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, seen=seen
    )


def features(encoder: Encoder, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    return encoder(frames).numpy()


@pytest.fixture(scope="module")
def painted(encoder: Encoder) -> Any:
    """Features of a picture, by seed, episode, age and camera."""

    def of(*picture: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([*picture, *[0] * (4 - len(picture))])
        return features(encoder, rng.integers(0, 256, (1, 24, 24, 3), np.uint8))[0]

    return of


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_environment_shows_features_and_is_a_sound_one(encoder: Encoder, painted: Any) -> None:
    env = ssl_robot.EncodeObservation(gym.make("Painted-v0"), encoder)
    assert env.observation_space == gym.spaces.Box(-np.inf, np.inf, (128,), np.float32)
    observation, _ = env.reset(seed=4)
    assert observation in env.observation_space
    close(observation, painted(4, 0, 0))
    observation, reward, *_ = env.step(DO_NOTHING[0])
    close(observation, painted(4, 0, 1))
    assert reward == 1
    assert env.metadata["render_fps"] == 7
    assert env.render().shape == (24, 24, 3)
    check_env(env, skip_render_check=True)


def test_all_cameras_are_encoded_in_one_pass_and_the_rest_is_kept(
    encoder: Encoder, painted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    original = encoder.features
    monkeypatch.setattr(encoder, "features", lambda images, *layer: passes.append(len(images)) or original(images))
    env = ssl_robot.EncodeObservation(envs(seen="parts"), encoder)
    observations, _ = env.reset(seed=0)
    assert passes == [6]
    assert observations in env.observation_space
    monkeypatch.undo()
    for i in range(3):
        close(observations["front"][i], painted(i, 0, 0, 0))
        close(observations["wrist"][i], painted(i, 0, 0, 1))
    assert observations["state"].tolist() == [[0, 0]] * 3
    assert observations["state"].dtype == np.float64


def test_images_and_what_is_kept_can_be_chosen(encoder: Encoder, painted: Any) -> None:
    bare = gym.make("Painted-v0", seen="parts")
    chosen = ssl_robot.EncodeObservation(bare, encoder, images=["wrist"], keep=["state"])
    assert list(chosen.observation_space.spaces) == list(chosen.reset(seed=1)[0]) == ["state", "wrist"]
    alone = ssl_robot.EncodeObservation(bare, encoder, images=["wrist"], keep=[])
    assert alone.observation_space.shape == (128,)
    close(alone.reset(seed=1)[0], painted(1, 0, 0, 1))


@pytest.mark.parametrize(
    ("seen", "settings", "sentence"),
    [
        ("state", {}, r"no image to encode: the observation is float64 of \(2,\).*AddRenderObservation"),
        ("parts", {"images": ["hand"]}, r"'hand' is no image: the observation has 'front' \(uint8 of \(24, 24, 3\)\)"),
        ("parts", {"images": ["state"]}, r"'state' is no image: .* as the camera took it"),
        ("parts", {"keep": ["front"]}, r"no 'front' to keep beside the images: the observation has"),
    ],
)
def test_what_is_not_there_is_named_beside_what_is(
    encoder: Encoder, seen: str, settings: dict[str, Any], sentence: str
) -> None:
    for env in (gym.make("Painted-v0", seen=seen), envs(seen=seen)):
        with pytest.raises(InputError, match=sentence):
            ssl_robot.EncodeObservation(env, encoder, **settings)


def test_pictures_in_floats_are_refused(encoder: Encoder) -> None:
    floats = gym.spaces.Box(0, 1, (24, 24, 3), np.float32)
    scaled = gym.wrappers.TransformObservation(gym.make("Painted-v0"), lambda seen: seen / np.float32(255), floats)
    with pytest.raises(InputError, match=r"no image to encode: the observation is float32 of \(24, 24, 3\)"):
        ssl_robot.EncodeObservation(scaled, encoder)


def test_an_encoder_that_learns_is_used_in_evaluation_mode_and_goes_on_learning(encoder: Encoder) -> None:
    learning = Encoder.fresh(encoder.card, 0).train()
    before = {name: value.clone() for name, value in learning.state_dict().items()}
    observation, _ = ssl_robot.EncodeObservation(gym.make("Painted-v0"), learning).reset(seed=0)
    assert learning.training
    assert all(torch.equal(value, before[name]) for name, value in learning.state_dict().items())
    frame, _ = gym.make("Painted-v0").reset(seed=0)
    close(observation, features(learning.requires_grad_(False).eval(), frame[None])[0])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_vector_shows_what_each_environment_does(encoder: Encoder, painted: Any, mode: AutoresetMode) -> None:
    env = ssl_robot.EncodeObservation(envs(mode), encoder)
    assert isinstance(env, EncodeVectorObservation)
    assert env.observation_space.shape == (3, 128)
    env.reset(seed=0)
    for age in (1, 2):
        close(env.step(DO_NOTHING)[0], [painted(i, 0, age) for i in range(3)])
    observations, _, terminations, truncations, infos = env.step(DO_NOTHING)
    assert truncations.all()
    assert terminations.tolist() == [True, False, True]
    last = [painted(i, 0, 3) for i in range(3)]
    if mode == AutoresetMode.SAME_STEP:
        close(list(infos["final_obs"]), last)
    else:
        close(observations, last)
        observations, *_ = env.step(DO_NOTHING)
    close(observations, [painted(i, 1, 0) for i in range(3)])


def test_statistics_are_kept_on_top(encoder: Encoder) -> None:
    env = RecordEpisodeStatistics(FrameStack(ssl_robot.EncodeObservation(envs(), encoder), 2))
    env.reset(seed=0)
    infos = [env.step(DO_NOTHING)[4] for _ in range(3)][-1]
    assert infos["episode"]["r"].tolist() == [6, 6, 6]


def test_a_spec_makes_it_again_by_path(run: Any) -> None:
    bare = gym.make("gym_pusht:gym_pusht/PushT-v0", obs_type="pixels_agent_pos")
    env = ssl_robot.EncodeObservation(bare, run, keep=("agent_pos",), device="cpu")
    again = EnvSpec.from_json(env.spec.to_json()).make()
    assert again.spec == env.spec
    assert again.observation_space == env.observation_space


def test_a_stack_of_frames_is_encoded_frame_by_frame(encoder: Encoder, painted: Any) -> None:
    env = ssl_robot.EncodeObservation(FrameStackObservation(gym.make("Painted-v0"), 2), encoder)
    env.reset(seed=0)
    observation, *_ = env.step(DO_NOTHING[0])
    assert observation in env.observation_space
    close(observation, [painted(0, 0, 0), painted(0, 0, 1)])


def told(env: Any, steps: int, mode: AutoresetMode) -> list[tuple[NDArray[Any], dict[str, Any]]]:
    """Stacks of states (episode, age), reset by hand where a vector does not."""
    shown = [env.reset(seed=0)]
    for _ in range(steps):
        observations, _, terminations, truncations, infos = env.step(DO_NOTHING)
        over = terminations | truncations
        shown.append((observations, infos))
        if mode == AutoresetMode.DISABLED and over.any():
            shown.append(env.reset(options={"reset_mask": over}))
    return shown


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@given(size=st.integers(1, 5))
def test_a_stack_holds_one_episode_and_what_a_single_environments_stack_would(mode: AutoresetMode, size: int) -> None:
    env = FrameStack(envs(mode, "state"), size)
    alone = FrameStackObservation(gym.make("Painted-v0", seen="state"), size)
    wanted = {}
    for episode in range(4):
        wanted[episode, 0] = alone.reset(seed=0 if episode == 0 else None)[0]
        wanted |= {(episode, age): alone.step(DO_NOTHING[0])[0] for age in (1, 2, 3)}
    for stacks, infos in told(env, 11, mode):
        assert stacks.shape == (3, size, 2)
        assert stacks in env.observation_space
        last = infos.get("final_obs")
        for stack in [*stacks, *([] if last is None else last)]:
            np.testing.assert_array_equal(stack, wanted[tuple(stack[-1].astype(int))])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_stacks_restart_one_by_one(mode: AutoresetMode) -> None:
    """Environments whose episodes end at different times do not disturb each other."""
    env = FrameStack(envs(mode, "parts"), 3)
    env.reset(seed=0)
    env.step(DO_NOTHING)
    observations, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert observations["state"][0].tolist() == [[0, 0], [0, 0], [0, 1]]
    assert observations["state"][1].tolist() == [[1, 0]] * 3
    for _ in range(2):
        observations, _, _, over, infos = env.step(DO_NOTHING)
    assert over.tolist() == [True, False, True]
    assert observations["state"][1].tolist() == [[1, 0], [1, 1], [1, 2]]
    if mode == AutoresetMode.SAME_STEP:
        assert observations["state"][0].tolist() == [[1, 0]] * 3
        assert infos["final_obs"][0]["state"].tolist() == [[0, 1], [0, 2], [0, 3]]
        assert infos["final_obs"][1] is None
    else:
        assert observations["state"][0].tolist() == [[0, 1], [0, 2], [0, 3]]


def test_what_was_shown_is_the_users_own() -> None:
    env = FrameStack(envs(seen="state"), 2)
    shown, _ = env.reset(seed=0)
    shown += 100
    assert env.step(DO_NOTHING)[0][0].tolist() == [[0, 0], [0, 1]]


def test_a_vector_that_does_not_say_when_it_resets_is_not_stacked() -> None:
    bare = envs()
    del bare.metadata["autoreset_mode"]
    with pytest.raises(InputError, match="does not say when it resets"):
        FrameStack(bare, 2)
    with pytest.raises(InputError, match="shows nothing: give a size of at least 1"):
        FrameStack(envs(), 0)


@pytest.mark.parametrize("seen", ["state", "parts"])
def test_pictures_of_a_vector_are_those_of_each_environment(seen: str) -> None:
    env = RenderObservation(envs(seen=seen), render_only=False, render_key="drawn")
    alone = AddRenderObservation(gym.make("Painted-v0", seen=seen), render_only=False, render_key="drawn")
    assert env.single_observation_space == alone.observation_space
    shown, _ = env.reset(seed=0)
    for _ in range(6):
        assert shown in env.observation_space
        for i in range(3):
            episode, age = shown["state"][i].astype(int)
            seen_now = np.random.default_rng([i, episode, age, 0]).integers(0, 256, (24, 24, 3), np.uint8)
            np.testing.assert_array_equal(shown["drawn"][i], seen_now)
        shown, *_ = env.step(DO_NOTHING)


def test_pictures_that_cannot_be_taken_are_refused() -> None:
    with pytest.raises(InputError, match=r"no last picture of an episode"):
        RenderObservation(envs(AutoresetMode.SAME_STEP))
    with pytest.raises(InputError, match=r"has a 'front' already: give another render_key"):
        RenderObservation(envs(seen="parts"), render_only=False, render_key="front")
    blind = gym.make_vec("Painted-v0", 2, vectorization_mode="sync", render_mode=None)
    with pytest.raises(InputError, match='render no pictures: make them with render_mode="rgb_array"'):
        RenderObservation(blind)
