"""Encoders in Gymnasium's environments, alone and side by side, and what their vectors lack: stacks and pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.pixels import Features, ready

Infos = dict[str, Any]


class EncodeObservation(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Shows features instead of images: of one environment, or of a vector, encoded together once a step.

    >>> env = gym.wrappers.AddRenderObservation(gym.make("Reacher-v5", render_mode="rgb_array"))  # doctest: +SKIP
    >>> env = EncodeObservation(env, "runs/reacher")  # doctest: +SKIP

    Images in the observation, or under several of its names, become float32 vectors (d,); what else it holds stays.

    Args:
        env: An environment, or a vector of environments, for which an ``EncodeVectorObservation`` comes back.
        encoder: An encoder, or what ``ssl_robot.load`` takes, with which ``env.spec`` can be written to a file too.
        images: Names of the images; all there are, if not given.
        keep: Names of what else is kept; everything, if not given. With ``()`` a single image's features are the whole
            observation.
        device: Where the encoder computes, if it shall be moved.

    Raises:
        InputError: If there is no image, or nothing of a name that was given.
    """

    def __new__(cls, env: Any = None, *settings: Any, **named: Any) -> Any:
        """One wrapper for an environment, another for a vector."""
        if isinstance(env, gym.vector.VectorEnv):
            return EncodeVectorObservation(env, *settings, **named)
        return super().__new__(cls)

    def __init__(
        self,
        env: gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any],
        encoder: Encoder | str | Path,
        images: Sequence[str] | None = None,
        keep: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        assert isinstance(env, gym.Env)  # a vector has become another wrapper
        _record(self, encoder, images, keep, device)
        gym.ObservationWrapper.__init__(self, env)
        self._features = Features(env.observation_space, ready(encoder, device), images, keep)
        self.observation_space = self._features.space

    def observation(self, observation: Any) -> Any:
        """The observation with features in the place of images."""
        return self._features.one(observation)


class EncodeVectorObservation(gym.vector.VectorWrapper[Any, Any, Any, Any, Any], RecordConstructorArgs):
    """Shows features instead of the images of several environments, in one forward pass a step.

    What episodes ended with, in ``infos["final_obs"]`` of vectors that reset in the same step, is encoded in that pass.

    Args:
        env: The vector, synchronous or asynchronous.
        encoder: As for ``EncodeObservation``, like the rest.
        images: Names of the images.
        keep: Names of what else is kept.
        device: Where the encoder computes.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        encoder: Encoder | str | Path,
        images: Sequence[str] | None = None,
        keep: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        _record(self, encoder, images, keep, device)
        super().__init__(env)
        self._features = Features(env.single_observation_space, ready(encoder, device), images, keep)
        self.single_observation_space = self._features.space
        self.observation_space = batch_space(self._features.space, self.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Begin episodes."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._features.batch(observations)[0], infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Infos]:
        """Act in every environment."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        ended = _ended(infos)
        observations, last = self._features.batch(observations, [infos["final_obs"][i] for i in ended])
        return observations, rewards, terminations, truncations, _with_last(infos, ended, last)


class RenderObservation(gym.vector.VectorWrapper[Any, Any, Any, Any, Any], RecordConstructorArgs):
    """Shows what a vector's environments render: gymnasium's ``AddRenderObservation``, which knows no vectors.

    Args:
        env: The vector, made with ``render_mode="rgb_array"``; it is reset to see how large its pictures are.
        render_only: Whether the picture is the observation; if not, it stands beside what was observed.
        render_key: Name of the picture beside something.
        obs_key: Name of what was observed, where it has none.

    Raises:
        InputError: If nothing is rendered, the name is taken, or the vector resets in the same step: the last picture
            of an episode could not be taken any more.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        render_only: bool = True,
        render_key: str = "pixels",
        obs_key: str = "state",
    ) -> None:
        RecordConstructorArgs.__init__(self, render_only=render_only, render_key=render_key, obs_key=obs_key)
        super().__init__(env)
        if _mode(env) == AutoresetMode.SAME_STEP:
            raise InputError(
                "A vector that resets in the same step shows no last picture of an episode: put gymnasium's "
                "AddRenderObservation around each environment, or let it reset in the next step."
            )
        self._only, self._picture, self._rest = render_only, render_key, obs_key
        env.reset()
        picture = gym.spaces.Box(0, 255, self._pictures().shape[1:], np.uint8)
        self.single_observation_space = self._space(env.single_observation_space, picture)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def _space(self, observed: gym.Space[Any], picture: gym.spaces.Box) -> gym.Space[Any]:
        if self._only:
            return picture
        rest = observed.spaces if isinstance(observed, gym.spaces.Dict) else {self._rest: observed}
        if self._picture in rest:
            raise InputError(f"The observation has a '{self._picture}' already: give another render_key.")
        return gym.spaces.Dict({**rest, self._picture: picture})

    def _pictures(self) -> NDArray[np.uint8]:
        frames = self.env.render()
        if frames is None or not all(isinstance(frame, np.ndarray) for frame in frames):
            raise InputError('The environments render no pictures: make them with render_mode="rgb_array".')
        return np.stack(frames)

    def _shown(self, observations: Any) -> Any:
        if self._only:
            return self._pictures()
        rest = observations if isinstance(observations, Mapping) else {self._rest: observations}
        return {**rest, self._picture: self._pictures()}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Begin episodes."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._shown(observations), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Infos]:
        """Act in every environment."""
        observations, *rest, infos = self.env.step(actions)
        return (self._shown(observations), *rest, infos)


class FrameStack(gym.vector.VectorWrapper[Any, Any, Any, Any, Any], RecordConstructorArgs):
    """Shows the last few observations of each environment of a vector, none of them from an earlier episode.

    Around ``EncodeObservation`` each frame is encoded once; inside, as often as it is in the stack. What begins an
    episode is repeated, as by gymnasium's ``FrameStackObservation`` for one environment.

    Args:
        env: The vector, of arrays or of names with arrays; resets by itself in the next step or the same, or not.
        size: How many observations, the oldest first: (environments, size, ...).

    Raises:
        InputError: If the size is none, or the vector does not say when it resets.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any], size: int) -> None:
        RecordConstructorArgs.__init__(self, size=size)
        super().__init__(env)
        if size < 1:
            raise InputError(f"A stack of {size} observations shows nothing: give a size of at least 1.")
        self._size, self._resets = size, _mode(env)
        self.single_observation_space = batch_space(env.single_observation_space, size)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._stacks: Any = None
        self._over = np.zeros(self.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Begin episodes in all environments, or in those of ``options["reset_mask"]``; the others' stacks stay."""
        begun = np.array((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        observations, infos = self.env.reset(seed=seed, options=options)
        fresh = _mapped(self._repeated, observations)
        self._stacks = fresh if begun.all() else _mapped(_chosen(begun), fresh, self._stacks)
        self._over = self._over & ~begun
        return _mapped(np.copy, self._stacks), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Infos]:
        """Act in every environment."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        over = terminations | truncations
        ended = _ended(infos)
        last = [
            _mapped(lambda stack, seen, i=i: np.concatenate([stack[i, 1:], seen[None]]), self._stacks, one)
            for i, one in zip(ended, (infos["final_obs"][i] for i in ended), strict=True)
        ]
        begun = self._begun_with(over)
        moved = _mapped(lambda stack, now: np.concatenate([stack[:, 1:], now[:, None]], 1), self._stacks, observations)
        self._stacks = _mapped(_chosen(begun), _mapped(self._repeated, observations), moved) if begun.any() else moved
        self._over = over
        stacks = _mapped(np.copy, self._stacks)
        return stacks, rewards, terminations, truncations, _with_last(infos, ended, last)

    def _begun_with(self, over: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where observations are the first of an episode, given which episodes are over now."""
        if self._resets == AutoresetMode.NEXT_STEP:
            return self._over
        return over if self._resets == AutoresetMode.SAME_STEP else np.zeros_like(over)

    def _repeated(self, observations: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(observations[:, None], self._size, 1)


def _record(
    wrapper: RecordConstructorArgs,
    encoder: Encoder | str | Path,
    images: Sequence[str] | None,
    keep: Sequence[str] | None,
    device: str | None,
) -> None:
    """Note how a wrapper was made, for ``env.spec``; weights are not copied for it."""
    named = str(encoder) if isinstance(encoder, Path) else encoder
    lists = {name: None if value is None else list(value) for name, value in (("images", images), ("keep", keep))}
    RecordConstructorArgs.__init__(wrapper, _disable_deepcopy=True, encoder=named, device=device, **lists)


def _mode(env: gym.vector.VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = env.metadata.get("autoreset_mode")
    if not isinstance(mode, AutoresetMode):
        raise InputError(
            "This vector does not say when it resets its environments, and frames of two episodes could be taken for "
            'one: set env.metadata["autoreset_mode"] to a gymnasium.vector.AutoresetMode.'
        )
    return mode


def _ended(infos: Infos) -> list[int]:
    """Environments that have been reset in this step, and say what their episodes ended with."""
    return [int(i) for i in np.flatnonzero(infos["_final_obs"])] if "final_obs" in infos else []


def _with_last(infos: Infos, ended: Sequence[int], last: Sequence[Any]) -> Infos:
    if not ended:
        return infos
    final = np.full(len(infos["final_obs"]), None, object)
    for i, observation in zip(ended, last, strict=True):
        final[i] = observation
    return {**infos, "final_obs": final}


def _mapped(function: Callable[..., Any], *trees: Any) -> Any:
    """A function of arrays, for those under each name of observations that have names."""
    if isinstance(trees[0], Mapping):
        return {name: _mapped(function, *(tree[name] for tree in trees)) for name in trees[0]}
    return function(*trees)


def _chosen(mask: NDArray[np.bool_]) -> Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]:
    """Rows of the first array where the mask is set, of the second elsewhere."""
    return lambda yes, no: np.where(mask.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
