"""LeRobotDataset v2.1: a parquet file and one video per camera for each episode.

Layout: https://github.com/huggingface/lerobot, ``codebase_version`` v2.0 and v2.1 (they differ in statistics only).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import DamageError, decoded, frames_of, line, pixels, squared
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_BOOKKEEPING = {"timestamp", "frame_index", "episode_index", "index", "task_index"}
_OUTCOME = {"next.reward", "next.done"}  # columns of the row, not labels
_PICTURES = {"video", "image"}
_NUMBERS = ("float", "int", "uint", "bool")


@dataclass(frozen=True)
class _Camera:
    """One camera of the dataset.

    Attributes:
        name: Last part of its key, or the key where that would not be unique.
        key: Full name among the features.
        kind: ``video`` (its own file) or ``image`` (bytes in the parquet file).
        shape: Height, width and channels of what is handed on.
    """

    name: str
    key: str
    kind: str
    shape: tuple[int, int, int]


class Lerobot:
    """A LeRobotDataset on disk.

    Args:
        source: Root folder, which holds ``meta/``, ``data/`` and ``videos/``.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep, by last part or full name; all if none is given.

    Raises:
        InputError: If the folder is no such dataset, has another version, no frames, or lacks a camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        self._source = source
        self._info = _described(source)
        self._size = size
        features: dict[str, dict[str, Any]] = self._info["features"]
        self._labels = {key: _label(key, item, features) for key, item in features.items() if _is_label(key, item)}
        self._cameras = _chosen(_cameras(features, self._labels, size), cameras, source)
        self._lengths = _lengths(source)
        self.schema = Schema({item.name: item.shape for item in self._cameras}, tuple(self._labels.values()))
        self.attributes = self._provenance()
        self.warnings: Sequence[str] = ()

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether the folder has LeRobot's description, of any version."""
        return (source / "meta" / "info.json").is_file()

    def episodes(self) -> list[Episode]:
        """The episodes that ``episodes.jsonl`` lists; their numbers may have gaps."""
        return [
            Episode(f"episode {number}", length, partial(self._rows, number, length))
            for number, length in self._lengths.items()
            if length
        ]

    def _provenance(self) -> dict[str, Any]:
        found = {
            "source": self._source.resolve().name,
            "source_format": f"LeRobot {self._info['codebase_version']}",
            "codebase_version": self._info["codebase_version"],
            "robot_type": str(self._info.get("robot_type") or ""),
            "fps": self._info["fps"],
            "tasks": json.dumps(_tasks(self._source)),
            "license": _license(self._source),
        }
        return {name: value for name, value in found.items() if value != ""}

    def _rows(self, number: int, length: int) -> Iterator[Row]:
        try:
            yield from self._read(number, length)
        except DamageError as error:
            raise InputError(
                f"Episode {number} of {self._source} is damaged: {error}; "
                "copy it again, or leave such episodes out with --skip-bad."
            ) from None

    def _read(self, number: int, length: int) -> Iterator[Row]:
        table = self._table(number, length)
        times = _column(table, "timestamp", 1)[:, 0]
        if (np.diff(times) <= 0).any():
            raise DamageError("its rows are not in order of their timestamps")
        labels = {label.name: _column(table, key, len(label.components)) for key, label in self._labels.items()}
        rewards, dones = (
            _column(table, name, 1)[:, 0] if name in table.column_names else np.zeros(length)
            for name in ("next.reward", "next.done")
        )
        streams = [self._pictures(camera, number, table, times) for camera in self._cameras]
        for row, pictures in enumerate(zip(*streams, strict=True)):
            yield Row(
                frames=dict(zip(self.schema.cameras, pictures, strict=True)),
                labels={name: values[row] for name, values in labels.items()},
                reward=float(rewards[row]),
                terminated=bool(dones[row]),
                truncated=row + 1 == length and not dones[row],
                time=float(times[row]),
            )

    def _table(self, number: int, length: int) -> pyarrow.Table:
        """The episode's parquet file, with the columns that are needed."""
        path = self._path("data_path", number)
        pictures = [camera.key for camera in self._cameras if camera.kind == "image"]
        name = path.relative_to(self._source)
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                outcome = [column for column in _OUTCOME if column in file.schema_arrow.names]
                table = file.read(["timestamp", *self._labels, *outcome, *pictures])
        except FileNotFoundError:
            raise DamageError(f"{name} is missing") from None
        except (pyarrow.ArrowException, OSError) as error:
            raise DamageError(f"{name} cannot be read ({line(error)})") from None
        if len(table) != length:
            raise DamageError(f"{name} has {len(table)} rows where meta/episodes.jsonl says {length}")
        return table

    def _pictures(
        self, camera: _Camera, number: int, table: pyarrow.Table, times: NDArray[np.float64]
    ) -> Iterator[NDArray[np.uint8]]:
        """What a camera saw, one frame for each row, fitted to the schema."""
        if camera.kind == "image":
            frames = _embedded(table, camera.key)
        else:
            path = self._path("video_path", number, camera.key)
            frames = _filmed(path, str(path.relative_to(self._source)), times, 0.5 / self._info["fps"])
        for frame in frames:
            if self._size is not None:
                yield squared(frame, self._size)
            elif frame.shape == camera.shape:
                yield frame
            else:
                raise DamageError(
                    f"camera {camera.name} has frames of {frame.shape}, meta/info.json says {camera.shape}"
                )

    def _path(self, template: str, number: int, video: str = "") -> Path:
        chunk = number // self._info["chunks_size"]
        try:
            name = self._info[template].format(episode_chunk=chunk, episode_index=number, video_key=video)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise InputError(
                f"{self._source}/meta/info.json has no usable {template}: copy the dataset again."
            ) from None
        return self._source / str(name)


def _described(source: Path) -> dict[str, Any]:
    """``meta/info.json``, checked as far as it is used.

    Raises:
        InputError: If it is missing, damaged, or of a version that is not read here.
    """
    path = source / "meta" / "info.json"
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, features = str(info["codebase_version"]), info["features"]
        sound = info["fps"] > 0 and features.keys() and int(info.setdefault("chunks_size", 1000)) > 0
        sound = sound and all(isinstance(item["dtype"], str) and len(item["shape"]) > 0 for item in features.values())
    except FileNotFoundError:
        raise InputError(f"{source} has no meta/info.json: give the root folder of a LeRobot dataset.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {line(error)}): copy it again.") from None
    if version.startswith("v3"):
        raise InputError(
            f"{source} is LeRobot {version}, which is not read yet: take its v2.1 revision "
            "(hf download --repo-type dataset --revision v2.1)."
        )
    if not version.startswith("v2."):
        raise InputError(f"{source} is LeRobot {version}, v2.1 is read: convert it with LeRobot's own scripts.")
    if not sound:
        raise InputError(f"{path} has no positive fps, chunks_size or shape of a feature: copy it again.")
    return info


def _lengths(source: Path) -> dict[int, int]:
    """Episode number to its rows.

    Raises:
        InputError: If the list is missing, damaged, or counts no frames.
    """
    episodes = {item["episode_index"]: item["length"] for item in _lines(source, "episodes", "episode_index", "length")}
    if not all(isinstance(value, int) and value >= 0 for pair in episodes.items() for value in pair):
        raise InputError(f"{source}/meta/episodes.jsonl has numbers that count nothing: copy it again.")
    if not sum(episodes.values()):
        raise InputError(f"{source} has no frames: give a dataset with at least one recorded episode.")
    return episodes


def _tasks(source: Path) -> list[str]:
    return [str(item["task"]) for item in _lines(source, "tasks", "task")]


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


def _license(source: Path) -> str:
    """First line of the licence, or nothing."""
    for path in sorted(source.glob("LICENSE*")):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        return text.partition("\n")[0].strip()[:80]
    return ""


def _is_label(key: str, feature: Mapping[str, Any]) -> bool:
    return feature["dtype"].startswith(_NUMBERS) and key not in _BOOKKEEPING | _OUTCOME


def _label(key: str, feature: Mapping[str, Any], features: Mapping[str, Any]) -> Label:
    """The label of a feature: its own name, but ``actions`` for what LeRobot calls ``action``."""
    name = "actions" if key == "action" and "actions" not in features else key
    width = int(np.prod(feature["shape"]))
    components = tuple(_leaves(feature.get("names")))
    return Label.plain(name, width, components if len(components) == width else ())


def _leaves(names: object) -> Iterator[str]:
    """Names however they are nested: a list, a list of lists, or lists under the name of a group."""
    if isinstance(names, Mapping):
        names = list(names.values())
    if isinstance(names, list):
        for item in names:
            yield from _leaves(item)
    elif names is not None:
        yield str(names)


def _cameras(features: Mapping[str, Any], labels: Mapping[str, Label], size: int | None) -> list[_Camera]:
    keys = [key for key, item in features.items() if item["dtype"] in _PICTURES]
    last = [key.rpartition(".")[2] for key in keys]
    taken = [label.name for label in labels.values()]
    unique = len(set(last)) == len(last) and not set(last) & set(taken)
    return [
        _Camera(short if unique else key, key, features[key]["dtype"], _shape(features[key]["shape"], size))
        for key, short in zip(keys, last, strict=True)
    ]


def _shape(shape: Sequence[int], size: int | None) -> tuple[int, int, int]:
    """Height, width, channels; some datasets put the channels first."""
    if size is not None:
        return size, size, 3
    first, second, third = (*(int(value) for value in shape), 0, 0, 0)[:3]
    return (second, third, 3) if first in (1, 3) and third not in (1, 3) else (first, second, 3)


def _chosen(cameras: list[_Camera], wanted: Sequence[str], source: Path) -> list[_Camera]:
    """The cameras asked for, in the dataset's order.

    Raises:
        InputError: If there are none, or one that is asked for is not among them.
    """
    if not cameras:
        raise InputError(f"{source} has no camera, only numbers: give a dataset with a video or image feature.")
    for name in wanted:
        if not any(name in (camera.name, camera.key) for camera in cameras):
            names = ", ".join(camera.name for camera in cameras)
            raise InputError(f"{source} has no camera '{name}': choose from {names}.")
    return [camera for camera in cameras if not wanted or {camera.name, camera.key} & set(wanted)]


def _column(table: pyarrow.Table, name: str, width: int) -> NDArray[np.float64]:
    """A column of numbers, (rows, width); what is missing in the file is NaN."""
    if name not in table.column_names:
        raise DamageError(f"its parquet file has no column {name}")
    try:
        return np.array(table[name].to_pylist(), np.float64).reshape(len(table), width)
    except (ValueError, TypeError):
        raise DamageError(f"column {name} does not hold {width} number(s) in every row") from None


def _embedded(table: pyarrow.Table, key: str) -> Iterator[NDArray[np.uint8]]:
    """Pictures kept as encoded bytes beside the numbers, RGB (h, w, 3)."""
    if key not in table.column_names:
        raise DamageError(f"its parquet file has no column {key}")
    for row, value in enumerate(table[key]):
        data = (value.as_py() or {}).get("bytes") or b""
        picture = decoded(data)
        if picture is None:
            raise DamageError(f"{key} has no picture at row {row}")
        yield picture


def _filmed(path: Path, name: str, times: NDArray[np.float64], tolerance: float) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video in order of presentation, RGB (h, w, 3), each at the time of its row.

    Args:
        path: The video.
        name: What to call it in a message.
        times: When each row was recorded, seconds.
        tolerance: How far a frame may be from its row, seconds.
    """
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
