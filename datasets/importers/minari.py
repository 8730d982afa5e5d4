"""Minari's HDF5: ``main_data.hdf5`` with a group for each episode, which sees one observation more than it acts.

Layout: https://minari.farama.org/content/dataset_standards/. Read without the package.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
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
from ssl_robot.datasets.pictures import DamageError, reported
from ssl_robot.errors import InputError
from ssl_robot.frames import Row

_FILE, _DESCRIPTION = "main_data.hdf5", "metadata.json"
# Names of the parts of an episode, and what to put before the names of what they hold.
_PARTS = {"observations": "", "actions": "actions/", "infos": "infos/"}
_OUTCOMES = ("rewards", "terminations", "truncations")
_NOT_FACTS = {"id", "total_steps", "seed"}


class Minari:
    """A dataset of Minari on disk.

    Parts of an observation keep their names, an observation without parts is called ``observations``; numbers among
    the infos are called ``infos/<name>``.

    Args:
        source: The dataset's folder, the ``data`` folder in it, or the file there.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep; all if none is given.

    Raises:
        InputError: If there is no such file, it cannot be read, holds no steps, or lacks a camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        self._source, self._size = source, size
        self._file = _located(source)
        with _hdf5.opened(self._file) as file:
            self._steps = _steps(file, source)
            first = file[next(iter(self._steps))]
            found, left = _hdf5.fields(first, _PARTS)
            self._outcomes, _ = _hdf5.fields(first, dict.fromkeys(_OUTCOMES, ""))
            self._notes = {name: _hdf5.facts(file[name]) for name in self._steps}
            described = _described(self._file, file)
        seen, self._labels, other = _hdf5.split(found)
        self._cameras = {name: seen[name] for name in chosen({name: name for name in seen}, cameras, source)}
        self.schema = _hdf5.schema(self._cameras, self._labels, size)
        jpeg = {"lossy": "JPEG"} if _hdf5.lossy(self._cameras) else {}
        self.attributes: Mapping[str, Any] = {**_provenance(described, self._file), **jpeg}
        left += [f"{name} is left out: pictures of real numbers are not read." for name in other]
        self.warnings: Sequence[str] = [*_lossy(self._cameras), *left]

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is, or holds, a file with numbered episodes of actions."""
        try:
            file = _located(source)
        except (InputError, OSError):
            return False
        return _hdf5.is_foreign(file) and _hdf5.has(file, "episode_0/actions", "episode_0/observations")

    def episodes(self) -> list[Episode]:
        """The episodes in the order of their numbers."""
        return [
            Episode(
                name,
                rows,
                partial(self._rows, name, rows),
                seed=self._seed(name),
                attributes={key: value for key, value in self._notes[name].items() if key not in _NOT_FACTS},
                final=partial(self._final, name, rows),
            )
            for name, rows in self._steps.items()
        ]

    def _seed(self, name: str) -> int | None:
        seed = self._notes[name].get("seed")
        return seed if isinstance(seed, int) and 0 <= seed < 2**63 else None

    def _rows(self, name: str, rows: int) -> Iterator[Row]:
        return reported(self._read(name, rows), f"{name} of {self._source}")

    def _read(self, name: str, rows: int) -> Iterator[Row]:
        self._last(name, rows)  # damage to the final frames shows while the episode can still be left out
        with _hdf5.reading(self._file) as file:
            group = file[name]
            _check(group, rows, (*self._cameras.values(), *self._labels.values(), *self._outcomes.values()))
            frames = _hdf5.pictures(group, self._cameras, self._size, 0, rows)
            labels = _hdf5.numbers(group, self._labels, 0, rows)
            outcomes = _hdf5.numbers(group, self._outcomes, 0, rows)
            for row, (seen, known, result) in enumerate(zip(frames, labels, outcomes, strict=True)):
                terminated, truncated = (bool(_hdf5.outcome(result, part)) for part in _OUTCOMES[1:])
                yield Row(
                    frames=seen,
                    labels=known,
                    reward=_hdf5.outcome(result, "rewards"),
                    terminated=terminated,
                    truncated=truncated or (row + 1 == rows and not terminated),
                )

    def _last(self, name: str, rows: int) -> dict[str, NDArray[np.uint8]]:
        """What was seen after the last action."""
        observed = {key: field for key, field in self._cameras.items() if field.path.startswith("observations")}
        with _hdf5.reading(self._file) as file:
            return next(_hdf5.pictures(file[name], observed, self._size, rows, 1))

    def _final(self, name: str, rows: int) -> dict[str, NDArray[np.uint8]]:
        try:
            return self._last(name, rows)
        except DamageError as error:
            raise InputError(f"{name} of {self._source} is damaged: {error}; copy it again.") from None


def _located(source: Path) -> Path:
    """The file of a dataset.

    Raises:
        InputError: If there is none, or the dataset is kept another way.
    """
    if source.is_file():
        return source
    for folder in (source, source / "data"):
        if (folder / _FILE).is_file():
            return folder / _FILE
        if (folder / _DESCRIPTION).is_file() and _record(folder / _DESCRIPTION).get("data_format") == "arrow":
            raise InputError(
                f"{source} is a Minari dataset in Arrow files, which are not read: make it with data_format='hdf5'."
            )
    raise InputError(f"{source} has no data/{_FILE}: give the folder of a Minari dataset.")


def _record(path: Path) -> dict[str, Any]:
    """A JSON object, empty if there is none to read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _steps(file: h5py.File, source: Path) -> dict[str, int]:
    """Name of each episode that has steps: how many."""
    names = sorted(
        (name for name in file if name.startswith("episode_") and name[8:].isdecimal()), key=lambda name: int(name[8:])
    )
    found = {name: int(file[name].attrs.get("total_steps", -1)) for name in names}
    found = {name: len(file[name]["rewards"]) if steps < 0 else steps for name, steps in found.items()}
    found = {name: steps for name, steps in found.items() if steps}
    if not found:
        raise InputError(f"{source} has no episode with steps: give a Minari dataset with at least one.")
    return found


def _check(group: h5py.Group, rows: int, fields: Sequence[Field]) -> None:
    """Observations are one more than the steps, infos may be, and everything else is not."""
    for field in fields:
        top = field.path.partition("/")[0]
        allowed = {"observations": (rows + 1,), "infos": (rows, rows + 1)}.get(top, (rows,))
        found = group.get(field.path)
        if isinstance(found, h5py.Dataset) and len(found) not in allowed:
            raise DamageError(f"{field.path} has {len(found)} entries where {rows} steps have {allowed[-1]}")


def _lossy(cameras: Mapping[str, Field]) -> Iterator[str]:
    if names := _hdf5.lossy(cameras):
        yield (
            f"{names}: Minari kept these pictures as JPEG, its default, which loses detail; their pixels are not what "
            "the simulator drew. Record with jpeg_encoding=False to keep them."
        )


def _described(path: Path, file: h5py.File) -> dict[str, Any]:
    """What the dataset says of itself: beside the file, or in it as the first versions did."""
    return _record(path.with_name(_DESCRIPTION)) or _hdf5.facts(file)


def _provenance(described: Mapping[str, Any], path: Path) -> dict[str, Any]:
    try:
        env = json.loads(described["env_spec"])
        args = json.dumps({"env_name": env["id"], "type": 2, "env_kwargs": env.get("kwargs") or {}})
        name = str(env["id"])
    except (KeyError, TypeError, ValueError):
        args = name = ""
    version = described.get("minari_version")
    found = {
        "source": described.get("dataset_id") or path.resolve().parent.name,
        "source_format": f"Minari {version}" if version else "Minari",
        "env_args": args,
        "env_name": name,
        "algorithm_name": described.get("algorithm_name"),
        "code_permalink": described.get("code_permalink"),
    }
    return {name: str(value) for name, value in found.items() if value}
