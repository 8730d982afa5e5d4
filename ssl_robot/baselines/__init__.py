"""One file per stand-in for an encoder: what a report shows beside it, named as ``random`` or ``blind:rotation``.

A file holds a class named like itself, a ``Reader`` that is made from what stands after the colon and a ``Setting``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ssl_robot.baselines
from ssl_robot import catalogue
from ssl_robot.encoder import Card, load
from ssl_robot.errors import InputError
from ssl_robot.features import statistics
from ssl_robot.frames import Frames
from ssl_robot.readers import EncoderReader, Reader

_SIZE = 64


@dataclass(frozen=True)
class Setting:
    """What a baseline is put beside.

    Attributes:
        frames: The recording that is asked about.
        like: Network and preprocessing of the encoder it is compared with.
        seed: Of random weights.
    """

    frames: Frames
    like: Card
    seed: int = 0


def named(name: str, frames: Frames, like: Card | None = None, seed: int = 0) -> Reader:
    """The reader that a user names: a baseline, a run directory or an encoder file.

    Args:
        name: As ``random``, ``blind:rotation``, ``timm:resnet18`` or ``runs/robot``.
        frames: The recording that is asked about.
        like: What a random encoder should be like; the small network at 64 pixels if not given.
        seed: Of random weights.

    Raises:
        InputError: If there is no such baseline and no such encoder.
    """
    kind, _, argument = name.partition(":")
    if kind in catalogue.names(ssl_robot.baselines) and not Path(name).exists():
        cls: Any = catalogue.found(ssl_robot.baselines, kind)
        made: Reader = cls(argument, Setting(frames, like or usual(frames), seed))
        return made
    if not Path(name).exists():
        known = ", ".join(catalogue.names(ssl_robot.baselines))
        raise InputError(
            f"There is no encoder at {name}: give the --out folder of a finished 'ssl-robot pretrain', or a baseline "
            f"({known})."
        )
    return EncoderReader(load(name), name)


def usual(frames: Frames) -> Card:
    """The small network, with the colours of a recording."""
    return Card("small", _SIZE, *statistics(frames, np.arange(len(frames))))


def no_argument(kind: str, argument: str) -> None:
    """Refuse something after the colon of a baseline that takes nothing.

    Raises:
        InputError: If there is something.
    """
    if argument:
        raise InputError(f"'{kind}:{argument}' is not known: '{kind}' stands alone.")
