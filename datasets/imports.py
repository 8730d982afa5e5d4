"""Recordings that others made, brought into one file: what an importer is, and the program around it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import ssl_robot.datasets.importers
from ssl_robot import catalogue
from ssl_robot.datasets.common import common, difference
from ssl_robot.datasets.journal import unused
from ssl_robot.datasets.pictures import is_blank
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema

IfExists = Literal["error", "append", "overwrite"]
_SMALLEST = 8  # pixels


@dataclass(frozen=True)
class Episode:
    """One episode of a source, not read yet.

    Attributes:
        name: What to call it in a message, as in ``episode 7``.
        frames: How many rows it says it has.
        rows: Reads it from its beginning, row by row; raises ``InputError`` where it is damaged.
        seed: What it was reset with, where that is known.
        attributes: Numbers and texts about it, as its task.
        independent: It is one row that has nothing to do with the next episode's.
        final: Reads the frames seen after the last action; empty where they were not kept.
        success: Whether the task was done, where that is known.
    """

    name: str
    frames: int
    rows: Callable[[], Iterator[Row]]
    seed: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    independent: bool = False
    final: Callable[[], Mapping[str, NDArray[np.uint8]]] = dict
    success: bool | None = None


class Importer(Protocol):
    """A reader of one format: one file in ``importers/``, whose class is the CamelCase of its name.

    It is made from the source, the size of the frames (``None`` keeps theirs) and the names of the cameras (none
    given: all of them). ``warnings`` are sentences for the user, as that the source's pictures are lossy.
    """

    schema: Schema
    attributes: Mapping[str, Any]
    warnings: Sequence[str]

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None: ...

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether this looks like the importer's format, whatever its version."""

    def episodes(self) -> Sequence[Episode]:
        """The episodes in their order."""


@dataclass
class Imported:
    """What an import did.

    Attributes:
        episodes: Episodes written.
        frames: Rows written.
        skipped: One sentence for each episode left out.
        warnings: What else the user should know.
    """

    episodes: int = 0
    frames: int = 0
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def import_sources(
    sources: Sequence[Path],
    out: Path,
    format: str = "auto",
    size: int | None = None,
    camera: Sequence[str] = (),
    skip_bad: bool = False,
    if_exists: IfExists = "error",
    raw: bool = False,
) -> Imported:
    """Bring datasets into one file, one after the other; a new file appears when it is whole and not before.

    Args:
        sources: The datasets; all must hold the same cameras, labels and things.
        out: The file to write.
        format: Name of a file in ``importers/``, or ``auto``.
        size: Height and width of the frames, pixels; their own if not given.
        camera: The cameras to keep; all if none is given.
        skip_bad: Leave damaged episodes out instead of stopping at the first.
        if_exists: Refuse, go on with, or replace a file that is already there.
        raw: Store pixels uncompressed.

    Raises:
        InputError: If a source cannot be read or holds something else than the first, an episode is damaged, or the
            file cannot be written.
    """
    if size is not None and size < _SMALLEST:
        raise InputError(f"A frame of {size} pixels shows nothing: give --size {_SMALLEST} or more.")
    if out.is_dir() or (out.exists() and if_exists == "error"):
        raise InputError(f"{out} exists: choose another --out, or say --if-exists append or overwrite for a file.")
    if any(source.exists() and out.exists() and source.samefile(out) for source in sources):
        raise InputError(f"{out} cannot be imported into itself: choose another --out.")
    done = Imported()
    importers = _importers(sources, format, size, camera, done if skip_bad and len(sources) > 1 else None)
    schema = _schema(importers)
    done.warnings += [sentence for _, importer in importers for sentence in importer.warnings]
    done.warnings += _differences(importers)
    with _place(out, if_exists) as (path, mode):
        with FrameWriter(path, mode, raw) as sink:
            episodes = [(source, importer.episodes()) for source, importer in importers]
            total = sum(episode.frames for _, listed in episodes for episode in listed)
            sink.open(schema, importers[0][1].attributes, total)
            with tqdm(total=total, unit="frame", desc="import") as bar:
                for source, listed in episodes:
                    origin = {"origin": source.resolve().name} if len(sources) > 1 else {}
                    for episode in listed:
                        _copy(replace(episode, attributes={**origin, **episode.attributes}), sink, skip_bad, done, bar)
        if not done.frames:
            names = ", ".join(str(source) for source in sources)
            reasons = " ".join(done.skipped)
            raise InputError(f"{names} has no episode that can be read: copy it again. {reasons}".strip())
    return done


def opened(source: Path, format: str, size: int | None, cameras: Sequence[str]) -> Importer:
    """The importer of a source, with the source's description read.

    Raises:
        InputError: If there is no such source or format, or the importer cannot read the source.
    """
    if not source.exists():
        raise InputError(f"There is no {source}: give the folder or file of a dataset.")
    name = _recognised(source) if format == "auto" else format
    if not name:
        known = ", ".join(catalogue.names(ssl_robot.datasets.importers))
        raise InputError(
            f"{source} is not a dataset of a known format ({known}): give the dataset's root folder or file."
        )
    cls: Any = catalogue.found(ssl_robot.datasets.importers, name)
    try:
        importer: Importer = cls(source, size, cameras)
    except InputError as error:
        seems = "" if cls.knows(source) else _recognised(source)
        if not seems:
            raise
        raise InputError(f"{str(error).rstrip('.')}; this looks like {seems}: say --format {seems}.") from None
    return importer


def _recognised(source: Path) -> str:
    """The first format that a source looks like; empty if it looks like none."""
    for name in catalogue.names(ssl_robot.datasets.importers):
        cls: Any = catalogue.found(ssl_robot.datasets.importers, name)
        if cls.knows(source):
            return name
    return ""


def _importers(
    sources: Sequence[Path], format: str, size: int | None, cameras: Sequence[str], lenient: Imported | None
) -> list[tuple[Path, Importer]]:
    """Each source with its importer; those that cannot be opened may be noted instead."""
    found: list[tuple[Path, Importer]] = []
    for source in sources:
        try:
            found.append((source, opened(source, format, size, cameras)))
        except InputError as error:
            if lenient is None:
                raise
            lenient.skipped.append(str(error))
    if not found:
        raise InputError(
            f"No source can be read: copy them again. {' '.join(lenient.skipped if lenient else ())}".strip()
        )
    return found


def _schema(importers: Sequence[tuple[Path, Importer]]) -> Schema:
    """What a file holds that takes the rows of all.

    Raises:
        InputError: If two sources hold something else than each other.
    """
    first, schema = importers[0][0], importers[0][1].schema
    for source, importer in importers[1:]:
        joint = common(schema, importer.schema)
        if joint is None:
            what, remedy = difference(schema, importer.schema)
            raise InputError(f"{first} and {source} hold different {what}: {remedy}import them into two files.")
        schema = joint
    return schema


def _differences(importers: Sequence[tuple[Path, Importer]]) -> Iterator[str]:
    """What a merged file cannot say of all its sources, because its root speaks for the first."""
    first, ours = importers[0][0], importers[0][1].attributes
    for source, importer in importers[1:]:
        for name in ("fps", "lossy", "render"):
            if ours.get(name) != importer.attributes.get(name):
                yield (
                    f"{first} says {name} = {ours.get(name, 'nothing')}, {source} says "
                    f"{importer.attributes.get(name, 'nothing')}: the file keeps the first."
                )


def _copy(episode: Episode, sink: FrameWriter, skip_bad: bool, done: Imported, bar: "tqdm[Any]") -> None:
    copied = sink.begin(episode.seed, episode.attributes, episode.independent)
    blank = count = 0
    try:
        for row in episode.rows():
            copied.add(row)
            count += 1
            blank += any(is_blank(frame) for frame in row.frames.values())
            bar.update()
        if blank == count and count > 1:
            raise InputError(f"All {count} frames of {episode.name} are of one colour: leave it out with --skip-bad.")
    except BaseException as error:
        if not episode.independent:
            sink.drop(copied)
        if sink.failed or not (skip_bad and isinstance(error, InputError)):
            raise
        done.skipped.append(str(error))
        return
    copied.end(episode.final(), episode.success)
    if blank:
        done.warnings.append(f"{blank} of {count} frames of {episode.name} are of one colour.")
    done.episodes += 1
    done.frames += count


@contextmanager
def _place(out: Path, if_exists: IfExists) -> Iterator[tuple[Path, IfExists]]:
    """Where to write: the file itself to append, else one beside it that takes its place at the end."""
    if out.exists() and if_exists == "append":
        yield out, "append"
        return
    path = out.with_name(f"{out.name}.partial")
    for taken in (out, path):
        unused(taken)
    try:
        yield path, "overwrite"
        path.replace(out)
    finally:
        path.unlink(missing_ok=True)
