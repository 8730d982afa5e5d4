"""From a simulator to frames: reset, look, act, write down."""

import importlib.metadata
import json
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import ssl_robot.envs.explorers
import ssl_robot.envs.worlds
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.frames import FrameSink, Label, Row, Schema


class World(Protocol):
    """A simulator's adapter: one file in ``worlds/``."""

    env: gym.Env[Any, Any]
    camera: str
    LABELS: tuple[Label, ...]

    def frames(self, observation: Any) -> dict[str, NDArray[np.uint8]]:
        """What each camera sees."""

    def labels(self, observation: Any, info: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
        """What it means."""


@dataclass(frozen=True)
class Plan:
    """What to collect.

    Attributes:
        frames: Observations before an action; final observations come on top.
        reset_every: Steps after which an episode is cut short; 0 lets it run to its own end.
        explorer: Name of a file in ``explorers/``.
        seed: Seeds the explorer and, counting up, every episode.
    """

    frames: int
    reset_every: int = 0
    explorer: str = "uniform"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.reset_every < 0 or self.seed < 0:
            raise InputError(
                f"--frames {self.frames} --reset-every {self.reset_every} --seed {self.seed}: "
                "give at least one frame, and no negative number."
            )
        catalogue.found(ssl_robot.envs.explorers, self.explorer)


def world(env_id: str, size: int) -> World:
    """The adapter that knows an environment, with the environment made.

    Raises:
        InputError: If the size is not positive, no adapter knows it, or Gymnasium cannot make it.
    """
    if size < 8:
        raise InputError(f"A frame of {size} pixels shows nothing: give --size 8 or more.")
    for name in catalogue.names(ssl_robot.envs.worlds):
        adapter: Any = catalogue.found(ssl_robot.envs.worlds, name)
        if adapter.knows(env_id):
            try:
                made: World = adapter(env_id, size)
            except gym.error.Error as error:
                raise InputError(f"Gymnasium cannot make '{env_id}' ({error}): check its name and version.") from None
            return made
    known = ", ".join(catalogue.names(ssl_robot.envs.worlds))
    raise InputError(f"No world here knows the environment '{env_id}': there is {known}, as in gym_pusht/PushT-v0.")


def schema(env: World, size: int) -> Schema:
    """What each row of a recording of this world holds."""
    space = env.env.action_space
    if not isinstance(space, gym.spaces.Box):
        raise InputError(f"Actions of {space} cannot be recorded yet: only continuous (Box) actions can.")
    return Schema({env.camera: (size, size, 3)}, (*env.LABELS, Label.plain("actions", int(np.prod(space.shape)))))


def provenance(env: World, plan: Plan) -> dict[str, Any]:
    """Where the frames come from, for the file's root; ``env_args`` is what robomimic reads."""
    spec = env.env.spec
    assert spec is not None
    package = (spec.namespace or "gymnasium").replace("_", "-")
    return {
        "source": spec.id,
        "source_version": importlib.metadata.version(package),
        "fps": int(env.env.metadata.get("render_fps", 0)),
        "plan": json.dumps(vars(plan)),
        "env_args": json.dumps({"env_name": spec.id, "type": 2, "env_kwargs": spec.kwargs}, default=str),
    }


def collect(env: World, sink: FrameSink, plan: Plan) -> None:
    """Record a plan's frames; an interrupt between two rows leaves whole rows behind.

    Args:
        env: The world.
        sink: Where rows go.
        plan: How many, how often to reset, how to act.
    """
    explorer = catalogue.found(ssl_robot.envs.explorers, plan.explorer)(env.env.action_space, plan.seed)
    with tqdm(total=plan.frames, unit="frame", desc="collect") as bar:
        episode = 0
        while bar.n < plan.frames:
            _episode(env, sink, explorer, plan, plan.seed + episode, bar)
            episode += 1


def _episode(env: World, sink: FrameSink, explorer: Any, plan: Plan, seed: int, bar: "tqdm[Any]") -> None:
    observation, info = env.env.reset(seed=seed)
    sink.begin(seed)
    period = 1.0 / float(env.env.metadata.get("render_fps", 1) or 1)
    limit = min(plan.reset_every or plan.frames, plan.frames - int(bar.n))
    for step in range(limit):
        frames, labels, action = env.frames(observation), env.labels(observation, info), explorer.act()
        observation, reward, terminated, truncated, info = env.env.step(action)
        truncated = truncated or step + 1 == limit
        row = Row(frames, {**labels, "actions": action}, float(reward), terminated, truncated, step * period)
        sink.add(row)
        bar.update()
        if terminated or truncated:
            break
    sink.end(env.frames(observation), bool(info.get("is_success", False)))
