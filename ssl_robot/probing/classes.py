"""Labels that are classes: which rows are of which, and how well they were told."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, find_label
from ssl_robot.splits import Split

_MOST = 10_000  # more kinds of a number than this are no classes


@dataclass(frozen=True)
class Classes:
    """A label whose values are classes.

    Attributes:
        name: Full name of the label, with its component where it has several.
        places: Class of each row, counted from 0, int64, (rows,).
        values: What the label says for each class, (classes,).
    """

    name: str
    places: Tensor
    values: NDArray[np.float64]

    def commonest(self, split: Split) -> int:
        """The class that most training rows have: what one would say without looking."""
        return int(self.places[torch.from_numpy(split.train)].bincount().argmax())


def classes(frames: Frames, target: str) -> Classes:
    """The classes that a label tells apart.

    Args:
        frames: The collection.
        target: Name of a label of one number, or ``name:component`` of one with several.

    Raises:
        InputError: If there is no such label or component, a row has no class, or the numbers are no classes.
    """
    name, _, component = target.partition(":")
    label = find_label(frames, name)
    if (component and component not in label.components) or (not component and len(label.components) > 1):
        raise InputError(
            f"{label.name} has several numbers: say which is the class, as {label.name}:{label.components[0]}."
        )
    values = frames.values(label.name)[:, label.components.index(component) if component else 0]
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise InputError(f"{label.name} is not known in {missing} row(s): ask for another label with --target.")
    found, places = np.unique(values, return_inverse=True)
    if (values != np.round(values)).any() or not 2 <= len(found) <= _MOST:
        raise InputError(
            f"{target} has {len(found)} different value(s), which are no classes: give a label of whole numbers to "
            "--target, at least two of them, or ask 'probe pose'."
        )
    return Classes(target if component else label.name, torch.from_numpy(places), found)
