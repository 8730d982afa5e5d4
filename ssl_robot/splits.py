"""Which frames teach, which choose, and which are kept for the examination: decided once, by content."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames

Part = Literal["train", "validation", "test"]
_FEW = 50  # below this many episodes, a share of the hash's range may hold none of them


@dataclass(frozen=True)
class Split:
    """Rows of the three parts; no episode, and no two episodes that begin with the same frame, lie in two of them.

    Attributes:
        train: Rows to learn from, for pre-training and for a probe's head alike.
        validation: Rows that choose a head's regularisation.
        test: Rows for scores; pre-training never sees them.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(frames: Frames, validation: float = 0.15, test: float = 0.25) -> Split:
    """Divide the episodes by the hash of their first frame.

    An episode's part depends on its own content only, so merging recordings moves nothing from one part to
    another. With fewer than 50 episodes they are dealt by the rank of their hash instead, so that no part is empty.

    Args:
        frames: The collection.
        validation: Share of the episodes for validation.
        test: Share of the episodes for test.

    Raises:
        InputError: If there are fewer than three different episodes.
    """
    contents = frames.contents
    distinct, place = np.unique(contents, return_inverse=True)
    if len(distinct) < 3:
        raise InputError(
            f"{len(distinct)} different episode(s) cannot be split into train, validation and test: "
            "record at least three, better hundreds (--reset-every 1)."
        )
    if len(distinct) < _FEW:
        share = (place + 0.5) / len(distinct)
        validation, test = (max(part, 1.01 / len(distinct)) for part in (validation, test))
    else:
        share = contents.astype(np.float64) / 2.0**64
    of_row = share[frames.episodes]
    return Split(
        train=np.flatnonzero(of_row >= validation + test),
        validation=np.flatnonzero((of_row >= test) & (of_row < validation + test)),
        test=np.flatnonzero(of_row < test),
    )
