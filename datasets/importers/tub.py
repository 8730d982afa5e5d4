"""Donkeycar's tub v2: JPEG pictures and a catalog of numbers, one JSON object a line.

Layout: https://github.com/autorope/donkeycar, ``donkeycar/parts/tub_v2.py``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers._names import chosen, side_by_side
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import LOSSY, DamageError, decoded, line, reported, squared
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_PICTURE = "image_array"
_SCALARS = {"float", "int", "boolean"}
_VECTORS = {"vector", "list"}
_ACTIONS = ("user/angle", "user/throttle")

_Record = dict[str, Any]


class Tub:
    """A tub, whose sessions are episodes; one that names no sessions is one episode.

    Records that the manifest marks as deleted are left out, so times may have gaps. Steering and throttle of the
    driver are the actions, and labels under their own names like every other number.

    Args:
        source: Folder with ``manifest.json``, the catalogs and ``images/``.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep, by last part or full name; all if none is given.

    Raises:
        InputError: If the manifest or a catalog is missing or damaged, or there is no picture or no such camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        self._source, self._size = source, size
        inputs, catalogs = _manifest(source)
        self._records, self._damage = _sessions(source, catalogs)
        if not self._records:
            raise InputError(f"{source} has no records that are not deleted: give a tub with at least one.")
        names = _cameras(inputs)
        self._keys = {name: names[name] for name in chosen(names, cameras, source)}
        self._labels = self._described(inputs)
        steered = set(_ACTIONS) <= {label.name for label in self._labels}
        actions = [Label.plain("actions", 2, ("angle", "throttle"))] if steered else []
        self.schema = Schema({name: self._shape(key) for name, key in self._keys.items()}, (*self._labels, *actions))
        self.attributes: Mapping[str, Any] = {
            "source": source.resolve().name,
            "source_format": "donkeycar tub v2",
            "lossy": "JPEG",
        }
        self.warnings = list(self._warned(inputs, catalogs["deleted_indexes"]))

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether the folder has a manifest and a catalog."""
        try:
            return (source / "manifest.json").is_file() and any(source.glob("*.catalog"))
        except OSError:
            return False

    def episodes(self) -> list[Episode]:
        """The sessions in the order of their first records."""
        return [
            Episode(
                f"session {session}" if session else "the only session",
                len(records),
                partial(self._rows, session),
                attributes={"session": session} if session else {},
            )
            for session, records in self._records.items()
        ]

    def _described(self, inputs: Mapping[str, str]) -> list[Label]:
        """A label for each input of numbers; how many a list has is seen in the first record that has one."""
        widths = {name: 1 for name, kind in inputs.items() if kind in _SCALARS}
        for name in (name for name, kind in inputs.items() if kind in _VECTORS):
            lists = (record.get(name) for records in self._records.values() for record in records)
            widths[name] = next((len(value) for value in lists if isinstance(value, list)), 0)
        kept = side_by_side((name for name, width in widths.items() if width), ("actions", *self._keys))
        return [Label.plain(name, widths[name]) for name in kept]

    def _shape(self, key: str) -> tuple[int, int, int]:
        """Height, width and channels of a camera: its first picture's that can be read."""
        if self._size is not None:
            return self._size, self._size, 3
        for record in (record for records in self._records.values() for record in records):
            try:
                h, w, c = self._decoded(record, key).shape
            except DamageError:  # reported when its row is read
                continue
            return h, w, c
        raise InputError(f"{self._source} has no picture of {key} that can be read: copy it again.")

    def _warned(self, inputs: Mapping[str, str], deleted: Sequence[int]) -> Iterator[str]:
        yield LOSSY.format(self._source)
        if deleted:
            yield f"{len(set(deleted))} record(s) that the manifest of {self._source} marks as deleted are left out."
        kept = {*self._keys.values(), *(label.name for label in self._labels)}
        left = [name for name, kind in inputs.items() if name not in kept and kind != _PICTURE]
        if left:
            yield f"Inputs of {self._source} that are no numbers are left out: {', '.join(left)}."

    def _rows(self, session: str) -> Iterator[Row]:
        name = f"Session {session} of {self._source}" if session else str(self._source)
        return reported(self._read(session), name, "sessions")

    def _read(self, session: str) -> Iterator[Row]:
        if session in self._damage:
            raise DamageError(self._damage[session])
        records = self._records[session]
        first = _numbers(records[0], "_timestamp_ms", 1)[0]
        for record in records:
            labels = {label.name: _numbers(record, label.name, len(label.components)) for label in self._labels}
            if self.schema.labels != tuple(self._labels):
                labels["actions"] = np.concatenate([labels[name] for name in _ACTIONS])
            yield Row(
                frames={name: self._picture(record, name, key) for name, key in self._keys.items()},
                labels=labels,
                truncated=record is records[-1],
                time=float(_numbers(record, "_timestamp_ms", 1)[0] - first) / 1000,
            )

    def _picture(self, record: _Record, name: str, key: str) -> NDArray[np.uint8]:
        picture = self._decoded(record, key)
        h, w, _ = self.schema.cameras[name]
        if self._size is None and picture.shape[:2] != (h, w):
            raise InputError(
                f"{self._source}/images/{record[key]} is {picture.shape[1]} x {picture.shape[0]} pixels and others "
                f"{w} x {h}: bring them to one size with --size."
            )
        return squared(picture, self._size)

    def _decoded(self, record: _Record, key: str) -> NDArray[np.uint8]:
        name = record.get(key)
        if not isinstance(name, str):
            raise DamageError(f"record {record['_index']} names no picture for {key}")
        try:
            picture = decoded((self._source / "images" / name).read_bytes())
        except (OSError, ValueError) as error:
            raise DamageError(f"images/{name} cannot be read ({line(error)})") from None
        if picture is None:
            raise DamageError(f"images/{name} cannot be decoded")
        return picture


def _manifest(source: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The type of each input, and where the catalogs are and which records count no more.

    Raises:
        InputError: If it cannot be read or has another layout.
    """
    path = source / "manifest.json"
    try:
        inputs, types, _, _, catalogs = map(json.loads, path.read_text(encoding="utf-8").strip().splitlines()[:5])
        found = {str(name): str(kind) for name, kind in zip(inputs, types, strict=True)}
        paths = [Path(str(name)).name for name in catalogs["paths"]]
        deleted = [int(index) for index in catalogs.get("deleted_indexes", ())]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{source} has no manifest.json: give the folder of a tub.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {line(error)}): copy it again.") from None
    return found, {"paths": paths, "deleted_indexes": deleted}


def _sessions(source: Path, catalogs: Mapping[str, Any]) -> tuple[dict[str, list[_Record]], dict[str, str]]:
    """The records of each session in their order, and what is wrong with a session's catalog.

    A line that cannot be read is taken to be of the session of the line before.
    """
    deleted = set(catalogs["deleted_indexes"])
    records: list[_Record] = []
    damage: list[tuple[int, str]] = []
    for name in catalogs["paths"]:
        for number, text in enumerate(_lines(source / name), 1):
            record = _record(text)
            if record is None:
                damage.append((len(records), f"line {number} of {name} is no record"))
            elif record["_index"] not in deleted:
                records.append(record)
    named = [_session(record) for record in records]
    broken = {named[max(place - 1, 0)]: what for place, what in reversed(damage)} if named else {}
    found: dict[str, list[_Record]] = {}
    for record in sorted(records, key=lambda record: record["_index"]):
        found.setdefault(_session(record), []).append(record)
    return found, broken


def _lines(path: Path) -> list[str]:
    try:
        return [text for text in path.read_text(encoding="utf-8", errors="replace").split("\n") if text.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): copy the tub again.") from None


def _record(text: str) -> _Record | None:
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("_index"), int) else None


def _session(record: _Record) -> str:
    return str(record.get("_session_id") or "")


def _cameras(inputs: Mapping[str, str]) -> dict[str, str]:
    """Full name of each camera by its last part, or by itself where that would not be unique."""
    keys = [name for name, kind in inputs.items() if kind == _PICTURE]
    last = [key.rpartition("/")[2] for key in keys]
    unique = len(set(last)) == len(last) and not set(last) & set(inputs)
    return dict(zip(last if unique else keys, keys, strict=True))


def _numbers(record: _Record, name: str, width: int) -> NDArray[np.float64]:
    """The numbers of an input; what the car did not know is NaN."""
    if name not in record:
        raise DamageError(f"record {record['_index']} has no {name}")
    value = record[name] if isinstance(record[name], list) else [record[name]]
    try:
        found = np.array([np.nan if number is None else float(number) for number in value])
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if len(found) != width:
        raise DamageError(f"record {record['_index']} does not have {width} number(s) as its {name}")
    return found
