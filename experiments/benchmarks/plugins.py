"""What plugging an encoder in costs, and what it saves: wrappers, batches, learning, latency, memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.wrappers import AddRenderObservation
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from ssl_robot.encoder import Card, Encoder
from ssl_robot.envs.canvas import needs
from ssl_robot.experiments.benchmarks.timing import Timed, alternated
from ssl_robot.heap import keep_freed
from ssl_robot.plugins.gymnasium import EncodeObservation
from ssl_robot.plugins.stable_baselines3 import SSLExtractor, VecEncodeObservation

Table = tuple[str, str, list[Timed]]
_COPIES = 8
_NORMALISED = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_STORED, _KEPT = 1000, 100_000  # steps of the buffer that is measured, and of the one that is asked about
# beside the encoder in question: ResNet-18 at R3M's size, and EfficientNet-Lite0 at its own
_PEERS = (("resnet18-large", 224), ("timm:tf_efficientnet_lite0", 224))


@dataclass(frozen=True)
class Plan:
    """What is timed.

    Attributes:
        size: Height and width of frames, and the encoder's.
        backbone: Its network.
        frames: Encoded in a round.
        steps: Of each of eight copies of Reacher in a round of learning.
        rounds: How often each candidate takes its turn.
        threads: Of PyTorch.
    """

    size: int = 84
    backbone: str = "small"
    frames: int = 128
    steps: int = 8
    rounds: int = 15
    threads: int = 1


def run(plan: Plan) -> list[Table]:
    """Title, baseline and rows of each table.

    Raises:
        InputError: If Reacher cannot be drawn.
    """
    needs("gymnasium", "mujoco")
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    keep_freed()
    try:
        encoder = _encoder(plan.backbone, plan.size)
        wrapping = [_wrapping(plan, encoder, batch) for batch in (1, 16)]
        return [*wrapping, _together(plan, encoder), _learning(plan, encoder), _latency(plan), _memory(plan, encoder)]
    finally:
        torch.set_num_threads(before)


def _encoder(backbone: str, size: int) -> Encoder:
    return Encoder.fresh(Card(backbone, size, *_NORMALISED), seed=0).eval().requires_grad_(False)


def _frames(count: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


class _Still(gym.Env[Any, Any]):
    """Shows one frame for ever: whatever a step costs is not its own."""

    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, size: int) -> None:
        self._frame = _frames(1, size)[0]
        self.observation_space = gym.spaces.Box(0, 255, self._frame.shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self._frame, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._frame, 0.0, False, False, {}


def _wrapping(plan: Plan, encoder: Encoder, batch: int) -> Table:
    """Steps through wrappers beside steps whose frames are handed to the encoder by hand."""
    vector: Any = gym.vector.SyncVectorEnv([lambda: _Still(plan.size)] * batch)
    alone: Any = vector if batch > 1 else _Still(plan.size)
    envs, act = DummyVecEnv([lambda: _Still(plan.size)] * batch), np.zeros((batch, 2), np.float32)
    wrapped, seen = EncodeObservation(alone, encoder), VecEncodeObservation(envs, encoder)
    for world in (alone, envs, wrapped, seen):
        world.reset()

    def by_hand(world: Any, lone: bool) -> Callable[[], Any]:
        def step() -> Any:
            frames = world.step(act)[0]
            with torch.inference_mode():
                return encoder(frames[None] if lone else frames).numpy()

        return step

    steps: dict[str, Callable[[], Any]] = {
        "Gymnasium, by hand": by_hand(alone, batch == 1),
        "Gymnasium, EncodeObservation": lambda: wrapped.step(act),
        "Stable-Baselines3, by hand": by_hand(envs, False),
        "Stable-Baselines3, VecEncodeObservation": lambda: seen.step(act),
    }
    calls = max(1, plan.frames // batch)
    candidates = {name: _repeated(step, calls, batch) for name, step in steps.items()}
    title = f"wrappers around '{plan.backbone}' at {plan.size} px, {batch} at a time, {plan.threads} thread(s)"
    rows = alternated(candidates, next(iter(steps)), plan.rounds, title)
    for place in (1, 3):
        extra = rows[place - 1].ratio / rows[place].ratio - 1
        rows[place] = replace(rows[place], note=f"{extra:+.1%} on top of the bare encoder")
    return title, next(iter(steps)), rows


def _repeated(step: Callable[[], Any], calls: int, frames: int) -> Callable[[int], int]:
    def turn(number: int) -> int:
        for _ in range(calls):
            step()
        return calls * frames

    return turn


def _together(plan: Plan, encoder: Encoder) -> Table:
    """Eight environments in one vector, and eight wrapped one by one."""
    act = np.zeros((_COPIES, 2), np.float32)
    vector: Any = EncodeObservation(gym.vector.SyncVectorEnv([lambda: _Still(plan.size)] * _COPIES), encoder)
    alone: list[Any] = [EncodeObservation(_Still(plan.size), encoder) for _ in range(_COPIES)]
    for world in (vector, *alone):
        world.reset()
    steps: dict[str, Callable[[], Any]] = {
        "eight environments, one by one": lambda: [env.step(act[0]) for env in alone],
        "a vector of eight": lambda: vector.step(act),
    }
    calls = max(1, plan.frames // _COPIES)
    candidates = {name: _repeated(step, calls, _COPIES) for name, step in steps.items()}
    title = f"eight frames a step, '{plan.backbone}' at {plan.size} px, {plan.threads} thread(s)"
    return title, "eight environments, one by one", alternated(candidates, next(iter(steps)), plan.rounds, title)


def _learning(plan: Plan, encoder: Encoder) -> Table:
    """Rounds of PPO on Reacher's pixels: features outside of the policy, and inside."""
    looks = {"features_extractor_class": SSLExtractor, "features_extractor_kwargs": {"encoder": encoder}}
    settings: dict[str, Any] = {"n_steps": plan.steps, "batch_size": min(64, _COPIES * plan.steps), "device": "cpu"}
    worlds = [_reachers(plan) for _ in range(2)]
    inside = PPO("CnnPolicy", worlds[0], policy_kwargs=looks, **settings)
    outside = PPO("MlpPolicy", VecEncodeObservation(worlds[1], encoder), **settings)

    def learn(model: Any) -> Callable[[int], int]:
        def turn(number: int) -> int:
            model.learn(_COPIES * plan.steps)
            return _COPIES * plan.steps

        return turn

    title = f"PPO on Reacher at {plan.size} px, frozen '{plan.backbone}', {_COPIES} x {plan.steps} steps a round"
    candidates = {"SSLExtractor": learn(inside), "VecEncodeObservation": learn(outside)}
    rows = alternated(candidates, "SSLExtractor", plan.rounds, title)
    for world in worlds:
        world.close()
    return title, "SSLExtractor", rows


def _reachers(plan: Plan) -> VecEnv:
    drawn = {"render_mode": "rgb_array", "width": plan.size, "height": plan.size}
    return make_vec_env("Reacher-v5", _COPIES, 0, env_kwargs=drawn, wrapper_class=AddRenderObservation)


def _latency(plan: Plan) -> Table:
    """One frame at a time, as on a robot, through encoders of several sizes; each sees frames of its own size."""
    networks = ((plan.backbone, plan.size), *_PEERS)
    candidates: dict[str, Callable[[int], int]] = {}
    for backbone, size in networks:
        encoder, frame, calls = _encoder(backbone, size), _frames(1, size), max(1, plan.frames // 8)

        @torch.inference_mode()
        def look(encoder: Encoder = encoder, frame: NDArray[np.uint8] = frame) -> Any:
            return encoder(frame).numpy()

        candidates[f"{backbone} at {size} px"] = _repeated(look, calls, 1)
    title = f"one frame at a time, {plan.threads} thread(s)"
    rows = alternated(candidates, next(iter(candidates)), plan.rounds, title)
    noted = [replace(row, note=f"{1000 / row.frames_per_s:.1f} ms a frame") for row in rows]
    return title, rows[0].name, noted


def _memory(plan: Plan, encoder: Encoder) -> Table:
    """What a replay buffer holds of frames and of features: its arrays are made, filled, drawn from and measured."""
    frames = gym.spaces.Box(0, 255, (3, plan.size, plan.size), np.uint8)
    features = gym.spaces.Box(-np.inf, np.inf, (encoder.width,), np.float32)
    buffers = {"frames": _filled(frames), "features": _filled(features)}
    candidates = {name: _repeated(partial(buffer.sample, 256), 4, 256) for name, buffer in buffers.items()}
    title = (
        f"Stable-Baselines3's replay buffer of {plan.size} px frames and of {encoder.width} features, batches of 256"
    )
    rows = []
    for row in alternated(candidates, "frames", plan.rounds, title):
        arrays = [value for value in vars(buffers[row.name]).values() if isinstance(value, np.ndarray)]
        held = sum(array.nbytes for array in arrays) * _KEPT / _STORED / 1e9
        rows.append(replace(row, note=f"{held:.2f} GB for {_KEPT:,} steps ({_STORED:,} measured)"))
    return title, "frames", rows


def _filled(space: gym.spaces.Box) -> ReplayBuffer:
    buffer = ReplayBuffer(_STORED, space, gym.spaces.Box(-1, 1, (2,), np.float32), "cpu")
    rng = np.random.default_rng(0)
    for _ in range(_STORED):
        seen = rng.integers(0, 255, (1, *space.shape)).astype(space.dtype)
        buffer.add(seen, seen, np.zeros((1, 2)), np.zeros(1), np.zeros(1), [{}])
    return buffer
