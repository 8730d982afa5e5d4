"""TorchRL's environments and buffers with features instead of pixels."""

from typing import Any

import gymnasium as gym
import pytest
import torch

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError

pytest.importorskip("torchrl", reason="TorchRL is not installed: pip install 'ssl-robot[torchrl]'")

from tensordict import TensorDict
from torchrl.envs import GymWrapper, SerialEnv, TransformedEnv
from torchrl.envs.utils import check_env_specs

from ssl_robot.plugins.torchrl import EncoderTransform


def world(seen: str = "image") -> Any:
    return GymWrapper(gym.make("Painted-v0", seen=seen))


def test_an_environment_gives_features_as_its_spec_says(encoder: Encoder) -> None:
    env, bare = TransformedEnv(world(), EncoderTransform(encoder)), world()
    check_env_specs(env)
    rolled = env.rollout(3)
    assert rolled["features"].shape == (3, 128)
    assert "pixels" not in rolled["next"]
    bare.set_seed(0)
    env.set_seed(0)
    frame = bare.reset()["pixels"]
    torch.testing.assert_close(env.reset()["features"], encoder(frame[None])[0], atol=1e-5, rtol=0)


def test_environments_side_by_side_are_encoded_in_one_pass(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = EncoderTransform(encoder, ["front", "wrist"], ["a", "b"], del_keys=False)
    env = TransformedEnv(SerialEnv(2, lambda: world("parts")), looks)
    passes: list[int] = []
    seen_by = looks.encoder.features
    monkeypatch.setattr(looks.encoder, "features", lambda images, *layer: passes.append(len(images)) or seen_by(images))
    shown = env.rollout(3, break_when_any_done=False)
    assert set(passes) == {4}
    assert shown["a"].shape == shown["b"].shape == (2, 3, 128)
    assert shown["observation"].shape == (2, 3, 2)  # what TorchRL calls a state
    torch.testing.assert_close(shown["b"][1], encoder(shown["wrist"][1]), atol=1e-5, rtol=0)


def test_features_can_be_learnt_from(encoder: Encoder) -> None:
    transform = EncoderTransform(encoder)
    assert not list(p for p in transform.parameters() if p.requires_grad)
    seen = transform.train()(TensorDict({"pixels": torch.zeros(2, 5, 24, 24, 3, dtype=torch.uint8)}, [2, 5]))
    layer = torch.nn.Linear(128, 1)
    layer(seen["features"]).sum().backward()
    assert layer.weight.grad is not None


def test_an_encoder_that_learns_elsewhere_is_copied(encoder: Encoder) -> None:
    learning = Encoder.fresh(encoder.card, 0).train()
    transform = EncoderTransform(learning)
    assert learning.training
    assert all(weights.requires_grad for weights in learning.parameters())
    assert not transform.encoder.training


def test_keys_that_are_not_there_are_named(encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"no 'camera' to encode: give in_keys out of \['pixels'\]"):
        TransformedEnv(world(), EncoderTransform(encoder, ["camera"])).observation_spec  # noqa: B018
    with pytest.raises(InputError, match="1 in_keys and 2 out_keys"):
        EncoderTransform(encoder, ["pixels"], ["a", "b"])
