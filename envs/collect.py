"""From a simulator to frames: reset, look, act, write down."""

import contextlib
import itertools
import json
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

import ssl_robot.envs.explorers
from ssl_robot import catalogue
from ssl_robot.envs import world as worlds
from ssl_robot.envs.exploration import Explorer, noisy
from ssl_robot.envs.record import Looking, RecordFrames, RecordVectorFrames
from ssl_robot.envs.world import Sight, World
from ssl_robot.errors import InputError
from ssl_robot.frames import FrameSink

_DELAY = 0.1  # seconds before there is a progress bar: a refusal is a sentence and nothing else


@dataclass(frozen=True)
class Plan:
    """What to collect.

    Attributes:
        frames: Observations before an action; final observations come on top.
        reset_every: Steps after which an episode is cut short; 0 lets it run to its own end.
        explorer: Name of a file in ``explorers/``.
        noise: Standard deviation of noise on its actions, in half the range of each.
        seed: Seeds the explorer and, counting up, every episode.
        num_envs: Environments that run side by side, each in a process of its own.
        allow_static: Record frames although they show nothing or never change.
    """

    frames: int
    reset_every: int = 0
    explorer: str = "uniform"
    noise: float = 0.0
    seed: int = 0
    num_envs: int = 1
    allow_static: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1 or self.num_envs < 1 or min(self.reset_every, self.seed, self.noise) < 0:
            raise InputError(
                f"--frames {self.frames} --reset-every {self.reset_every} --seed {self.seed} --noise {self.noise} "
                f"--num-envs {self.num_envs}: give at least one frame and one environment, and no negative number."
            )
        catalogue.found(ssl_robot.envs.explorers, self.explorer)

    @property
    def independent(self) -> bool:
        """Whether every row is an episode of its own."""
        return self.reset_every == 1

    @property
    def policy(self) -> dict[str, Any]:
        """How these episodes came about, for the file."""
        return {"plan": json.dumps(vars(self))}


def collect(env_id: str, sight: Sight, sink: FrameSink, plan: Plan) -> None:
    """Record a plan's frames; an interrupt ends the open episodes, so that whole ones are left behind.

    Args:
        env_id: Environment.
        sight: How to look at it.
        sink: Where rows go.
        plan: How many, how often to reset, how to act.

    Raises:
        InputError: If the environment cannot be made or looked at, or shows nothing.
    """
    with tqdm(total=plan.frames, unit="frame", desc="collect", delay=_DELAY) as bar:
        if plan.num_envs > 1:
            _collect_side_by_side(env_id, sight, sink, plan, bar)
        else:
            _collect_alone(env_id, sight, sink, plan, bar)


def _world(env_id: str, sight: Sight, reset_every: int) -> World:
    world = worlds.make(env_id, sight)
    if world.stops:
        world.env = _StopAtSuccess(world)
    if reset_every:
        world.env = gym.wrappers.TimeLimit(world.env, reset_every)
    return world


class _StopAtSuccess(gym.Wrapper[Any, Any, Any, Any]):
    """Ends an episode where its task is done."""

    def __init__(self, world: World) -> None:
        super().__init__(world.env)
        self._world = world

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or bool(self._world.success(info)), truncated, info


def _explorer(world: World, plan: Plan, seed: int) -> Explorer:
    cls: Any = catalogue.found(ssl_robot.envs.explorers, plan.explorer)
    # numbers of their own: drawn from the seed itself, the first action and its noise would say what the scene is
    own, shake = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    return noisy(cls(world, own), world.env.action_space, plan.noise, shake)


def _collect_alone(env_id: str, sight: Sight, sink: FrameSink, plan: Plan, bar: "tqdm[Any]") -> None:
    world = _world(env_id, sight, plan.reset_every)
    with contextlib.closing(world.env):
        explorer = _explorer(world, plan, plan.seed)
        env = RecordFrames(world, sink, None, plan.frames, plan.independent, plan.allow_static, plan.policy)
        with contextlib.closing(env):
            for episode in itertools.count():
                observation, info = env.reset(seed=plan.seed + episode)
                explorer.reset()
                over = False
                while not over:
                    observation, _, terminated, truncated, info = env.step(explorer.act(observation, info))
                    bar.update()
                    over = terminated or truncated
                    if env.rows == plan.frames:
                        return


class _Acting(gym.Wrapper[Any, Any, Any, Any]):
    """An environment with its explorer, so that one in another process acts by itself, whatever it is told to do."""

    def __init__(self, env: Looking, explorer: Explorer) -> None:
        super().__init__(env)
        self._explorer = explorer
        self._seen: tuple[Any, dict[str, Any]] = (None, {})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._seen = self.env.reset(seed=seed, options=options)
        self._explorer.reset()
        return self._seen

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Let the explorer act."""
        observation, reward, terminated, truncated, info = self.env.step(self._explorer.act(*self._seen))
        self._seen = (observation, info)
        return observation, reward, terminated, truncated, info


def _acting(env_id: str, sight: Sight, plan: Plan, i: int) -> gym.Env[Any, Any]:
    world = _world(env_id, sight, plan.reset_every)
    world.told = True  # by the process that started this one
    # every environment has its own share of the seeds
    return _Acting(Looking(world, seeds=(plan.seed + i, plan.num_envs)), _explorer(world, plan, plan.seed + i))


def _collect_side_by_side(env_id: str, sight: Sight, sink: FrameSink, plan: Plan, bar: "tqdm[Any]") -> None:
    trial = worlds.make(env_id, sight)  # what there is to say about it is said here, not in another process
    trial.look(*trial.env.reset(seed=plan.seed))
    trial.close()
    trial.env.close()
    makers = [partial(_acting, env_id, sight, plan, i) for i in range(plan.num_envs)]
    with _held_back() as heed:
        with _deaf():  # spawned: a forked process hangs in the GL library
            vector = gym.vector.AsyncVectorEnv(makers, context="spawn", shared_memory=False)
        with contextlib.closing(vector):
            heed()
            env = RecordVectorFrames(vector, sink, plan.frames, plan.independent, plan.allow_static, plan.policy)
            with contextlib.closing(env), _ended(vector):
                env.reset()
                unused = vector.action_space.sample()
                while env.rows < plan.frames:
                    heed()
                    env.step(unused)
                    bar.update(env.rows - bar.n)


@contextlib.contextmanager
def _ended(vector: gym.vector.AsyncVectorEnv) -> Iterator[None]:
    """Ends the processes of a vector at an interrupt, whatever they are doing."""
    try:
        yield
    except KeyboardInterrupt:
        vector.close(terminate=True)
        raise


@contextlib.contextmanager
def _held_back() -> Iterator[Callable[[], None]]:
    """Holds Ctrl-C back until the function that this gives is called, or until it is pressed again.

    An interrupt in the middle of a step loses an answer of another process, for which closing would wait for ever.
    """
    pressed: list[int] = []

    def press(number: int, frame: Any) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield heed
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Processes started meanwhile do not hear Ctrl-C, which a terminal sends to all: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # whose start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
