"""Recording what an environment shows while anything at all acts in it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from ssl_robot.envs.watch import Watch
from ssl_robot.envs.world import Sight, World, adapted, provenance
from ssl_robot.errors import InputError
from ssl_robot.frames import EpisodeSink, FrameSink, Row, Schema


class Episodes:
    """Rows of one environment on their way to a sink, one episode after the other.

    A row is held back until the next step or the end is known, so that an episode cut short by a reset can say so.

    Args:
        sink: Where rows go; opened by whoever knows the schema.
        independent: Episodes are one row long and have nothing to do with each other.
        allow_static: Record frames although they show nothing or never change.
        attributes: Numbers and texts about every episode, as its policy.
    """

    def __init__(
        self, sink: FrameSink, independent: bool, allow_static: bool, attributes: Mapping[str, Any] | None
    ) -> None:
        self._sink, self._independent, self._attributes = sink, independent, dict(attributes or {})
        self._watch = None if allow_static else Watch()
        self._episode: EpisodeSink | None = None
        self._look: Row | None = None
        self._held: Row | None = None
        self._steps = 0
        self.rows = 0

    def begin(self, look: Row, seed: int | None) -> None:
        """The first look of an episode; one that is still open was cut short."""
        self.cut()
        self._seen(look)
        self._episode = self._sink.begin(seed, self._attributes, self._independent)
        self._steps = 0

    def step(
        self,
        action: Any,
        look: Row,
        reward: float,
        terminated: bool,
        truncated: bool,
        period: float,
        success: bool | None,
    ) -> None:
        """What was done about the last look, and the next one.

        Raises:
            ResetNeeded: If no episode has begun, or the last one is over.
        """
        if self._episode is None or self._look is None:
            raise gym.error.ResetNeeded(
                "No episode is open to record this step in: call reset() first; where an environment shall reset "
                "itself, put gymnasium.wrappers.Autoreset around the recorder, not inside it."
            )
        self._release()
        numbers = {**self._look.labels, "actions": np.array(action, np.float64).reshape(-1)}
        time = self._steps * period
        self._held = replace(
            self._look, labels=numbers, reward=reward, terminated=terminated, truncated=truncated, time=time
        )
        self._steps += 1
        self.rows += 1
        self._seen(look)
        if terminated or truncated:
            self._end(success)

    def cut(self) -> None:
        """End an open episode where it is."""
        if self._held is not None:
            self._held = replace(self._held, truncated=not self._held.terminated)
            self._end(None)
        elif self._episode is not None:
            self._episode.end()
            self._episode = None

    def _seen(self, look: Row) -> None:
        self._look = look
        if self._watch is not None:
            self._watch.look(look.frames)

    def _release(self) -> None:
        if self._held is not None and self._episode is not None:
            self._episode.add(self._held)
            self._held = None

    def _end(self, success: bool | None) -> None:
        self._release()
        assert self._episode is not None
        assert self._look is not None
        self._episode.end(self._look.frames, success)
        self._episode = None


class RecordFrames(gym.Wrapper[Any, Any, Any, Any]):
    """Records every episode of an environment, whoever acts in it.

    >>> from ssl_robot.datasets.writer import FrameWriter  # doctest: +SKIP
    >>> bare = gym.make("Reacher-v5", render_mode="rgb_array")  # doctest: +SKIP
    >>> with FrameWriter("reacher.h5") as store, RecordFrames(bare, store) as env:  # doctest: +SKIP
    ...     env.reset(seed=0)

    The environment is closed before the store, as it is here: a row waits in it until the next step is known.

    Args:
        env: The environment, or a world that was made by ``ssl_robot.envs.world.make``.
        store: Where rows go.
        sight: How to look; if not given, 96 pixels through the camera the environment renders with.
        rows: How many are expected, to see early whether they fit on the disk.
        independent: Every episode is one row that has nothing to do with the next (independent resets).
        allow_static: Record frames although they show nothing or never change.
        attributes: Numbers and texts about every episode, as its policy.

    Raises:
        StaticError: By ``step`` and ``reset``, if 30 frames in a row show one colour or are all equal.
        ResetNeeded: By ``step``, if no episode is open.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any] | World,
        store: FrameSink,
        sight: Sight | None = None,
        rows: int | None = None,
        independent: bool = False,
        allow_static: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.world = env if isinstance(env, World) else adapted(env, sight or Sight())
        super().__init__(self.world.env)
        store.open(self.world.schema, provenance(self.world), rows)
        self._episodes = Episodes(store, independent, allow_static, attributes)

    @property
    def rows(self) -> int:
        """Rows recorded so far."""
        return self._episodes.rows

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._episodes.begin(self.world.look(observation, info), seed)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act, and record what was seen before."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        look, done = self.world.look(observation, info), self.world.success(info)
        period = self.world.period
        self._episodes.step(action, look, float(reward), bool(terminated), bool(truncated), period, done)
        return observation, reward, terminated, truncated, info

    def cut(self) -> None:
        """End an open episode where it is."""
        self._episodes.cut()

    def close(self) -> None:
        """End an open episode and close the environment; the store is closed by whoever opened it."""
        self._episodes.cut()
        self.world.close()
        super().close()


class Looking(gym.Wrapper[Any, Any, Any, Any]):
    """Says in ``info`` what there is to see; goes around each environment of a vector that is to be recorded.

    Args:
        env: The environment.
        sight: How to look.
        seeds: First seed and step between seeds of episodes that are reset without one; ``None`` leaves them without.
    """

    def __init__(
        self, env: gym.Env[Any, Any] | World, sight: Sight | None = None, seeds: tuple[int, int] | None = None
    ) -> None:
        self.world = env if isinstance(env, World) else adapted(env, sight or Sight())
        super().__init__(self.world.env)
        self._seeds = seeds
        self.recorded = (self.world.schema, provenance(self.world), self.world.period)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is None and self._seeds is not None:
            first, step = self._seeds
            seed, self._seeds = first, (first + step, step)
        observation, info = self.env.reset(seed=seed, options=options)
        look = self.world.look(observation, info)
        return observation, {**info, "look": look, "seed": -1 if seed is None else seed}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        look, done = self.world.look(observation, info), self.world.success(info)
        noted = {"look": look, "acted": np.asarray(action), "achieved": -1 if done is None else int(done)}
        return observation, reward, terminated, truncated, {**info, **noted}

    def close(self) -> None:
        """Close the environment."""
        self.world.close()
        super().close()


class RecordVectorFrames(gym.vector.VectorWrapper):
    """Records every episode of every environment of a vector, however it resets them.

    Each environment inside is wrapped in ``Looking``:

    >>> envs = gym.vector.SyncVectorEnv([lambda: Looking(gym.make("Reacher-v5", render_mode="rgb_array"))])
    ... # doctest: +SKIP

    Args:
        env: The vector; resets by itself in the next step or the same step, or not at all.
        store: Where rows go.
        rows: How many to record; what comes after them is not.
        independent: Every episode is one row that has nothing to do with the next.
        allow_static: Record frames although they show nothing or never change.
        attributes: Numbers and texts about every episode.

    Raises:
        StaticError: By ``step`` and ``reset``, if 30 frames in a row show one colour or are all equal.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        store: FrameSink,
        rows: int | None = None,
        independent: bool = False,
        allow_static: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(env)
        schema, origin, self._period = _described(env)
        store.open(schema, origin, rows)
        self._episodes = [Episodes(store, independent, allow_static, attributes) for _ in range(env.num_envs)]
        self._rows = rows

    @property
    def rows(self) -> int:
        """Rows recorded so far."""
        return sum(episodes.rows for episodes in self._episodes)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every environment, or in those of ``options["reset_mask"]``."""
        chosen = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        observations, infos = self.env.reset(seed=seed, options=options)
        for i in np.flatnonzero(chosen):
            self._begin(int(i), infos)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Act in every environment, and record what was seen before."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        for i in range(self.num_envs):
            if self._rows is not None and self.rows >= self._rows:
                break
            same = _says(infos, "final_info", i)
            last = infos["final_info"] if same else infos
            acted = _says(last, "acted", i)  # or else this step was the reset
            if acted:
                self._episodes[i].step(
                    last["acted"][i],
                    last["look"][i],
                    float(rewards[i]),
                    bool(terminations[i]),
                    bool(truncations[i]),
                    self._period,
                    None if last["achieved"][i] < 0 else bool(last["achieved"][i]),
                )
            if same or not acted:
                self._begin(i, infos)
        return observations, rewards, terminations, truncations, infos

    def _begin(self, i: int, infos: dict[str, Any]) -> None:
        seed = int(infos["seed"][i])
        self._episodes[i].begin(infos["look"][i], None if seed < 0 else seed)

    def close(self, **kwargs: Any) -> None:
        """End open episodes and close the environments."""
        for episodes in self._episodes:
            episodes.cut()
        self.env.close(**kwargs)


def _says(infos: dict[str, Any], name: str, i: int) -> bool:
    """Whether environment ``i`` of a vector has said something of that name."""
    return name in infos and bool(infos[f"_{name}"][i])


def _described(env: gym.vector.VectorEnv[Any, Any, Any]) -> tuple[Schema, dict[str, Any], float]:
    """Schema, provenance and period of the environments inside, which are all alike."""
    try:
        found: tuple[Schema, dict[str, Any], float] = env.call("recorded")[0]  # type: ignore[attr-defined]
    except AttributeError:
        raise InputError(
            "The environments of this vector do not say what they show: wrap each of them in ssl_robot.envs.record."
            "Looking before they are put together."
        ) from None
    return found
