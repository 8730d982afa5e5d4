"""The world that a recording comes from, to be opened wherever a policy acts in it."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ssl_robot.errors import InputError

if TYPE_CHECKING:
    from ssl_robot.arena import Arena
    from ssl_robot.datasets.store import FrameStore


def opener(frames: "FrameStore") -> "Callable[[], Arena]":
    """What makes copies of the recorded world; other processes can call it too.

    Raises:
        InputError: If the recording names no environment.
    """
    from ssl_robot.envs.arena import opened

    said = frames.attributes
    if "env_args" not in said:
        raise InputError(f"{frames.path} names no environment to act in: record demonstrations with 'collect'.")
    return partial(
        opened, said["env_args"], frames.shape[0], frames.camera, said.get("render", "fast"),
        said.get("proprioception", ""), steps=_limit(frames),
    )  # fmt: skip


def _limit(frames: "FrameStore") -> int:
    """Steps after which the recording's episodes were cut, as by ``--reset-every``; 0 if not all were cut alike."""
    import numpy as np

    lengths = np.bincount(frames.episodes)
    cut = lengths[frames.column("truncated")[np.cumsum(lengths) - 1] > 0]
    # the last one may be shorter, where the recording had enough frames
    return int(cut.max()) if len(cut) and (cut == cut.max()).sum() >= max(2, len(cut) - 1) else 0
