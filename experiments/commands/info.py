"""Say what is in a recording."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

_MANY = 40  # numbers of a row, above which a label gets one line


@dataclass(frozen=True)
class Info:
    """Say what is in a recording: frames, cameras, labels and their ranges, where it comes from.

    Attributes:
        data: Recording.
        as_json: Print one JSON object instead of a text.
        sheet: Picture (PNG) to draw: frames from all over the recording.
        camera: Camera on the picture; the first one if not given.
        check: Read everything, and look for damage, blank and repeated frames, and test frames that look like a
            training frame; damage ends with exit code 2.
    """

    data: Positional[Path]
    as_json: Annotated[bool, arg(name="json")] = False
    sheet: Path | None = None
    camera: str | None = None
    check: bool = False

    def run(self) -> int:
        """Print it, draw the sheet and check the file if asked to."""
        from ssl_robot.datasets.check import check
        from ssl_robot.datasets.layout import FEATURES, is_ours
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.datasets.summary import contact_sheet, summary

        if is_ours(self.data, FEATURES):
            return self._features()
        store = FrameStore(self.data, self.camera)
        checked = vars(check(store)) if self.check else None
        if checked and checked["damage"]:
            print(json.dumps({"check": checked}) if self.as_json else "\n".join(checked["damage"]))
            return 2
        found = summary(store) | ({"check": checked} if checked else {})
        if self.sheet is not None:
            contact_sheet(store, self.sheet)
        print(json.dumps(found, allow_nan=False) if self.as_json else "\n".join(_text(self.data, found)))
        return 0

    def _features(self) -> int:
        """What is in a file that 'encode' wrote."""
        from ssl_robot.datasets.features import FeatureFile
        from ssl_robot.errors import InputError

        if self.sheet is not None:
            raise InputError(f"{self.data} holds features and no frames to draw: leave out --sheet.")
        found = FeatureFile.opened(self.data)
        cameras = [self.camera] if self.camera else list(found.made)
        if self.check or self.camera:  # reading compares with what was written
            for camera in cameras:
                found.read(camera)
        summary = {
            "episodes": found.episodes,
            "frames": sum(found.rows.values()),
            "features": {camera: found.made[camera] for camera in cameras},
            "labels": [label.name for label in found.schema.labels],
            "recording": found.attributes["recording"],
        }
        print(json.dumps(summary) if self.as_json else "\n".join(_of_features(self.data, summary, self.check)))
        return 0


def _of_features(path: Path, found: dict[str, Any], checked: bool) -> Iterator[str]:
    size = path.stat().st_size / 1e6
    yield f"{path}: features of {found['frames']:,} frames in {found['episodes']:,} episode(s), {size:,.1f} MB"
    yield f"source   {found['recording']}"
    for camera, made in found["features"].items():
        shape = " x ".join(str(n) for n in made["shape"])
        yield f"features {camera}, {shape} float32: {made['layer']} of {made['reader']} ({made['key']})"
        yield f"         of frames {made['fingerprint']}"
    yield f"labels   {', '.join(found['labels']) or 'none'}"
    if checked:
        yield "check    every feature is what was written"


def _text(path: Path, found: dict[str, Any]) -> Iterator[str]:
    yield f"{path}: {found['frames']:,} frames in {found['episodes']:,} episode(s){_lengths(found)}, {_size(found)}"
    yield f"source   {_source(found)}"
    if found["provenance"].get("lossy"):
        yield f"lossy    pictures came compressed ({found['provenance']['lossy']}): not quite what the camera saw"
    for task in found["provenance"].get("tasks", []):
        yield f"task     {task}"
    for name, camera in found["cameras"].items():
        yield f"camera   {name}, {camera['width']} x {camera['height']}"
    if found["things"]:
        yield f"things   {', '.join(found['things'])}; told apart pixel by pixel in {', '.join(found['segmented'])}"
    many = sum(label["shape"][0] for label in found["labels"].values()) > _MANY
    for name, label in found["labels"].items():
        yield from [_short(name, label)] if many else _label("label  ", name, label)
    if found["actions"]:
        yield from _label("actions", "", found["actions"])
    yield f"content  {found['fingerprint']}"
    if "check" in found:
        yield from _check(found["check"], found["frames"])


def _check(checked: dict[str, Any], frames: int) -> Iterator[str]:
    yield "check    every frame and number is what was written"
    for camera in checked["blank"]:
        blank, repeated = checked["blank"][camera], checked["repeated"][camera]
        if blank or repeated:
            what = f"{blank:,} of {frames:,} frames of one colour, {repeated:,} repeat the one before"
            yield f"         camera {camera}: {what}"
    for label, rows in checked["unknown"].items():
        yield f"         label {label}: {rows:,} rows with a number that is not finite"
    if checked["unsplit"]:
        yield f"         {checked['unsplit']}"
    else:
        twins = f"{checked['twins']:,} of {checked['tested']:,} test frames"
        yield f"         {twins} look like a training frame (1 grey level apart, or less)"


def _lengths(found: dict[str, Any]) -> str:
    low, high = min(found["lengths"]), max(found["lengths"])
    return f" of {low:,} frame(s)" if low == high else f" of {low:,} to {high:,} frames"


def _size(found: dict[str, Any]) -> str:
    pixels = sum(item["height"] * item["width"] * item["channels"] for item in found["cameras"].values())
    ratio = found["frames"] * pixels / found["bytes"]
    return f"{found['bytes'] / 1e6:,.1f} MB, {found['compression']}, {ratio:.2f} times smaller than its pixels"


def _source(found: dict[str, Any]) -> str:
    more = found["provenance"]
    parts = [found["source"], more.get("source_format"), more.get("robot_type"), more.get("license")]
    rate = f"{found['fps']:g} frames/s" if found["fps"] else ""
    return ", ".join(str(part) for part in (*parts, rate) if part) or "unknown"


def _label(kind: str, name: str, label: dict[str, Any]) -> Iterator[str]:
    yield f"{kind}  {name}{' ' if name else ''}({label['shape'][0]})"
    width = max(len(component) for component in label["components"])
    for component, unit, low, high in zip(label["components"], label["units"], label["min"], label["max"], strict=True):
        yield f"           {component:{width}} {_number(low)} .. {_number(high)} {unit}".rstrip()


def _short(name: str, label: dict[str, Any]) -> str:
    """One line for a label among many; ``--json`` has all of it."""
    shown = list(zip(label["components"], label["min"], label["max"], strict=True))[:3]
    ranges = ", ".join(
        f"{component} {_number(low).strip()} .. {_number(high).strip()}" for component, low, high in shown
    )
    more = len(label["components"]) - len(shown)
    return f"label    {name} ({label['shape'][0]})  {ranges}{f', {more} more' if more else ''}"


def _number(value: float | None) -> str:
    return f"{'unknown' if value is None else f'{value:.4g}':>10}"
