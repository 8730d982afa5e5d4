"""robomimic's HDF5: demonstrations under ``data/demo_i``, what was seen in ``obs`` and ``next_obs``.

Layout: https://robomimic.github.io/docs/datasets/overview.html. Many other collections keep to it (MimicGen, LIBERO,
RoboCasa).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers import _hdf5
from ssl_robot.datasets.importers._hdf5 import Field
from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import LOSSY, DamageError, reported
from ssl_robot.errors import InputError
from ssl_robot.frames import Row

_OUTCOMES = ("rewards", "dones")
_NOT_LABELS = {"obs", "next_obs", *_OUTCOMES}
_DEPTH = "_depth"  # after the name of the camera that measures it


class Robomimic:
    """A file of robomimic.

    Numbers of ``obs`` become labels under their own names; so do ``actions``, ``states`` and all others beside them.
    ``dones`` are taken for terminations: robomimic does not tell them from truncations. The splits that a
    demonstration is in, which robomimic lists under ``mask/``, become its attribute ``masks``, as ``20_percent,train``.

    Args:
        source: The file.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep; all if none is given.

    Raises:
        InputError: If it cannot be read, holds no demonstration, or lacks a camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        self._source, self._size = source, size
        with _hdf5.opened(source) as file:
            self._demos = _demos(file, source)
            self._masks = _masks(file)
            first = file["data"][next(iter(self._demos))]
            found, left = _hdf5.fields(
                first, {name: f"{name}/" for name in first if name not in _NOT_LABELS} | {"obs": ""}
            )
            self._outcomes, _ = _hdf5.fields(first, dict.fromkeys(_OUTCOMES, ""))
            provenance = _provenance(file["data"], source)
        seen, self._labels, far = _hdf5.split(found)
        self._cameras = {name: seen[name] for name in chosen({name: name for name in seen}, cameras, source)}
        self._depths = _measured(self._cameras, far) if size is None else {}
        self.schema = replace(_hdf5.schema(self._cameras, self._labels, size), depths=tuple(self._depths))
        lossy = _hdf5.lossy(self._cameras)
        self.attributes: Mapping[str, Any] = {**provenance, **({"lossy": "JPEG"} if lossy else {})}
        self.warnings: Sequence[str] = [
            *([LOSSY.format(lossy)] if lossy else []),
            *left,
            *_unused(seen, far, self._depths, size),
        ]

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is an HDF5 file with demonstrations that is none of ours."""
        if not _hdf5.is_foreign(source) or not _hdf5.has(source, "data"):
            return False
        try:
            with h5py.File(source, "r") as file:
                return any(_number(name) is not None for name in file["data"])
        except (TypeError, ValueError):
            return False
        except (OSError, RuntimeError):  # damaged: to be told
            return True

    def episodes(self) -> list[Episode]:
        """The demonstrations in the order of their numbers."""
        return [
            Episode(
                name,
                rows,
                partial(self._rows, name, rows),
                attributes=self._facts(name, task),
                final=partial(self._final, name, rows),
            )
            for name, (rows, task) in self._demos.items()
        ]

    def _facts(self, name: str, task: str) -> dict[str, Any]:
        facts = {"task": task, "masks": ",".join(self._masks[name])}
        return {key: value for key, value in facts.items() if value}

    def _rows(self, name: str, rows: int) -> Iterator[Row]:
        return reported(self._read(name, rows), f"{name} of {self._source}")

    def _read(self, name: str, rows: int) -> Iterator[Row]:
        self._next(name, rows)  # damage to the final frames shows while the episode can still be left out
        fps = self.attributes.get("fps")
        with _hdf5.reading(self._source) as file:
            group = file["data"][name]
            self._check(group, rows)
            frames = _hdf5.pictures(group, self._cameras, self._size, 0, rows)
            labels = _hdf5.numbers(group, self._labels, 0, rows)
            outcomes = _hdf5.numbers(group, self._outcomes, 0, rows)
            depths = _distances(group, self._depths, rows)
            for row, (seen, known, result, far) in enumerate(zip(frames, labels, outcomes, depths, strict=True)):
                done = bool(_hdf5.outcome(result, "dones"))
                yield Row(
                    frames=seen,
                    labels=known,
                    reward=_hdf5.outcome(result, "rewards"),
                    terminated=done,
                    truncated=row + 1 == rows and not done,
                    time=row / fps if fps else 0.0,
                    depths=far,
                )

    def _check(self, group: h5py.Group, rows: int) -> None:
        for field in (*self._cameras.values(), *self._labels.values(), *self._outcomes.values()):
            found = group.get(field.path)
            if isinstance(found, h5py.Dataset) and len(found) != rows:
                raise DamageError(f"{field.path} has {len(found)} rows where num_samples says {rows}")

    def _next(self, name: str, rows: int) -> dict[str, NDArray[np.uint8]]:
        """What was seen after the last action, if that was kept."""
        with _hdf5.reading(self._source) as file:
            group = file["data"][name].get("next_obs")
            if not isinstance(group, h5py.Group):
                return {}
            fields = {key: replace(field, path=key) for key, field in self._cameras.items() if key in group}
            return next(_hdf5.pictures(group, fields, self._size, rows - 1, 1))

    def _final(self, name: str, rows: int) -> dict[str, NDArray[np.uint8]]:
        try:
            return self._next(name, rows)
        except DamageError as error:
            raise InputError(f"{name} of {self._source} is damaged: {error}; copy it again.") from None


def _measured(cameras: Mapping[str, Field], far: Mapping[str, Field]) -> dict[str, Field]:
    """The distances that belong to a camera, by its name."""
    pairs = {name: far[name + _DEPTH] for name in cameras if name + _DEPTH in far}
    return {name: field for name, field in pairs.items() if field.picture == cameras[name].picture}


def _unused(
    seen: Mapping[str, Field], far: Mapping[str, Field], depths: Mapping[str, Field], size: int | None
) -> Iterator[str]:
    """A sentence for each distance that is not handed on, unless its camera was not asked for."""
    for name in far.keys() - {camera + _DEPTH for camera in depths}:
        if name.removesuffix(_DEPTH) not in seen:
            yield f"{name} is left out: there is no camera {name.removesuffix(_DEPTH)} of its size."
        elif size is not None:
            yield f"{name} is left out: depth is not resized."


def _distances(group: h5py.Group, depths: Mapping[str, Field], rows: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Metres from each camera, (h, w)."""
    streams = [_hdf5.entries(group, field, 0, rows) for field in depths.values()]
    for _ in range(rows):
        yield {name: np.asarray(next(stream), np.float32)[..., 0] for name, stream in zip(depths, streams, strict=True)}


def _demos(file: h5py.File, source: Path) -> dict[str, tuple[int, str]]:
    """Name of each demonstration that has rows: how many, and its task."""
    data = file.get("data")
    if not isinstance(data, h5py.Group):
        raise InputError(f"{source} has no group data: give a file of robomimic.")
    names = sorted((name for name in data if _number(name) is not None), key=lambda name: int(name[5:]))
    found = {name: (_length(data[name]), _task(data[name], data)) for name in names}
    found = {name: (rows, task) for name, (rows, task) in found.items() if rows}
    if not found:
        raise InputError(f"{source} has no demonstration with rows: give a file with at least one.")
    return found


def _number(name: str) -> int | None:
    """The number of a demonstration, as of ``demo_7``."""
    return int(name[5:]) if name.startswith("demo_") and name[5:].isdecimal() else None


def _length(demo: h5py.Group) -> int:
    return int(demo.attrs["num_samples"]) if "num_samples" in demo.attrs else len(demo["actions"])


def _task(demo: h5py.Group, data: h5py.Group) -> str:
    """What was to be done, where RoboCasa (of a demonstration) or LIBERO (of the file) say so."""
    for attributes, name, key in (
        (demo.attrs, "ep_meta", "lang"),
        (data.attrs, "problem_info", "language_instruction"),
    ):
        said = _record(attributes.get(name)).get(key)
        said = "".join(said) if isinstance(said, list) else said
        if isinstance(said, str):
            return said.strip('"')
    return ""


def _record(value: Any) -> dict[str, Any]:
    """A JSON object kept as text, or nothing."""
    try:
        record = json.loads(_hdf5.text(value))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _masks(file: h5py.File) -> dict[str, list[str]]:
    """The splits that each demonstration is in."""
    found: dict[str, list[str]] = defaultdict(list)
    masks = file.get("mask")
    for split in masks if isinstance(masks, h5py.Group) else ():
        for name in np.asarray(masks[split][()]).reshape(-1).tolist():
            found[_hdf5.text(name)].append(split)
    return found


def _provenance(data: h5py.Group, source: Path) -> dict[str, Any]:
    env = _hdf5.text(data.attrs.get("env_args"))
    record = _record(env)
    options = record.get("env_kwargs")
    fps = options.get("control_freq") if isinstance(options, dict) else None
    found = {
        "source": source.resolve().name,
        "source_format": "robomimic",
        "env_args": env,
        "env_name": record.get("env_name"),
        "fps": fps if isinstance(fps, int | float) else None,
    }
    return {name: value for name, value in found.items() if value}
