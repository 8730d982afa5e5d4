"""LeRobot v3: many episodes in each parquet file and in each video."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ssl_robot.datasets.importers._lerobot import located, readable
from ssl_robot.datasets.importers._reel import Reel
from ssl_robot.datasets.pictures import DamageError, line, pixels
from ssl_robot.errors import InputError

_NEEDED = ("episode_index", "length", "data/chunk_index", "data/file_index")


class V3:
    """Where a dataset of version 3 keeps its episodes.

    Args:
        source: Root folder.
        info: Its ``meta/info.json``.

    Raises:
        InputError: If the lists of episodes or tasks are missing or damaged.
    """

    def __init__(self, source: Path, info: Mapping[str, Any]) -> None:
        self._source, self._info = source, info
        self._listed = _listed(source)
        self.lengths: Mapping[int, int] = {number: item["length"] for number, item in self._listed.items()}
        self.tasks: Sequence[str] = _tasks(source)
        self._data: _Data | None = None
        self._reels: dict[str, Reel] = {}

    def task(self, number: int) -> list[str]:
        """What was to be done in an episode."""
        return [str(task) for task in self._listed[number].get("tasks") or ()]

    def table(self, number: int, columns: Sequence[str]) -> pyarrow.Table:
        """Those of the columns that there are, for the rows of an episode.

        Raises:
            DamageError: If its file is missing, cannot be read, or has another number of rows of it.
        """
        path = self._path("data_path", self._listed[number], "data/")
        name = str(path.relative_to(self._source))
        with readable(name):
            if self._data is None or self._data.path != path:
                self._data = _Data(path, name)
            table = self._data.table(number, columns)
        length = self.lengths[number]
        if len(table) != length:
            raise DamageError(f"{name} has {len(table)} rows of it where meta/episodes says {length}")
        return table

    def film(self, number: int, key: str, times: NDArray[np.float64], tolerance: float) -> Iterator[NDArray[np.uint8]]:
        """The frames of an episode's stretch of a video, RGB (h, w, 3), each at the time of its row.

        Args:
            number: The episode.
            key: The camera.
            times: When each row was recorded, seconds since the episode began.
            tolerance: How far a frame may be from its row, seconds.

        Raises:
            DamageError: If frames and rows do not belong together.
        """
        record, prefix = self._listed[number], f"videos/{key}/"
        path = self._path("video_path", record, prefix, key)
        name = str(path.relative_to(self._source))
        start, end = (_seconds(record, f"{prefix}{edge}_timestamp") for edge in ("from", "to"))
        # a shorter stretch would lend this episode the first frames of the next one
        if abs(end - start - len(times) / self._info["fps"]) > tolerance:
            frames = round((end - start) * self._info["fps"])
            raise DamageError(f"{name} has {frames} frames of it where it has {len(times)} rows")
        reel = self._reels.setdefault(key, Reel())
        for row, time in enumerate(times + start):
            frame = reel.at(path, name, float(time), tolerance)
            if frame is None:
                raise DamageError(f"{name} has no frame at {time:.3f} s, where row {row} of {len(times)} belongs")
            yield pixels(frame)

    def _path(self, template: str, record: Mapping[str, Any], prefix: str, video: str = "") -> Path:
        chunk, file = (record.get(f"{prefix}{part}_index") for part in ("chunk", "file"))
        if chunk is None or file is None:
            raise DamageError(f"meta/episodes has no {prefix}chunk_index or {prefix}file_index for it")
        fields = {"chunk_index": int(chunk), "file_index": int(file), "video_key": video}
        return located(self._source, self._info, template, fields)


class _Data:
    """A parquet file of many episodes; the row groups last read stay in memory, for the next episode in them.

    Args:
        path: The file.
        name: What to call it in a message.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self._name = path, name
        self._file = pyarrow.parquet.ParquetFile(path)
        if "episode_index" not in self._file.schema_arrow.names:
            raise DamageError(f"{name} has no column episode_index")
        self._episodes = self._file.read(["episode_index"])["episode_index"].to_numpy()
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *groups])
        self._held: tuple[int, int, pyarrow.Table] | None = None

    def table(self, number: int, columns: Sequence[str]) -> pyarrow.Table:
        """The rows of an episode."""
        where = np.flatnonzero(self._episodes == number)
        if not len(where):
            raise DamageError(f"{self._name} has no rows of it")
        if where[-1] - where[0] + 1 != len(where):
            raise DamageError(f"{self._name} has rows of other episodes among its own")
        first, last = (int(np.searchsorted(self._starts, row, "right")) - 1 for row in (where[0], where[-1]))
        if self._held is None or self._held[:2] != (first, last):
            self._held = first, last, self._file.read_row_groups(range(first, last + 1), list(columns))
        return self._held[2].slice(int(where[0] - self._starts[first]), len(where))


def _listed(source: Path) -> dict[int, dict[str, Any]]:
    """What ``meta/episodes`` says of each episode, by its number."""
    folder = source / "meta" / "episodes"
    paths = sorted(folder.glob("*/*.parquet"))
    if not paths:
        raise InputError(f"{folder} has no parquet file: copy the dataset's meta folder again.")
    found: dict[int, dict[str, Any]] = {}
    for path in paths:
        table = _read(path)
        if missing := [name for name in _NEEDED if name not in table.column_names]:
            raise InputError(f"{path} has no column {missing[0]}: copy the dataset's meta folder again.")
        names = [name for name in table.column_names if not name.startswith("stats/")]
        records = table.select(names).to_pylist()
        if not all(isinstance(item[name], int) and item[name] >= 0 for item in records for name in _NEEDED):
            raise InputError(f"{path} has numbers that count nothing: copy the dataset's meta folder again.")
        found |= {item["episode_index"]: item for item in records}
    return dict(sorted(found.items()))


def _tasks(source: Path) -> list[str]:
    """The tasks in the order of their numbers; the text is the index of a pandas table, whatever that is called."""
    path = source / "meta" / "tasks.parquet"
    table = _read(path)
    texts = [name for name in table.column_names if pyarrow.types.is_string(table.schema.field(name).type)]
    texts += [name for name in table.column_names if pyarrow.types.is_large_string(table.schema.field(name).type)]
    if not texts or "task_index" not in table.column_names:
        raise InputError(f"{path} has no text or no task_index: copy the dataset's meta folder again.")
    return [str(text) for text in table.sort_by("task_index")[texts[0]].to_pylist()]


def _read(path: Path) -> pyarrow.Table:
    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read ({line(error)}): copy the dataset's meta folder again.") from None


def _seconds(record: Mapping[str, Any], name: str) -> float:
    value = record.get(name)
    if not isinstance(value, float | int):
        raise DamageError(f"meta/episodes has no {name} for it")
    return float(value)
