"""Recordings that others made, brought into one file: what an importer is, and the program around it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tqdm import tqdm

import ssl_robot.datasets.importers
from ssl_robot import catalogue
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema

IfExists = Literal["error", "overwrite"]
_SMALLEST = 8  # pixels


@dataclass(frozen=True)
class Episode:
    """One episode of a source, not read yet.

    Attributes:
        name: What to call it in a message, as in ``episode 7``.
        frames: How many rows it says it has.
        rows: Reads it from its beginning, row by row; raises ``InputError`` where it is damaged.
    """

    name: str
    frames: int
    rows: Callable[[], Iterator[Row]]


class Importer(Protocol):
    """A reader of one format: one file in ``importers/``, whose class is the CamelCase of its name.

    It is made from the source, the size of the frames (``None`` keeps theirs) and the names of the cameras (none
    given: all of them).
    """

    schema: Schema
    attributes: Mapping[str, Any]

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None: ...

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether this looks like the importer's format, whatever its version."""

    def episodes(self) -> Sequence[Episode]:
        """The episodes in their order."""


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        episodes: Episodes written.
        frames: Rows written.
        skipped: One sentence for each episode left out.
    """

    episodes: int
    frames: int
    skipped: tuple[str, ...]


def import_source(
    source: Path,
    out: Path,
    format: str = "auto",
    size: int | None = None,
    camera: Sequence[str] = (),
    skip_bad: bool = False,
    if_exists: IfExists = "error",
) -> Imported:
    """Bring a dataset into one file, which appears when it is whole and not before.

    Args:
        source: The dataset.
        out: The file to write.
        format: Name of a file in ``importers/``, or ``auto``.
        size: Height and width of the frames, pixels; their own if not given.
        camera: The cameras to keep; all if none is given.
        skip_bad: Leave damaged episodes out instead of stopping at the first.
        if_exists: Refuse or replace a file that is already there.

    Raises:
        InputError: If the source cannot be read, an episode is damaged, or the file cannot be written.
    """
    if size is not None and size < _SMALLEST:
        raise InputError(f"A frame of {size} pixels shows nothing: give --size {_SMALLEST} or more.")
    if out.is_dir() or (out.exists() and if_exists == "error"):
        raise InputError(f"{out} exists: choose another --out, or say --if-exists overwrite for a file.")
    importer = opened(source, format, size, camera)
    with _partial(out) as path:
        with FrameWriter(path, importer.schema, importer.attributes, if_exists="overwrite") as sink:
            done = _copy(importer.episodes(), sink, skip_bad)
        if not done.frames:
            raise InputError(
                f"{source} has no episode that can be read: copy it again. {' '.join(done.skipped)}".strip()
            )
    return done


def opened(source: Path, format: str, size: int | None, cameras: Sequence[str]) -> Importer:
    """The importer of a source, with the source's description read.

    Raises:
        InputError: If there is no such source or format, or the importer cannot read the source.
    """
    if not source.exists():
        raise InputError(f"There is no {source}: give the folder or file of a dataset.")
    known = catalogue.names(ssl_robot.datasets.importers)
    for name in known if format == "auto" else [format]:
        cls: Any = catalogue.found(ssl_robot.datasets.importers, name)
        if format != "auto" or cls.knows(source):
            importer: Importer = cls(source, size, cameras)
            return importer
    raise InputError(
        f"{source} is not a dataset of a known format ({', '.join(known)}): give the dataset's root folder."
    )


def _copy(episodes: Sequence[Episode], sink: FrameWriter, skip_bad: bool) -> Imported:
    written = frames = 0
    skipped: list[str] = []
    with tqdm(total=sum(episode.frames for episode in episodes), unit="frame", desc="import") as bar:
        for episode in episodes:
            rows = _counted(episode.rows(), bar)
            try:
                # Held until the last row is known to be sound: what the sink has, it keeps.
                held = list(rows) if skip_bad else rows
            except InputError as error:
                skipped.append(str(error))
                continue
            sink.begin()
            for row in held:
                sink.add(row)
                frames += 1
            sink.end()
            written += 1
    return Imported(written, frames, tuple(skipped))


def _counted(rows: Iterator[Row], bar: "tqdm[Any]") -> Iterator[Row]:
    for row in rows:
        yield row
        bar.update()


@contextmanager
def _partial(out: Path) -> Iterator[Path]:
    """A path beside the file, which takes its place at the end, or is removed after an error."""
    path = out.with_name(f"{out.name}.partial")
    try:
        yield path
        path.replace(out)
    finally:
        path.unlink(missing_ok=True)
