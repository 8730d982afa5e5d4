"""Recording to disk: rows in, a file that is whole after every flush."""

import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import numpy as np

from ssl_robot.datasets.common import common, difference
from ssl_robot.datasets.demo import Demo
from ssl_robot.datasets.episode import OneRow, OpenEpisode
from ssl_robot.datasets.flusher import Flusher
from ssl_robot.datasets.journal import JournaledFile, unused
from ssl_robot.datasets.layout import (
    FORMAT,
    LIBRARY,
    VERSION,
    demo_names,
    fixed,
    open_file,
    plain,
    planes,
    schema_of,
    schema_text,
    unstorable,
)
from ssl_robot.errors import InputError
from ssl_robot.frames import EpisodeSink, Row, Schema

FLUSH_ROWS = 1000
FLUSH_BYTES = 2**26  # of pictures
FLUSH_SECONDS = 2.0
_PAGE = 4096
GROUP_ROWS = 1000  # independent rows share a group: a group each would take minutes and 1.5x the space at 20,000

IfExists = Literal["error", "append", "overwrite"]


class FrameWriter:
    """Writes episodes into a file; a ``FrameSink``, and a context manager that closes it.

    Rows are packed and written in a thread of its own while the next ones are made. The file is whole after every
    flush; one that never got a row is removed again. A file to be replaced stays until the first rows of the new one
    are on the disk.

    Args:
        path: The file.
        if_exists: Refuse, append to, or replace a file that is already there.
        raw: Keep pixels as they are instead of compressing them.

    Raises:
        InputError: If the file exists and must not, or its folder does not exist.

    Attributes:
        path: The file.
        rows: How many of this recording are on the disk.
        failed: Whether a flush went wrong: the file stays as it was before, and takes no more rows.
    """

    def __init__(self, path: str | Path, if_exists: IfExists = "error", raw: bool = False) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise InputError(f"The folder {self.path.parent} does not exist: make it, or choose another --out.")
        if self.path.exists() and if_exists == "error":
            raise InputError(f"{path} exists: choose another --out, or say --if-exists append or overwrite.")
        self.rows = 0
        self.failed = False
        self._append = if_exists == "append" and self.path.exists()
        self._replaces = if_exists == "overwrite" and self.path.exists()
        self._raw = raw
        self._file: h5py.File | None = None
        self._pool = ThreadPoolExecutor(1)
        self._lock = threading.Lock()  # of the episodes that wait for the flusher
        self._writing = threading.Lock()  # of the file
        self._open: list[OpenEpisode] = []
        self._shared: OpenEpisode | None = None
        self._shared_facts: Mapping[str, Any] = {}
        self._expected: int | None = None
        self._waiting = 0

    def open(self, schema: Schema, attributes: Mapping[str, Any], rows: int | None = None) -> None:
        """Begin the file, or go on with it.

        Args:
            schema: What every row holds; where the file's maps have more channels, new ones are widened to them.
            attributes: Provenance kept at the root: numbers and texts.
            rows: How many to expect, to see early whether they fit on the disk.

        Raises:
            InputError: If the file cannot be written, its rows hold something else, or the schema's names clash.
        """
        self.schema, self._expected = schema, rows
        problem = unstorable(schema)
        if problem:
            raise InputError(f"{self.path} cannot hold this: {problem}")
        if self._append:
            with open_file(self.path) as old:
                self.schema = _kept(self.path, schema_of(old), schema)
                _same_source(self.path, old["data"].attrs, attributes)
        self._journaled = self._place()
        self._flusher = Flusher(self._flush, FLUSH_SECONDS)
        try:
            self._file = h5py.File(
                self._journaled,
                "r+" if self._append else "w",
                libver=LIBRARY,
                alignment_threshold=_PAGE,
                alignment_interval=_alignment(self.schema) if self._raw else 1,
            )
            if not self._append:
                _describe(self._file, schema, attributes)
                self._file.flush()
                self._journaled.commit()
        except OSError as error:
            raise self._full(error) from None
        pictures = sum(int(np.prod(plane.shape)) * np.dtype(plane.dtype).itemsize for plane in planes(self.schema))
        self._most = min(FLUSH_ROWS, max(1, FLUSH_BYTES // max(1, pictures)))
        self._data = self._file["data"]
        self._next = max((int(name[5:]) for name in demo_names(self._data)), default=-1) + 1

    def _place(self) -> JournaledFile:
        """Where to write: the file itself, or one beside it that will replace it."""
        self._written = self.path.with_name(f"{self.path.name}.new") if self._replaces else self.path
        try:
            if not self._append:
                unused(self.path)
                unused(self._written)
                self._written.unlink(missing_ok=True)
            return JournaledFile(self._written)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror}): choose another --out.") from None

    def begin(
        self, seed: int | None = None, attributes: Mapping[str, Any] | None = None, independent: bool = False
    ) -> EpisodeSink:
        """Start an episode; several may be open at once."""
        if self._file is None:
            raise RuntimeError("Say open(schema, attributes) before the first episode.")
        if not independent:
            facts = {**(attributes or {}), "seed": -1 if seed is None else seed}
            return self._started(OpenEpisode(self._demo(facts, independent=False), self.admit))
        facts = dict(attributes or {})
        full = self._shared is not None and self._shared.rows >= GROUP_ROWS
        if self._shared is None or full or facts != self._shared_facts:
            if self._shared is not None:
                self._shared.end()
            self._shared = self._started(OpenEpisode(self._demo(facts, independent=True), self.admit))
            self._shared_facts = facts
        return OneRow(self._shared, seed)

    def _demo(self, attributes: Mapping[str, Any], independent: bool) -> Demo:
        demo = Demo(self._data, f"demo_{self._next}", self.schema, self._raw, attributes, independent)
        self._next += 1
        return demo

    def _started(self, episode: OpenEpisode) -> OpenEpisode:
        with self._lock:
            self._open.append(episode)
        return episode

    def admit(self, episode: OpenEpisode, row: Row, seed: int) -> None:
        """Take a row in; it is written after 1,000 rows, 64 MB of pictures or two seconds.

        Raises:
            InputError: If there is no room, or was none before.
            ValueError: If the row is not what the schema says.
        """
        if self.failed:
            if not self._flusher.told:
                self._flusher.wait()
            raise InputError(
                f"{self.path} takes no more rows since one could not be written: record into a new writer."
            )
        kept = episode.demo.kept(row)
        if self._expected is not None:
            self._check_space(episode.demo.estimate(kept), self._expected)
            self._expected = None
        with self._lock:
            episode.pending.append((kept, seed))
            episode.rows += 1
            self._waiting += 1
        if self._waiting == self._most:
            self._flusher.ask()
        elif self._waiting >= 2 * self._most:  # the disk is slower than the rows: memory is bounded
            self.flush()

    def _check_space(self, each: int, rows: int) -> None:
        needed, free = rows * each, shutil.disk_usage(self.path.parent).free
        if self._replaces:
            free += self.path.stat().st_size
        if needed > free:
            raise InputError(
                f"{rows:,} rows need about {needed / 1e9:.1f} GB, and {self.path.parent} has {free / 1e9:.1f} GB left: "
                "make room, lower --frames or --size, or choose another --out."
            )

    def flush(self) -> None:
        """Bring every waiting row to the disk.

        Raises:
            InputError: If there is no room; what was flushed before is whole.
        """
        self._flusher.wait()

    def _flush(self) -> None:
        """What the flusher does: whatever waits, all of it or nothing."""
        with self._writing:  # from before the rows are taken: an episode dropped in between would come back
            ready = self._ready()
            if not ready:
                return
            try:
                self._write(ready)
            except OSError as error:
                raise self._full(error) from None
            except BaseException:
                self._give_up()
                raise

    def _ready(self) -> "list[tuple[OpenEpisode, list[Row], list[int], bool]]":
        """What waits, and whether it is the last of its episode."""
        with self._lock:
            ready = [(episode, *episode.taken()) for episode in self._open if episode.pending or episode.ended]
            over = [episode for episode, _, _, ended in ready if ended]
            self._open = [episode for episode in self._open if episode not in over]
            self._waiting = 0
        return ready

    def _give_up(self) -> None:
        """Leave the file as the last flush left it."""
        self.failed = True
        self._journaled.abandon()

    def _full(self, error: OSError) -> InputError:
        self._give_up()
        return InputError(
            f"{self.path} cannot grow ({os.strerror(error.errno) if error.errno else error}): make room; "
            f"it is whole and holds {self.rows:,} rows of this recording."
        )

    def _write(self, ready: list[tuple[OpenEpisode, list[Row], list[int], bool]]) -> None:
        """Rows and their counts, all or none of them."""
        assert self._file is not None
        written = 0
        for episode, rows, seeds, ended in ready:
            if rows:
                episode.demo.extend(rows, seeds, episode.demo.packed(rows, self._pool), last=ended)
                written += episode.demo.count()
            if ended and episode.demo.rows:
                episode.demo.finish(episode.final, episode.success)
        self._data.attrs.modify("total", int(self._data.attrs["total"]) + written)
        self._file.flush()
        self._journaled.commit()
        self.rows += written
        if self._written != self.path and self.rows:
            self._journaled.move(self.path)
            self._written, self._replaces = self.path, False

    def drop(self, episode: EpisodeSink) -> None:
        """Forget an episode that is still open, with what was already written of it."""
        if not isinstance(episode, OpenEpisode):
            raise InputError("A row of its own cannot be taken back.")
        if self.failed:
            return
        with self._writing:
            with self._lock:
                self._open.remove(episode)
            self.rows -= episode.demo.drop()

    def close(self) -> None:
        """Flush and close; an episode without rows leaves nothing, and a file without episodes neither."""
        if self._file is None or not self._file:
            return
        try:
            for episode in self._open:
                episode.ended = True
            if not self._flusher.told:
                self.flush()
        finally:
            self._flusher.stop()
            self._pool.shutdown()
            self._shut(self._file)

    def _shut(self, file: h5py.File) -> None:
        try:
            file.close()
            self._journaled.commit()
        except (OSError, RuntimeError):  # nothing that the last flush has not brought to the disk
            self._journaled.abandon()
        self._journaled.close()
        if self._written != self.path or (self.rows == 0 and not self._append):
            self._written.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _kept(path: Path, ours: Schema, theirs: Schema) -> Schema:
    """What a file goes on to hold: what it did."""
    if common(ours, theirs) != ours:
        what, remedy = difference(ours, theirs)
        raise InputError(f"{path} and what is to be appended hold different {what}: {remedy}choose another --out.")
    return ours


def _same_source(path: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """The root speaks for every row: what comes from another world, or is drawn another way, has no place there."""
    for name in ("env_args", "render"):
        before, now = plain(ours.get(name)), plain(theirs.get(name))
        if None not in (before, now) and before != now:
            raise InputError(f"{path} was recorded with {name} = {before}, this is {now}: choose another --out.")


def _alignment(schema: Schema) -> int:
    """Raw frames begin with a page of memory, which makes reading them a fifth faster, where that wastes little."""
    sizes = [int(np.prod(plane.shape)) * np.dtype(plane.dtype).itemsize for plane in planes(schema)]
    waste = sum(-size % _PAGE for size in sizes)
    return _PAGE if waste <= 0.05 * sum(sizes) else 1


def _describe(file: h5py.File, schema: Schema, attributes: Mapping[str, Any]) -> None:
    data = file.create_group("data")
    data.attrs.update({name: fixed(value) for name, value in attributes.items()})
    data.attrs.update({"format": fixed(FORMAT), "format_version": VERSION, "total": 0, "created": time.time()})
    data.attrs["schema"] = np.bytes_(schema_text(schema))
    data.attrs.setdefault("env_args", fixed(json.dumps({"env_name": "", "type": 2, "env_kwargs": {}})))
