"""Tasks that policies are asked to do: what pre-trains their encoders, and what they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_robot.datasets.store import FrameStore
from ssl_robot.envs.arena import Copies, opened
from ssl_robot.errors import InputError
from ssl_robot.experiments.studies._worlds import COMMANDS as WORLDS
from ssl_robot.experiments.studies._worlds import World, recorded

_COPIES = 25
_TARGETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "reacher": {"state": ("0", "1", "2", "3", "4", "5")},  # cosines and sines of two joints, place of the target
    "testbed": {"scene": ()},
    "metaworld": {"state": ("0", "1", "2", "4", "5", "6")},  # places of the hand and of what it acts on
}


def _metaworld(env: str) -> tuple[str, str]:
    """Frames of the expert with a shaking hand, and 25 demonstrations and more of a steady one."""
    collect = f"collect metaworld/{env}-v3 --size 64 --explorer expert"
    return (
        f"{collect} --out {{folder}}/{env}.h5 --frames 6000 --noise 0.5",
        f"{collect} --out {{folder}}/{env}-demos.h5 --frames 3000 --seed 500000",
    )


def _reacher(size: int, count: int = 50) -> tuple[str, str]:
    """Frames of exploration, and demonstrations of 50 steps."""
    name = f"reacher-{size}" + ("" if count == 50 else f"-{count}")
    collect = f"collect Reacher-v5 --size {size}"
    return (
        f"{collect} --out {{folder}}/reacher-{size}.h5 --frames 8000 --explorer pink_noise",
        f"{collect} --out {{folder}}/{name}-demos.h5 --frames {50 * count} --explorer expert --seed 500000",
    )


def _testbed(env: str, name: str) -> tuple[str, str]:
    """The exploration that serves all of its tasks, and demonstrations of one."""
    return (
        WORLDS["testbed"][0],
        f"collect ssl_robot.envs.tabletop:{env}Flat-v0 --out {{folder}}/{name}-demos.h5 --frames 2500 --size 64 "
        "--explorer expert --seed 500000",
    )


TESTBED = ("align-yaw", "cued-side")
COMMANDS: Mapping[str, tuple[str, str]] = {
    "reacher-64": _reacher(64),
    "reacher-84": _reacher(84),
    "reacher-128": _reacher(128),
    "reacher-64-500": _reacher(64, 500),
    **{env: _metaworld(env) for env in ("drawer-open", "reach", "button-press")},
    "align-yaw": _testbed("AlignYaw", "align-yaw"),
    "cued-side": _testbed("CuedSide", "cued-side"),
}


@dataclass(frozen=True)
class Task:
    """What to learn from, and where to act.

    Attributes:
        name: As on the command line.
        world: Frames to pre-train on.
        shown: Demonstrations.
        demonstrations: How many of them are learnt from.
        steps: After which a roll-out is left; 0: when it is over.
    """

    name: str
    world: World
    shown: Path
    demonstrations: int
    steps: int

    def arena(self) -> Copies:
        """Where to act; to be closed."""
        store = FrameStore(self.shown)
        said = store.attributes
        return opened(
            said["env_args"], store.shape[0], store.camera, said["render"], said.get("proprioception", ""), _COPIES
        )


def task(name: str, folder: Path) -> Task:
    """A task whose files are recorded first, if they are not there.

    Raises:
        InputError: If there is no such task.
    """
    if name not in COMMANDS:
        raise InputError(f"'{name}' is not one of the tasks: choose from {', '.join(COMMANDS)}.")
    recorded(COMMANDS[name], folder)
    if name in TESTBED:
        return Task(name, _world("testbed", folder, "testbed", 64), folder / f"{name}-demos.h5", 150, 0)
    if not name.startswith("reacher-"):
        return Task(name, _world(name, folder, "metaworld", 64), folder / f"{name}-demos.h5", 25, 200)
    size, _, count = name.removeprefix("reacher-").partition("-")
    world = _world(f"reacher-{size}", folder, "reacher", int(size))
    return Task(name, world, folder / f"{name}-demos.h5", int(count or 50), 0)


def _world(name: str, folder: Path, targets: str, size: int) -> World:
    data = folder / f"{name}.h5"
    return World(name, data, data, _TARGETS[targets], size)
