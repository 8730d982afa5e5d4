"""What a simulator shows and what is where in it: the protocol of ``worlds/`` and what serves any environment."""

import importlib.metadata
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import ssl_robot.envs.worlds
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

Expert = Callable[[Any], NDArray[np.floating]]


class AspectWarning(UserWarning):
    """Pictures that are not square are squeezed into square frames."""


@dataclass(frozen=True)
class Sight:
    """How to look at a world.

    Attributes:
        size: Height and width of the frames, pixels.
        cameras: Names of cameras; none given: the one that the environment itself renders with.
        depth: Whether to measure distances too.
        render: ``fast`` leaves out shadows, reflections and smoothing where a simulator draws them in software.
        segmentation: Whether to note which body each pixel shows.
    """

    size: int = 96
    cameras: tuple[str, ...] = ()
    depth: bool = False
    render: Literal["fast", "full"] = "fast"
    segmentation: bool = False

    def __post_init__(self) -> None:
        if self.size < 8:
            raise InputError(f"A frame of {self.size} pixels shows nothing: give --size 8 or more.")
        for name in self.cameras:
            if self.cameras.count(name) > 1:
                raise InputError(f"Camera '{name}' is asked for more than once: name it once.")


class World:
    """Any environment: frames from ``render()``, labels from observations that are numbers.

    A picture that is not square is squeezed into a square frame, as every importer does with ``--size``: nothing at
    its sides is lost, which is where a cart or a car may be, and no bars are added, which an augmentation would crop
    into. A warning says so once.

    A file in ``worlds/`` is a subclass that knows a simulator better.

    Args:
        env: The environment, made with ``render_mode="rgb_array"`` unless a subclass needs none.
        sight: How to look.

    Raises:
        InputError: If the environment cannot be looked at like that.

    Attributes:
        told: Whether the user has heard that pictures are squeezed.
    """

    stops = False
    """Whether success should end an episode although the environment goes on."""

    def __init__(self, env: gym.Env[Any, Any], sight: Sight) -> None:
        self.env, self.sight, self.told = env, sight, False
        more = sight.cameras or sight.depth or sight.segmentation
        if type(self) is World and (env.render_mode != "rgb_array" or more):
            raise InputError(
                f"{name_of(env)} is drawn by its own render() only: make it with render_mode='rgb_array', "
                "and ask for no camera, no depth and no segmentation."
            )

    @staticmethod
    def claims(env_id: str) -> bool:
        """Whether this world can make an environment of that name."""
        return False

    @staticmethod
    def make(env_id: str, sight: Sight) -> gym.Env[Any, Any]:
        """The environment of that name, ready to be looked at."""
        return gym.make(env_id, render_mode="rgb_array")

    @staticmethod
    def knows(env: gym.Env[Any, Any]) -> bool:
        """Whether this world is the one for an environment that somebody else made."""
        return False

    @property
    def schema(self) -> Schema:
        """What each row of a recording of this world holds, actions included."""
        size = self.sight.size
        space = self.env.action_space
        labels = (*self.labels(), Label.plain("actions", width_of(space)))
        return Schema({"render": (size, size, 3)}, labels)

    def labels(self) -> tuple[Label, ...]:
        """What the numbers beside a frame are, without the actions."""
        return observed(self.env.observation_space)

    @property
    def proprioception(self) -> Mapping[str, tuple[int, ...]]:
        """What a robot knows of itself without a camera: label to places among its numbers; empty where nobody said."""
        return {}

    def numbers(self, observation: Any, info: dict[str, Any]) -> Mapping[str, NDArray[np.floating]]:
        """The labels' numbers as they are now: those of ``look``, without a picture being drawn."""
        return values_of(observation, self.labels())

    def look(self, observation: Any, info: dict[str, Any]) -> Row:
        """What is seen now, and what it means; a row without an action."""
        try:
            picture: Any = self.env.render()
        except gym.error.DependencyNotInstalled as error:
            raise InputError(f"{name_of(self.env)} cannot be drawn ({error}): install what it asks for.") from None
        frame = fitted(picture, self.sight.size)
        self._tell(*np.shape(picture)[:2])
        return Row({"render": frame}, self.numbers(observation, info))

    def _tell(self, height: int, width: int) -> None:
        """Warn once where a picture of this size was squeezed."""
        if height != width and not self.told:
            size = self.sight.size
            warnings.warn(
                f"{name_of(self.env)} draws {width} x {height} pixels: they are squeezed into {size} x {size}.",
                AspectWarning,
                stacklevel=4,  # whoever called reset or step of the recorder
            )
        self.told = True

    def success(self, info: dict[str, Any]) -> bool | None:
        """Whether a step's info says that the task is done; ``None`` where it does not say."""
        found = [info[name] for name in ("is_success", "success") if name in info]
        return bool(found[0]) if found else None

    @property
    def name(self) -> str:
        """What the environment is called in a recording, from which it can be made again."""
        return name_of(self.env)

    @property
    def period(self) -> float:
        """Seconds from one step to the next."""
        return 1.0 / float(self.env.metadata.get("render_fps") or 1)

    @property
    def package(self) -> str:
        """The distribution that brings the simulator, for its version."""
        return str(type(self.env.unwrapped).__module__.split(".")[0])

    def expert(self) -> Expert:
        """A scripted policy from observation to action.

        Raises:
            InputError: If there is none.
        """
        raise InputError(f"There is no scripted expert for {name_of(self.env)}: choose another --explorer.")

    def close(self) -> None:
        """Give back what looking took; the environment is closed by whoever made it."""


def name_of(env: gym.Env[Any, Any]) -> str:
    """An environment's id, or the name of its class where it was not made by id."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def make(env_id: str, sight: Sight) -> World:
    """The world of an environment's name, with the environment made.

    Raises:
        InputError: If Gymnasium cannot make it, or its package is missing.
    """
    adapter = next((item for item in _adapters() if item.claims(env_id)), World)
    try:
        env = adapter.make(env_id, sight)
    except (gym.error.Error, ImportError, AttributeError) as error:
        line = str(error).strip().partition("\n")[0]
        known = ", ".join(catalogue.names(ssl_robot.envs.worlds))
        raise InputError(
            f"Gymnasium cannot make '{env_id}' ({line}): check its name and version, and that its package is "
            f"installed; known by more than their picture are {known}."
        ) from None
    return _checked(adapter, env, sight) if adapter is not World else adapted(env, sight)


def adapted(env: gym.Env[Any, Any], sight: Sight) -> World:
    """The world of an environment that somebody made."""
    return _checked(next((item for item in _adapters() if item.knows(env)), World), env, sight)


def _adapters() -> list[type[World]]:
    return [catalogue.found(ssl_robot.envs.worlds, name) for name in catalogue.names(ssl_robot.envs.worlds)]


def _checked(adapter: type[World], env: gym.Env[Any, Any], sight: Sight) -> World:
    try:
        return adapter(env, sight)
    except BaseException:
        env.close()
        raise


def provenance(world: World) -> dict[str, Any]:
    """Where the frames come from, for the file's root; ``env_args`` is what robomimic reads."""
    spec = world.env.spec
    kwargs = {} if spec is None else spec.kwargs
    return {
        "source": world.name,
        "source_version": version_of(world.package),
        "fps": round(1 / world.period, 6),
        "render": world.sight.render,
        "proprioception": json.dumps(world.proprioception),
        "env_args": json.dumps({"env_name": world.name, "type": 2, "env_kwargs": kwargs}, default=str),
    }


def version_of(package: str) -> str:
    """Version of the distribution that is called like a module, or brings it; or nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(package, [])  # slow: looks at every installed file
        return importlib.metadata.version(names[0]) if names else ""


def width_of(space: gym.Space[Any]) -> int:
    """Numbers of an action.

    Raises:
        InputError: If the actions are no numbers.
    """
    if isinstance(space, gym.spaces.Discrete):
        return 1
    if isinstance(space, (gym.spaces.Box, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)):
        return int(np.prod(space.shape))
    raise InputError(f"Actions of {space} cannot be recorded: give an environment whose actions are numbers.")


def observed(space: gym.Space[Any]) -> tuple[Label, ...]:
    """A label for each part of an observation that is a vector of numbers; pictures are none."""
    if isinstance(space, gym.spaces.Dict):
        return tuple(Label.plain(name, _length(part)) for name, part in space.items() if _length(part))
    return (Label.plain("state", _length(space)),) if _length(space) else ()


def _length(space: gym.Space[Any]) -> int:
    plain = isinstance(space, gym.spaces.Box) and len(space.shape) <= 1
    return int(np.prod(space.shape or (1,))) if plain else 0


def values_of(observation: Any, labels: Sequence[Label]) -> dict[str, NDArray[np.floating]]:
    """The numbers of an observation under their labels."""
    parts = observation if isinstance(observation, dict) else {"state": observation}
    return {label.name: np.array(parts[label.name], np.float64).reshape(-1) for label in labels if label.name in parts}


def fitted(picture: Any, size: int) -> NDArray[np.uint8]:
    """A rendered picture as a frame of its own, (size, size, 3), whatever its aspect; larger ones are averaged down.

    Raises:
        InputError: If there is no picture.
    """
    frame = np.asarray(picture)
    if frame.ndim != 3 or frame.shape[-1] != 3:
        raise InputError("The environment's render() gives no RGB picture: make it with render_mode='rgb_array'.")
    frame = frame.astype(np.uint8, copy=True)
    if frame.shape[:2] == (size, size):
        return frame
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
