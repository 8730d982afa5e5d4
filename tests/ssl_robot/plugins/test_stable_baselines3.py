"""Stable-Baselines3 learning on top of an encoder: what it stores, trains, saves and loads."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

import ssl_robot
from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.plugins.stable_baselines3 import SSLExtractor, VecEncodeObservation, save

DO_NOTHING = np.zeros((2, 2), np.float32)
SHORT = {"n_steps": 8, "batch_size": 8, "n_epochs": 2, "device": "cpu", "seed": 0}


def envs(seen: str = "image") -> Any:
    made = make_vec_env("Painted-v0", 2, env_kwargs={"seen": seen})
    made.seed(0)
    return made


def painted(encoder: Encoder, *picture: int) -> Any:
    rng = np.random.default_rng([*picture, *[0] * (4 - len(picture))])
    return encoder(rng.integers(0, 256, (1, 24, 24, 3), np.uint8))[0].numpy()


def weights(module: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def extractor(encoder: Any, **settings: Any) -> dict[str, Any]:
    return {"features_extractor_class": SSLExtractor, "features_extractor_kwargs": {"encoder": encoder, **settings}}


def test_features_are_shown_of_what_comes_and_of_what_episodes_ended_with(encoder: Encoder) -> None:
    seen = VecEncodeObservation(envs(), encoder)
    assert seen.observation_space == gym.spaces.Box(-np.inf, np.inf, (128,), np.float32)
    np.testing.assert_allclose(seen.reset(), [painted(encoder, i, 0, 0) for i in range(2)], atol=1e-5)
    for _ in range(3):
        observations, _, dones, infos = seen.step(DO_NOTHING)
    assert dones.all()
    np.testing.assert_allclose(observations, [painted(encoder, i, 1, 0) for i in range(2)], atol=1e-5)
    for i in range(2):
        np.testing.assert_allclose(infos[i]["terminal_observation"], painted(encoder, i, 0, 3), atol=1e-5)
    assert infos[1]["TimeLimit.truncated"]


def test_cameras_and_state_stand_side_by_side(encoder: Encoder) -> None:
    seen = VecEncodeObservation(envs("parts"), encoder, keep=["state"])
    observations = seen.reset()
    assert {name: value.shape for name, value in observations.items()} == {
        "front": (2, 128), "state": (2, 2), "wrist": (2, 128)
    }  # fmt: skip
    for _ in range(3):
        _, _, _, infos = seen.step(DO_NOTHING)
    last = infos[0]["terminal_observation"]
    np.testing.assert_allclose(last["wrist"], painted(encoder, 0, 0, 3, 1), atol=1e-5)
    assert last["state"].tolist() == [0, 3]
    PPO("MultiInputPolicy", seen, **SHORT).learn(16)


def test_stacks_of_features_are_stable_baselines_own(encoder: Encoder) -> None:
    stacked = VecFrameStack(VecEncodeObservation(envs(), encoder), 3)
    stacked.reset()
    assert stacked.step(DO_NOTHING)[0].shape == (2, 384)


def test_policy_and_encoder_are_saved_together(encoder: Encoder, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", VecFrameStack(VecEncodeObservation(envs(), encoder), 2), **SHORT).learn(16)
    save(model, tmp_path)
    again = PPO.load(tmp_path / "policy", VecFrameStack(VecEncodeObservation.load(tmp_path, envs()), 2))
    observations = again.get_env().reset()
    wanted, _ = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(again.predict(observations, deterministic=True)[0], wanted)
    assert same(weights(ssl_robot.load(tmp_path)), weights(encoder))
    again.learn(16)


def test_statistics_of_features_are_saved_with_a_policy_that_saw_them_normalised(
    encoder: Encoder, tmp_path: Path
) -> None:
    model = PPO("MlpPolicy", VecNormalize(VecEncodeObservation(envs(), encoder)), **SHORT).learn(32)
    save(model, tmp_path)
    with pytest.warns(UserWarning, match="wrap what this gives in VecNormalize.load"):
        looked = VecEncodeObservation.load(tmp_path, envs())
    again = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), looked)
    features = looked.reset()
    np.testing.assert_array_equal(again.normalize_obs(features), model.get_vec_normalize_env().normalize_obs(features))
    save(PPO("MlpPolicy", VecEncodeObservation(envs(), encoder), **SHORT), tmp_path)
    assert not (tmp_path / "vecnormalize.pkl").exists()


def test_what_cannot_be_saved_or_loaded_is_said(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looks through no VecEncodeObservation: model.save\(FILE\)"):
        save(PPO("CnnPolicy", envs(), policy_kwargs=extractor(encoder), **SHORT), tmp_path)
    with pytest.raises(InputError, match="There is no policy in"):
        VecEncodeObservation.load(tmp_path, envs())


@pytest.mark.parametrize("freeze", [True, False])
def test_learning_moves_the_encoder_only_if_it_shall_and_never_batch_norm(encoder: Encoder, freeze: bool) -> None:
    kept = weights(encoder)
    model = PPO("CnnPolicy", envs(), policy_kwargs=extractor(encoder, freeze=freeze), **SHORT)
    before = weights(model.policy.features_extractor)
    assert same({f"encoder.{name}": value for name, value in kept.items()}, before)  # not drawn anew
    model.learn(32)
    after = weights(model.policy.features_extractor)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert not any("running" in name for name in moved)
    assert bool(moved) != freeze
    assert same(weights(encoder), kept)  # the one that was given is its owner's


def test_target_networks_do_not_wear_a_frozen_encoder_down(encoder: Encoder) -> None:
    settings: dict[str, Any] = {"learning_starts": 8, "batch_size": 4, "buffer_size": 50, "device": "cpu", "seed": 0}
    model = SAC("CnnPolicy", envs(), policy_kwargs=extractor(encoder), **settings).learn(30)
    for network in (model.actor, model.critic, model.critic_target):
        assert same(weights(encoder), weights(network.features_extractor.encoder))
    assert not any(name.startswith("features_extractor.encoder") for name, _ in model.actor.named_parameters())


@pytest.mark.parametrize("freeze", [True, False])
def test_a_model_with_an_extractor_acts_the_same_when_it_is_loaded(
    encoder: Encoder, run: Path, tmp_path: Path, freeze: bool
) -> None:
    for given in (encoder, str(run)):
        model = SAC("MultiInputPolicy", envs("parts"), policy_kwargs=extractor(given, freeze=freeze), buffer_size=50)
        model.learn(4)
        model.save(tmp_path / "model")
        seen = envs("parts").reset()
        wanted, _ = model.predict(seen, deterministic=True)
        np.testing.assert_array_equal(SAC.load(tmp_path / "model").predict(seen, deterministic=True)[0], wanted)


def test_stacked_frames_are_encoded_one_by_one(encoder: Encoder) -> None:
    stacked = VecFrameStack(envs(), 2)
    model = PPO("CnnPolicy", stacked, policy_kwargs=extractor(encoder), **SHORT)
    stacked.reset()
    observations, *_ = stacked.step(DO_NOTHING)
    found = model.policy.extract_features(model.policy.obs_to_tensor(observations)[0])
    wanted = [np.concatenate([painted(encoder, i, 0, 0), painted(encoder, i, 0, 1)]) for i in range(2)]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("count", [2, 9, 12])
def test_stacks_deeper_than_frames_are_wide_are_stacks(encoder: Encoder, count: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (count, 24, 24, 3), np.uint8)
    wanted = encoder(frames).reshape(1, -1)
    first = torch.from_numpy(frames).permute(0, 3, 1, 2).reshape(1, 3 * count, 24, 24) / 255
    last = torch.from_numpy(frames).permute(1, 2, 0, 3).reshape(1, 24, 24, 3 * count) / 255
    for given in (first, last):
        space = gym.spaces.Box(0, 255, given.shape[1:], np.uint8)
        torch.testing.assert_close(SSLExtractor(space, encoder)(given), wanted, atol=1e-5, rtol=0)


def test_floats_are_taken_as_their_space_says(encoder: Encoder) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8)
    wanted, floats = encoder(frames), torch.from_numpy(frames).float()
    first = floats.permute(0, 3, 1, 2)
    for most, given in ((1, floats / 255), (255, floats), (1, first / 255), (255, first)):
        space = gym.spaces.Box(0, most, given.shape[1:], np.float32)
        torch.testing.assert_close(SSLExtractor(space, encoder)(given), wanted, atol=1e-5, rtol=0)


def test_frames_are_never_divided_twice_or_not_at_all(encoder: Encoder) -> None:
    space = gym.spaces.Box(0, 255, (3, 24, 24), np.uint8)
    frames = torch.arange(3 * 24 * 24).reshape(1, 3, 24, 24).float() % 256
    with pytest.raises(InputError, match="had not been divided by 255: say normalize_images=False in"):
        SSLExtractor(space, encoder)(frames)
    with pytest.raises(InputError, match="had been divided by 255 already"):
        SSLExtractor(space, encoder, normalize_images=False)(frames / 255)
    with pytest.raises(InputError, match="values below 0: leave normalising to the encoder"):
        SSLExtractor(space, encoder)(frames / 255 - 0.5)


def test_observations_that_cannot_be_encoded_are_named(encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"no image \(it is float64 of \(2,\)\)"):
        SSLExtractor(gym.spaces.Box(-1, 1, (2,), np.float64), encoder)
    with pytest.raises(InputError, match=r"in \[-1, 1\]: give uint8, or floats in \[0, 1\]"):
        SSLExtractor(gym.spaces.Box(-1, 1, (3, 24, 24), np.float32), encoder)
