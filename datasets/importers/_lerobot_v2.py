"""LeRobot v2.0 and v2.1 (they differ in statistics only): a parquet file and one video per camera for each episode."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ssl_robot.datasets.importers._lerobot import located, readable
from ssl_robot.datasets.pictures import DamageError, frames_of, pixels
from ssl_robot.errors import InputError


class V2:
    """Where a dataset of version 2 keeps its episodes.

    Args:
        source: Root folder.
        info: Its ``meta/info.json``.

    Raises:
        InputError: If the lists of episodes or tasks are missing or damaged.
    """

    def __init__(self, source: Path, info: Mapping[str, Any]) -> None:
        self._source, self._info = source, info
        listed = _lines(source, "episodes", "episode_index", "length")
        numbers = [item[key] for item in listed for key in ("episode_index", "length")]
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise InputError(f"{source}/meta/episodes.jsonl has numbers that count nothing: copy it again.")
        self.lengths: Mapping[int, int] = {item["episode_index"]: item["length"] for item in listed}
        self.tasks: Sequence[str] = [str(item["task"]) for item in _lines(source, "tasks", "task")]
        self._tasks = {item["episode_index"]: item.get("tasks") for item in listed}

    def task(self, number: int) -> list[str]:
        """What was to be done in an episode."""
        tasks = self._tasks[number]
        return [str(task) for task in tasks] if isinstance(tasks, list) else []

    def table(self, number: int, columns: Sequence[str]) -> pyarrow.Table:
        """Those of the columns that there are, for the rows of an episode.

        Raises:
            DamageError: If its file is missing, cannot be read, or has another number of rows.
        """
        path = self._path("data_path", number)
        name = path.relative_to(self._source)
        with readable(str(name)), pyarrow.parquet.ParquetFile(path) as file:
            table = file.read(list(columns))
        length = self.lengths[number]
        if len(table) != length:
            raise DamageError(f"{name} has {len(table)} rows where meta/episodes.jsonl says {length}")
        return table

    def film(self, number: int, key: str, times: NDArray[np.float64], tolerance: float) -> Iterator[NDArray[np.uint8]]:
        """The frames of an episode's video, RGB (h, w, 3), each at the time of its row.

        Args:
            number: The episode.
            key: The camera.
            times: When each row was recorded, seconds.
            tolerance: How far a frame may be from its row, seconds.

        Raises:
            DamageError: If frames and rows do not belong together.
        """
        path = self._path("video_path", number, key)
        name = str(path.relative_to(self._source))
        count = 0
        for frame in frames_of(path, name):
            if count == len(times):
                raise DamageError(f"{name} goes on after its {count} rows")
            if frame.pts is None or abs(frame.time - times[count]) > tolerance:
                raise DamageError(f"{name} has frame {count} at {frame.time} s, its row at {times[count]:.3f} s")
            yield pixels(frame)
            count += 1
        if count < len(times):
            raise DamageError(f"{name} ends after {count} of {len(times)} frames")

    def _path(self, template: str, number: int, video: str = "") -> Path:
        fields = {"episode_chunk": number // self._info["chunks_size"], "episode_index": number, "video_key": video}
        return located(self._source, self._info, template, fields)


def _lines(source: Path, name: str, *keys: str) -> list[dict[str, Any]]:
    """A file of one JSON object a line, each with the given keys."""
    path = source / "meta" / f"{name}.jsonl"
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        sound = all(key in record for record in records for key in keys)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}): copy the dataset's meta folder again."
        ) from None
    if not sound:
        raise InputError(f"{path} has a line without {' or '.join(keys)}: copy the dataset's meta folder again.")
    return records
