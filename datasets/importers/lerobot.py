"""LeRobotDataset v2.0, v2.1 and v3.0: what they have in common.

Where each version keeps its episodes is in ``_lerobot_v2`` and ``_lerobot_v3``.

Layout: https://github.com/huggingface/lerobot, ``codebase_version`` in ``meta/info.json``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow
from numpy.typing import NDArray

from ssl_robot.datasets.importers._lerobot_v2 import V2
from ssl_robot.datasets.importers._lerobot_v3 import V3
from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import (
    LOSSY,
    LOSSY_VIDEO,
    DamageError,
    decoded,
    is_jpeg,
    is_lossy,
    line,
    reported,
    squared,
)
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_BOOKKEEPING = {"timestamp", "frame_index", "episode_index", "index", "task_index"}
_OUTCOME = {"next.reward", "next.done"}  # columns of the row, not labels
_PICTURES = {"video", "image"}
_READ = ("v2.", "v3.")
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


class _Layout(Protocol):
    """Where a version keeps its episodes; ``lengths`` are the rows of each by its number."""

    lengths: Mapping[int, int]
    tasks: Sequence[str]

    def task(self, number: int) -> list[str]: ...

    def table(self, number: int, columns: Sequence[str]) -> pyarrow.Table: ...

    def film(
        self, number: int, key: str, times: NDArray[np.float64], tolerance: float
    ) -> Iterator[NDArray[np.uint8]]: ...


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
        seen = _cameras(features, self._labels, size)
        named = {camera.name: camera for camera in seen}
        names = chosen({name: camera.key for name, camera in named.items()}, cameras, source)
        self._cameras = [named[name] for name in names]
        self._layout: _Layout = (V3 if self._info["codebase_version"].startswith("v3") else V2)(source, self._info)
        if not sum(self._layout.lengths.values()):
            raise InputError(f"{source} has no frames: give a dataset with at least one recorded episode.")
        self.schema = Schema({item.name: item.shape for item in self._cameras}, tuple(self._labels.values()))
        lossy = self._lossy()
        self.attributes: Mapping[str, Any] = self._provenance(", ".join(sorted(set(lossy.values()))))
        self.warnings: Sequence[str] = [
            *(LOSSY.format(key) if how == "JPEG" else LOSSY_VIDEO.format(key, how) for key, how in lossy.items()),
            *(
                f"{key} is left out: it is a map of depth kept as a video."
                for key, item in features.items()
                if _is_depth(item)
            ),
        ]

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether the folder has LeRobot's description, of any version."""
        try:
            return (source / "meta" / "info.json").is_file()
        except OSError:
            return False

    def episodes(self) -> list[Episode]:
        """The episodes that the dataset lists; their numbers may have gaps."""
        lengths = {number: length for number, length in self._layout.lengths.items() if length}
        facts = {number: self._facts(number) for number in lengths}
        # rows of their own share a group, and the facts of the first
        alone = max(lengths.values()) == 1 and len({task for item in facts.values() for task in item.values()}) <= 1
        return [
            Episode(
                f"episode {number}",
                length,
                partial(self._rows, number),
                attributes=facts[number],
                independent=alone,
            )
            for number, length in lengths.items()
        ]

    def _facts(self, number: int) -> dict[str, Any]:
        task = "; ".join(self._layout.task(number))
        return {"task": task} if task else {}

    def _lossy(self) -> dict[str, str]:
        """How the pictures of those cameras were compressed that lost detail by it, by their keys."""
        found = {camera.key: _lossy_codec(self._info["features"][camera.key]) for camera in self._cameras}
        found |= {camera.key: self._jpeg(camera.key) for camera in self._cameras if camera.kind == "image"}
        return {key: how for key, how in found.items() if how}

    def _jpeg(self, key: str) -> str:
        """What the first picture beside the numbers is, if that is lossy; damage is reported when its rows are read."""
        number = next(number for number, length in self._layout.lengths.items() if length)
        try:
            table = self._layout.table(number, self._columns())
            return "JPEG" if key in table.column_names and is_jpeg(_encoded(table[key][0])) else ""
        except DamageError:
            return ""

    def _columns(self) -> list[str]:
        """What is read of a table; always all of it, for the layouts keep what they have read."""
        pictures = [camera.key for camera in self._cameras if camera.kind == "image"]
        return ["timestamp", *self._labels, *_OUTCOME, *pictures]

    def _provenance(self, lossy: str) -> dict[str, Any]:
        found = {
            "source": self._source.resolve().name,
            "source_format": f"LeRobot {self._info['codebase_version']}",
            "codebase_version": self._info["codebase_version"],
            "robot_type": str(self._info.get("robot_type") or ""),
            "fps": self._info["fps"],
            "tasks": json.dumps(self._layout.tasks),
            "license": _license(self._source),
            "lossy": lossy,
        }
        return {name: value for name, value in found.items() if value != ""}

    def _rows(self, number: int) -> Iterator[Row]:
        return reported(self._read(number), f"Episode {number} of {self._source}")

    def _read(self, number: int) -> Iterator[Row]:
        table = self._layout.table(number, self._columns())
        length = len(table)
        times = _column(table, "timestamp", 1)[:, 0]
        if (np.diff(times) <= 0).any():
            raise DamageError("its rows are not in order of their timestamps")
        labels = {label.name: _column(table, key, len(label.components)) for key, label in self._labels.items()}
        rewards, dones = (
            _column(table, name, 1)[:, 0] if name in table.column_names else np.zeros(length)
            for name in ("next.reward", "next.done")
        )
        streams = [self._pictures(camera, number, table, times) for camera in self._cameras]
        for row, seen in enumerate(zip(*streams, strict=True)):
            yield Row(
                frames=dict(zip(self.schema.cameras, seen, strict=True)),
                labels={name: values[row] for name, values in labels.items()},
                reward=float(rewards[row]),
                terminated=bool(dones[row]),
                truncated=row + 1 == length and not dones[row],
                time=float(times[row]),
            )

    def _pictures(
        self, camera: _Camera, number: int, table: pyarrow.Table, times: NDArray[np.float64]
    ) -> Iterator[NDArray[np.uint8]]:
        """What a camera saw, one frame for each row, fitted to the schema."""
        if camera.kind == "image":
            frames = _embedded(table, camera.key)
        else:
            frames = self._layout.film(number, camera.key, times, 0.5 / self._info["fps"])
        for frame in frames:
            if self._size is not None:
                yield squared(frame, self._size)
            elif frame.shape == camera.shape:
                yield frame
            else:
                raise DamageError(
                    f"camera {camera.name} has frames of {frame.shape}, meta/info.json says {camera.shape}"
                )


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
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{source} has no meta/info.json: give the root folder of a LeRobot dataset.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {line(error)}): copy it again.") from None
    if not version.startswith(_READ):
        raise InputError(
            f"{source} is LeRobot {version}, v2.0 to v3.0 are read: convert it with LeRobot's own scripts."
        )
    if not sound:
        raise InputError(f"{path} has no positive fps, chunks_size or shape of a feature: copy it again.")
    return info


def _license(source: Path) -> str:
    """First line of the licence, or nothing."""
    for path in sorted(source.glob("LICENSE*")):
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        return text.partition("\n")[0].strip()[:80]
    return ""


def _is_depth(feature: Mapping[str, Any]) -> bool:
    """Whether a video's grey levels are distances."""
    info = feature.get("info") or feature.get("video_info")
    return isinstance(info, dict) and any(bool(value) for key, value in info.items() if key.endswith("is_depth_map"))


def _lossy_codec(feature: Mapping[str, Any]) -> str:
    """How a camera's video was compressed, as far as the description says, if that lost detail; else nothing."""
    if feature["dtype"] != "video":
        return ""
    said = feature.get("info") or feature.get("video_info")
    said = said if isinstance(said, dict) else {}
    codec, layout = str(said.get("video.codec") or ""), str(said.get("video.pix_fmt") or "")
    return (codec or "video") if is_lossy(codec, layout) else ""


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
    keys = [key for key, item in features.items() if item["dtype"] in _PICTURES and not _is_depth(item)]
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
        picture = decoded(_encoded(value))
        if picture is None:
            raise DamageError(f"{key} has no picture at row {row}")
        yield picture


def _encoded(value: pyarrow.Scalar) -> bytes:
    """The bytes of a picture kept beside the numbers."""
    record = value.as_py()
    return (record.get("bytes") or b"") if isinstance(record, dict) else b""
