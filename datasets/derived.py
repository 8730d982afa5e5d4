"""Labels that follow from what else a recording holds; they answer to their names but are not listed.

``cameras/NAME`` is where a calibrated camera stood and how it was turned; ``attributes/NAME`` numbers what was noted
about each demonstration, as its task or the source that it was imported from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.frames import Label, Schema
from ssl_robot.probing.rotations import quaternions_of

CAMERAS, ATTRIBUTES = "cameras/", "attributes/"
_POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")


def label_of(schema: Schema, facts: Sequence[Mapping[str, Any]], name: str) -> Label:
    """What the numbers of a derived label mean.

    Args:
        schema: The recording's.
        facts: What was noted about each demonstration.
        name: Of the label.

    Raises:
        KeyError: If nothing of that name follows.
    """
    kind, _, rest = name.partition("/")
    if f"{kind}/" == CAMERAS and rest in schema.calibrated:
        return Label(name, _POSE, ("m", "m", "m", "", "", "", ""), (False,) * 7)
    if f"{kind}/" == ATTRIBUTES and any(rest in noted for noted in facts):
        return Label.plain(name, 1, (rest,))
    raise KeyError(name)


def camera_path(name: str) -> str:
    """Where a camera's places lie within a demonstration, given the name of their label."""
    return f"{name}/T_world_camera"


def poses_of(T_world_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place in metres and unit quaternion (w, x, y, z) of transforms of (rows, 4, 4): (rows, 7)."""
    return np.concatenate([T_world_camera[:, :3, 3], quaternions_of(T_world_camera[:, :3, :3])], 1)


def numbers_of(facts: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """A number for each demonstration: the noted one, or the place of the noted text among all; -1 where none is."""
    noted = [demonstration.get(name.removeprefix(ATTRIBUTES)) for demonstration in facts]
    if all(isinstance(value, (int, float)) for value in noted):
        return np.array(noted, np.float64)
    texts = sorted({str(value) for value in noted if value is not None})
    return np.array([-1 if value is None else texts.index(str(value)) for value in noted], np.float64)
