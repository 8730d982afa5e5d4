"""Learning by trial and error with Stable-Baselines3, in an arena seen through features; it is loaded only here."""

import contextlib
import importlib.util
import random
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.arena import Arena
from ssl_robot.errors import InputError
from ssl_robot.frames import Seen
from ssl_robot.probing.moments import Eye

_ROUND = 128  # steps of each copy between two updates of PPO


def check_installed() -> None:
    """Stable-Baselines3 is an extra.

    Raises:
        InputError: If it is missing.
    """
    if importlib.util.find_spec("stable_baselines3") is None:
        raise InputError("Stable-Baselines3 is not installed: pip install 'ssl-robot[reinforcement]'.")


class Trials:
    """What Stable-Baselines3 asks of a vector of environments, over an arena.

    Copies whose episode is over begin the next one at once; what was seen last stands in their ``info``. Actions are
    shares of an action's range, in [-1, 1].

    Args:
        arena: Where to act.
        eye: Through which it is seen.
        copies: How many act side by side.
        scenes: Seeds of the episodes.
    """

    def __init__(self, arena: Arena, eye: Eye, copies: int, scenes: Iterator[int]) -> None:
        self.eye = eye
        self._arena, self._copies, self._scenes = arena, copies, scenes
        low, high = arena.actions
        self._middle, self._half = (low + high) / 2, (high - low) / 2
        self._actions = np.zeros((copies, len(low)))

    @property
    def spaces(self) -> tuple[gym.spaces.Box, gym.spaces.Box]:
        """Of observations and actions."""
        seen = gym.spaces.Box(-np.inf, np.inf, (self.eye.width,), np.float32)
        return seen, gym.spaces.Box(-1, 1, self._middle.shape, np.float32)

    def scaled(self, shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """Actions of the world."""
        return self._middle + self._half * np.asarray(shares, np.float64)

    def reset(self) -> NDArray[np.float32]:
        """Begin an episode in every copy."""
        return self.eye(self._arena.begin([next(self._scenes) for _ in range(self._copies)], self.eye.sees))

    def step_async(self, actions: NDArray[np.floating]) -> None:
        """What to do next."""
        self._actions = self.scaled(actions)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Do it: features, rewards, which episodes are over, and what was seen last in those."""
        step = self._arena.step(self._actions)
        features = self.eye(step.seen)
        infos: list[dict[str, Any]] = [{} for _ in features]
        ended = np.flatnonzero(step.over)
        for i in ended:
            infos[i] = {"terminal_observation": features[i].copy(), "TimeLimit.truncated": bool(step.cut[i])}
        if len(ended):
            begun = self._arena.again({int(i): next(self._scenes) for i in ended})
            features[ended] = self.eye(Seen(begun.frames[ended], {n: v[ended] for n, v in begun.labels.items()}))
        return features, step.rewards.astype(np.float32), step.over, infos

    def close(self) -> None:
        """The arena is closed by whoever opened it."""

    def has_attr(self, attr_name: str) -> bool:
        """Environments have no attributes to be asked for."""
        return False

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Nothing, for each copy."""
        return [None] * self._copies

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Nothing is set."""

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Nothing is called."""
        return [None] * self._copies

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Nothing is wrapped."""
        return [False] * self._copies


class Learnt:
    """A policy at its best guess: an ``Actor``.

    Args:
        model: Stable-Baselines3's.
        world: That it learnt in.
    """

    def __init__(self, model: Any, world: Trials) -> None:
        self._model, self._world = model, world

    def begin(self, seeds: Sequence[int]) -> None:
        """Nothing to forget."""

    def act(self, seen: Seen) -> NDArray[np.floating]:
        """An action for each copy."""
        shares, _ = self._model.predict(self._world.eye(seen), deterministic=True)
        return self._world.scaled(shares)


def learnt(algorithm: Literal["ppo", "sac"], world: Trials, interactions: int, seed: int) -> Learnt:
    """A policy after so many interactions, over all copies together.

    Args:
        algorithm: With Stable-Baselines3's settings; PPO's rounds have 128 steps of each copy, and SAC makes as many
            updates as interactions.
        world: Where it learns, as ``vector`` makes it.
        interactions: At least; whole rounds are made.
        seed: Of weights and actions; Stable-Baselines3 seeds all of Python for it, which is undone afterwards.
    """
    from stable_baselines3 import PPO, SAC

    usual: dict[str, Any] = {"seed": seed, "device": "cpu"}
    with _undisturbed():
        if algorithm == "ppo":
            model: Any = PPO("MlpPolicy", world, n_steps=_ROUND, **usual)  # type: ignore[arg-type,unused-ignore]
        else:
            model = SAC("MlpPolicy", world, gradient_steps=-1, **usual)  # type: ignore[arg-type,unused-ignore]
        model.learn(interactions)
    return Learnt(model, world)


def vector(arena: Arena, eye: Eye, copies: int, scenes: Iterator[int]) -> Trials:
    """Trials that Stable-Baselines3 takes for one of its own vectors, without being loaded before it is needed."""
    from stable_baselines3.common.vec_env import VecEnv

    kind: Any = type("Vector", (Trials, VecEnv), {})
    made: Trials = kind(arena, eye, copies, scenes)
    VecEnv.__init__(made, copies, *made.spaces)  # type: ignore[arg-type,unused-ignore]
    return made


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Puts every generator back where it was."""
    numbers, own = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numbers)
        random.setstate(own)
