"""Where the studies' frames and questions come from: recorded once, by the project's own commands."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ssl_robot.errors import InputError

# What records each world's files; {folder} is where they go.
COMMANDS: Mapping[str, Sequence[str]] = {
    "pusht": (
        "collect gym_pusht/PushT-v0 --out {folder}/pusht.h5 --frames 6000 --size 64 --reset-every 20",
        "collect gym_pusht/PushT-v0 --out {folder}/pusht-poses.h5 --frames 2000 --size 64 --reset-every 1 "
        "--seed 100000",
    ),
    "reacher": ("collect Reacher-v5 --out {folder}/reacher.h5 --frames 8000 --size 64 --explorer pink_noise",),
    "reacher-near": (
        "collect ssl_robot.experiments.studies._near:NearReacher-v0 --out {folder}/reacher-near.h5 --frames 8000 "
        "--size 64 --explorer pink_noise",
    ),
    "g1": ("import {g1} --out {folder}/g1.h5 --size 64",),
    "testbed": (
        "collect ssl_robot.envs.tabletop:FindMovingFlat-v0 --out {folder}/testbed.h5 --frames 4000 --size 64 "
        "--explorer pink_noise --reset-every 8",
        "collect ssl_robot.envs.tabletop:AlignYawFlat-v0 --out {folder}/testbed-poses.h5 --frames 2000 --size 64 "
        "--reset-every 1 --seed 100000",
    ),
    "g1-96": ("import {g1} --out {folder}/g1-96.h5 --size 96",),
}
# Cosines and sines of two joints, place of the target.
_REACHER: Mapping[str, Sequence[str]] = {"state": ("0", "1", "2", "3", "4", "5")}
_TARGETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "pusht": {"poses/block": (), "agent_pos": ()},
    "testbed": {"scene": ()},
    "reacher": _REACHER,
    "reacher-near": _REACHER,
    "g1": {
        "observation.state": (
            "kRightShoulderPitch", "kRightShoulderRoll", "kRightShoulderYaw", "kRightElbow", "kRightWristRoll",
            "kRightWristPitch", "kRightWristYaw",
        )
    },
    "g1-96": {"observation.state": ()},
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Files to learn from and to ask about.

    Attributes:
        name: One of those that are known.
        data: Recording to pre-train on.
        probed: Recording with labels; may be the same.
        targets: Labels to read and which of their components; all, if none are named.
        size: Height and width of the views.
    """

    name: str
    data: Path
    probed: Path
    targets: Mapping[str, Sequence[str]]
    size: int = 64

    @cached_property
    def files(self) -> tuple[str, str]:
        """What the files hold, for a key."""
        from ssl_robot.datasets.store import FrameStore

        return FrameStore(self.data).fingerprint, FrameStore(self.probed).fingerprint


def world(name: str, folder: Path, g1: Path | None = None) -> World:
    """A world whose files are recorded first, if they are not there.

    Args:
        name: Which one.
        folder: Where its files are or go.
        g1: LeRobot dataset of a real Unitree G1, for the world of that name.

    Raises:
        InputError: If there is no such world, or the real recording is asked for, is not there and not given.
    """
    if name not in COMMANDS:
        raise InputError(f"'{name}' is not one of the worlds: choose from {', '.join(COMMANDS)}.")
    recorded(COMMANDS[name], folder, g1)
    data = folder / f"{name}.h5"
    poses = folder / f"{name}-poses.h5"
    return World(name, data, poses if poses.is_file() else data, _TARGETS[name])


def recorded(commands: Sequence[str], folder: Path, g1: Path | None = None) -> list[Path]:
    """The files that commands of ours make, made if they are not there.

    Args:
        commands: As in ``COMMANDS``; ``{folder}`` and ``{g1}`` are filled in.
        folder: Where files go.
        g1: LeRobot dataset of a real Unitree G1.

    Raises:
        InputError: If one fails, or the real recording is asked for and not given.
    """
    from ssl_robot.experiments.cli import main

    files = []
    for command in commands:
        words = [word.format(folder=folder, g1=g1) for word in shlex.split(command)]
        out = Path(words[words.index("--out") + 1])
        files.append(out)
        if out.is_file():
            continue
        if g1 is None and "{g1}" in command:
            raise InputError(
                "G1 cannot be simulated: give the recording's folder to --g1, or leave it out of --worlds."
            )
        folder.mkdir(parents=True, exist_ok=True)
        if main(words) != 0:
            raise InputError(f"'ssl-robot {shlex.join(words)}' failed: see above.")
    return files
