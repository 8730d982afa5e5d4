"""LeRobotDataset v3.0: pictures as PNG within the tables, which keeps every pixel, or as videos, which does not.

Layout: https://github.com/huggingface/lerobot, ``codebase_version`` v3.0. Written without the package.

``actions`` become ``action``; what an agent could observe becomes ``observation.<name>``, both in 32 bits, which
LeRobot's policies want; poses and outcomes keep their names (with ``.`` for ``/``) and their 64 bits, so that no policy
takes the answer for an observation. ``timestamp`` is the row divided by the frames per second, as LeRobot counts it.
LeRobot has no place for the frame after the last action, seeds, or truncation (``next.done`` is termination).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ssl_robot.datasets.exporters._lerobot_files import CHUNK_FILES, DATA_MEGABYTES, VIDEO_MEGABYTES, Film, Tables
from ssl_robot.datasets.exporters._lerobot_stats import Pixels, Total, of_numbers
from ssl_robot.datasets.exports import Wish
from ssl_robot.datasets.imports import Episode
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema

_POLICY = ("observation.", "action")  # features that policies read
_COUNTERS = {"frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"}
_OUTCOMES = {"next.reward": "float64", "next.done": "bool"}
_CODECS = {"libsvtav1": "av1", "h264": "h264"}


@dataclass(frozen=True)
class _Feature:
    """A column of numbers.

    Attributes:
        key: Its name in LeRobot.
        dtype: As LeRobot writes it.
        components: Names of its numbers; of a single one that needs none, nothing.
    """

    key: str
    dtype: str
    components: tuple[str, ...] = ()

    def arrow(self) -> Any:
        """Its type in a table."""
        kind = pyarrow.bool_() if self.dtype == "bool" else pyarrow.type_for_alias(self.dtype)
        return pyarrow.list_(kind, len(self.components)) if len(self.components) > 1 else kind

    def described(self) -> dict[str, Any]:
        """Its entry in ``info.json``."""
        return {"dtype": self.dtype, "shape": [len(self.components) or 1], "names": list(self.components) or None}


class Lerobot:
    """A LeRobotDataset that is being written.

    Args:
        folder: Where; empty.
        schema: What every row holds.
        attributes: Provenance of the recording.
        wish: Its video is an encoder, or nothing to keep every pixel.

    Raises:
        InputError: If frames per second are not known, or videos cannot have the size of the frames.
    """

    def __init__(self, folder: Path, schema: Schema, attributes: Mapping[str, Any], wish: Wish) -> None:
        self._folder, self._attributes = folder, attributes
        self._fps, self._codec = _fps(wish), wish.video
        self._cameras = {f"observation.images.{name.replace('/', '.')}": name for name in schema.cameras}
        self._shapes = {key: schema.cameras[name] for key, name in self._cameras.items()}
        self._labels = _features(schema)
        self._columns = [*self._labels.values(), *_bookkeeping()]
        self._tables = Tables(folder, self._arrow())
        self._films = self._opened_films()
        self._totals = {key: Total() for key in (*self._cameras, *(column.key for column in self._columns))}
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._frames = self._offbeat = self._finals = self._seeds = 0
        self._rounded: dict[str, float] = {}
        self.warnings: Sequence[str] = ()

    def _opened_films(self) -> dict[str, Film]:
        if self._codec is None:
            return {}
        for key, (h, w, _) in self._shapes.items():
            if h % 2 or w % 2:
                raise InputError(f"Videos need even sizes, and {key} has frames of {w} x {h}: leave out --video.")
        return {key: Film(self._folder, key, shape, self._fps, self._codec) for key, shape in self._shapes.items()}

    def _arrow(self) -> Any:
        picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        pictures = [] if self._codec else [(key, picture) for key in self._cameras]
        return pyarrow.schema([*pictures, *((column.key, column.arrow()) for column in self._columns)])

    def add(self, episode: Episode, rows: Iterator[Row]) -> None:
        """Write an episode."""
        task = str(episode.attributes.get("task", ""))
        number = self._tasks.setdefault(task, len(self._tasks))
        chunk, file = self._tables.begin()
        spans = {key: film.begin() for key, film in self._films.items()}
        pixels = {key: Pixels() for key in self._cameras}
        values: dict[str, list[NDArray[np.float64]]] = {column.key: [] for column in self._columns}
        for index, row in enumerate(rows):
            numbers = self._numbers(row, index, number)
            pictures = self._pictures(row, index, pixels)
            self._tables.add({**pictures, **numbers}, sum(len(item["bytes"]) for item in pictures.values()))
            for key, value in numbers.items():
                values[key].append(np.atleast_1d(np.asarray(value, np.float64)))
        stats = {key: counter.stats() for key, counter in pixels.items()}
        stats |= {key: of_numbers(np.stack(column)) for key, column in values.items()}
        for key, total in self._totals.items():
            total.add(stats[key])
        self._episodes.append(self._record(episode.frames, task, (chunk, file), spans, stats))
        self._frames += episode.frames
        self._finals += bool(episode.final())
        self._seeds += episode.seed is not None

    def _numbers(self, row: Row, index: int, task: int) -> dict[str, Any]:
        """The numbers of a row as the tables take them."""
        time = index / self._fps
        self._offbeat += bool(row.time) and abs(row.time - time) > 0.5 / self._fps
        found: dict[str, Any] = {}
        for name, feature in self._labels.items():
            exact = np.asarray(row.labels[name], np.float64)
            kept = exact.astype(feature.dtype)
            lost = float(np.max(np.abs(np.nan_to_num(kept - exact)), initial=0.0))
            self._rounded[feature.key] = max(lost, self._rounded.get(feature.key, 0.0))
            found[feature.key] = kept.tolist() if len(kept) > 1 else kept.item()
        return {
            **found,
            "next.reward": float(row.reward),
            "next.done": bool(row.terminated),
            "timestamp": time,
            "frame_index": index,
            "episode_index": len(self._episodes),
            "index": self._frames + index,
            "task_index": task,
        }

    def _pictures(self, row: Row, index: int, pixels: Mapping[str, Pixels]) -> dict[str, dict[str, Any]]:
        """The pictures of a row as the tables take them; those of videos go where they belong."""
        found = {}
        for key, camera in self._cameras.items():
            pixels[key].add(row.frames[camera])
            if key in self._films:
                self._films[key].add(row.frames[camera])
            else:
                found[key] = {"bytes": _png(row.frames[camera]), "path": f"frame-{index:06d}.png"}
        return found

    def _record(
        self,
        rows: int,
        task: str,
        place: tuple[int, int],
        spans: Mapping[str, Mapping[str, Any]],
        stats: Mapping[str, Mapping[str, NDArray[Any]]],
    ) -> dict[str, Any]:
        """What ``meta/episodes`` says of an episode."""
        record: dict[str, Any] = {"episode_index": len(self._episodes), "tasks": [task], "length": rows}
        record |= {"data/chunk_index": place[0], "data/file_index": place[1]}
        record |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + rows}
        for key, span in spans.items():
            record |= {f"videos/{key}/{name}": value for name, value in span.items()}
            record[f"videos/{key}/to_timestamp"] = self._films[key].seconds()
        record |= {f"stats/{key}/{name}": value.tolist() for key, item in stats.items() for name, value in item.items()}
        return {**record, "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}

    def close(self) -> None:
        """Write what describes the dataset."""
        self._tables.close()
        for film in self._films.values():
            film.close()
        meta = self._folder / "meta"
        (meta / "episodes/chunk-000").mkdir(parents=True)
        episodes = pyarrow.Table.from_pylist(self._episodes)
        pyarrow.parquet.write_table(episodes, meta / "episodes/chunk-000/file-000.parquet")
        pyarrow.parquet.write_table(_task_table(list(self._tasks)), meta / "tasks.parquet")
        stats = {key: total.stats() for key, total in self._totals.items()}
        (meta / "stats.json").write_text(json.dumps(stats, indent=4), encoding="utf-8")
        (meta / "info.json").write_text(json.dumps(self._info(), indent=4), encoding="utf-8")
        self.warnings = list(self._lost())

    def _info(self) -> dict[str, Any]:
        whole = int(self._fps) if float(self._fps).is_integer() else self._fps
        pictures = {key: self._camera(shape) for key, shape in self._shapes.items()}
        place = "chunk-{chunk_index:03d}/file-{file_index:03d}"
        return {
            "codebase_version": "v3.0",
            "robot_type": self._attributes.get("robot_type"),
            "total_episodes": len(self._episodes),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": DATA_MEGABYTES,
            "video_files_size_in_mb": VIDEO_MEGABYTES,
            "fps": whole,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": f"data/{place}.parquet",
            "video_path": f"videos/{{video_key}}/{place}.mp4" if self._codec else None,
            "features": pictures | {column.key: column.described() for column in self._columns},
        }

    def _camera(self, shape: tuple[int, int, int]) -> dict[str, Any]:
        """A camera's entry in ``info.json``."""
        entry: dict[str, Any] = {"shape": list(shape), "names": ["height", "width", "channels"]}
        if self._codec is None:
            return {"dtype": "image", **entry}
        video = {
            "video.height": shape[0],
            "video.width": shape[1],
            "video.codec": _CODECS[self._codec],
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": round(self._fps),
            "video.channels": 3,
            "has_audio": False,
        }
        return {"dtype": "video", **entry, "info": video}

    def _lost(self) -> Iterator[str]:
        """A sentence for what LeRobot keeps otherwise."""
        for key, error in self._rounded.items():
            if error:
                yield f"{key} is rounded to LeRobot's 32 bits, by {error:.1g} at most."
        for what, count in (("The frame after the last action", self._finals), ("The seed", self._seeds)):
            if count:
                yield f"{what} of {count:,} episode(s) is left out: LeRobot has no place for it."
        if self._offbeat:
            yield f"{self._offbeat} rows were recorded at other times than row / fps, which is how LeRobot counts them."


def _fps(wish: Wish) -> float:
    if wish.fps is None:
        raise InputError("The recording does not say its frames per second, and LeRobot needs them: give --fps.")
    return wish.fps


def _features(schema: Schema) -> dict[str, _Feature]:
    """The feature of each label."""
    found = {label.name: _key(label.name) for label in schema.labels}
    if len(set(found.values())) < len(found):
        raise InputError(f"Labels share a name in LeRobot: {', '.join(found)}; leave some out.")
    return {
        label.name: _Feature(
            found[label.name],
            "float32" if found[label.name].startswith(_POLICY) else "float64",
            label.components,
        )
        for label in schema.labels
    }


def _key(label: str) -> str:
    """What a label is called in LeRobot, which wants no ``/``."""
    name = label.replace("/", ".")
    if name == "actions":
        return "action"
    return name if label.startswith((*_POLICY, "poses/", "next.")) else f"observation.{name}"


def _bookkeeping() -> list[_Feature]:
    """The columns that every dataset has."""
    kinds = {**_OUTCOMES, "timestamp": "float32", **_COUNTERS}
    return [_Feature(key, dtype) for key, dtype in kinds.items()]


def _png(frame: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return data.tobytes()


def _task_table(tasks: Sequence[str]) -> Any:
    """The tasks as pandas writes a table that is indexed by them."""
    table = pyarrow.table({"task_index": list(range(len(tasks))), "task": list(tasks)})
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    described = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [{**column, "metadata": None} for column in columns],
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({b"pandas": json.dumps(described).encode()})
