"""A recording of ours in the layout of others: what an exporter is, and the program around it."""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tqdm import tqdm

import ssl_robot.datasets.exporters
from ssl_robot import catalogue
from ssl_robot.datasets.importers.recording import Recording
from ssl_robot.datasets.imports import Episode
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema

Codec = Literal["libsvtav1", "h264"]


@dataclass(frozen=True)
class Wish:
    """How a recording is to be written.

    Attributes:
        name: What the dataset will be called: the last part of its folder.
        video: Encoder of lossy videos; ``None`` keeps every pixel.
        fps: Frames per second, positive; ``None`` where neither the recording nor the user says.
    """

    name: str
    video: Codec | None = None
    fps: float | None = None


class Exporter(Protocol):
    """A writer of one format: one file in ``exporters/``, whose class is the CamelCase of its name.

    It is made from an empty folder to write into, the schema and attributes of the recording, and what is wished.
    ``warnings`` are sentences for the user, as that the format has no place for something.
    """

    warnings: Sequence[str]

    def __init__(self, folder: Path, schema: Schema, attributes: Mapping[str, Any], wish: Wish) -> None: ...

    def add(self, episode: Episode, rows: Iterator[Row]) -> None:
        """Write an episode, whose rows are handed over one by one."""

    def close(self) -> None:
        """Write what can be known only at the end."""


@dataclass
class Exported:
    """What an export did.

    Attributes:
        episodes: Episodes written.
        frames: Rows written.
        warnings: What the user should know.
    """

    episodes: int = 0
    frames: int = 0
    warnings: list[str] = field(default_factory=list)


def export_store(
    store: Path,
    out: Path,
    format: str,
    camera: Sequence[str] = (),
    video: Codec | None = None,
    fps: float | None = None,
) -> Exported:
    """Write a recording as a dataset of another format; its folder appears when it is whole and not before.

    Args:
        store: A file of ours.
        out: The folder to make.
        format: Name of a file in ``exporters/``.
        camera: The cameras to write; all if none is given.
        video: Encoder of lossy videos, where the format has them; if not given, every pixel is kept.
        fps: Frames per second, where the recording does not say.

    Raises:
        InputError: If the recording cannot be read or says other frames per second, the folder exists, or the format
            cannot hold what is wished.
    """
    if out.exists():
        raise InputError(f"{out} exists: choose another --out.")
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist: make it, or choose another --out.")
    cls: Any = catalogue.found(ssl_robot.datasets.exporters, format)
    source = Recording(store, None, camera)
    wish = Wish(out.name, video, _rate(source.attributes, fps))
    episodes = source.episodes()
    done = Exported(warnings=list(_left_out(source.schema, format)))
    with _beside(out) as folder, tqdm(total=sum(item.frames for item in episodes), unit="frame", desc="export") as bar:
        exporter: Exporter = cls(folder, source.schema, source.attributes, wish)
        for episode in episodes:
            exporter.add(episode, _counted(episode, done, bar))
            done.episodes += 1
        exporter.close()
        done.warnings += exporter.warnings
    return done


def _rate(attributes: Mapping[str, Any], wished: float | None) -> float | None:
    """Frames per second as the recording says, or else as is wished."""
    if wished is not None and not 0 < wished < math.inf:
        raise InputError(f"There are no {wished:g} frames per second: give a positive --fps.")
    said = float(attributes.get("fps") or 0)
    if not 0 < said < math.inf:
        return wished
    if wished is not None and not math.isclose(wished, said, rel_tol=1e-6):
        raise InputError(f"The recording was made at {said:g} frames per second, not {wished:g}: leave out --fps.")
    return said


def _counted(episode: Episode, done: Exported, bar: "tqdm[Any]") -> Iterator[Row]:
    for row in episode.rows():
        done.frames += 1
        bar.update()
        yield row


def _left_out(schema: Schema, format: str) -> Iterator[str]:
    """What no format here takes."""
    unsaid = (("Depth", schema.depths), ("The place and lens", schema.calibrated), ("The map", tuple(schema.segmented)))
    for what, cameras in unsaid:
        if cameras:
            yield f"{what} of {', '.join(cameras)} is left out: it is not exported to {format}."


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder beside the one to make, that takes its place at the end."""
    folder = out.with_name(f"{out.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
