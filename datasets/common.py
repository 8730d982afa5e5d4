"""Whether two recordings can share a file, and in what they differ where they cannot."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ssl_robot.frames import Schema

_REMEDIES = {
    "cameras": "name common ones with --camera and --size",
    "depths": "record both with --depth, or neither",
}
_MAPS = "record both with --segmentation, or neither"
_LAYERS = "import both into a new file"


def common(one: Schema, two: Schema) -> Schema | None:
    """What a file has to hold that takes the rows of both; ``None`` if there is no such file.

    Both must hold the same, but for the channels of maps: those of fewer things that cover each other are widened.
    """
    if set(one.segmented) != set(two.segmented):
        return None
    channels = {camera: max(count, two.segmented[camera]) for camera, count in one.segmented.items()}
    joint = replace(one, segmented=channels)
    return joint if joint == replace(two, segmented=channels) else None


def difference(one: Schema, two: Schema) -> tuple[str, str]:
    """The first part in which two schemas differ, with what each has there; and what to do, with a comma, or nothing.

    >>> difference(Schema({"top": (4, 6, 3)}), Schema({"top": (8, 8, 3)}))
    ('cameras (top 6 x 4 and top 8 x 8)', 'name common ones with --camera and --size, or ')
    """
    parts = {
        "cameras": (one.cameras, two.cameras),
        "labels": ([label.name for label in one.labels], [label.name for label in two.labels]),
        "depths": (one.depths, two.depths),
        "calibrated cameras": (one.calibrated, two.calibrated),
        "things": (one.things, two.things),
        "segmented cameras": (_channels(one), _channels(two)),
        "meanings of labels": (one.labels, two.labels),
    }
    name, (ours, theirs) = next((name, pair) for name, pair in parts.items() if pair[0] != pair[1])
    remedy = _REMEDIES.get(name, "")
    if bool(one.things) != bool(two.things) and name in ("things", "segmented cameras"):
        remedy = _MAPS
    elif name == "segmented cameras" and common(one, two):
        remedy = _LAYERS
    return f"{name} ({_listed(ours)} and {_listed(theirs)})", f"{remedy}, or " if remedy else ""


def _channels(schema: Schema) -> list[str]:
    """Segmented cameras with the channels of their maps."""
    return [f"{camera} ({channels})" for camera, channels in sorted(schema.segmented.items())]


def _listed(names: Any) -> str:
    if isinstance(names, Mapping):
        return ", ".join(f"{name} {w} x {h}" for name, (h, w, _) in names.items())
    return ", ".join(str(getattr(name, "name", name)) for name in names) or "none"
