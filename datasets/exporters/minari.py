"""Minari's HDF5, pixels as they are: ``data/main_data.hdf5`` and ``data/metadata.json``.

Layout: https://minari.farama.org/content/dataset_standards/, as of Minari 0.5.4, whose metadata says that pictures are
no JPEG. Written without the package.

An episode of T actions has T + 1 observations. They are what the cameras saw, by camera; the last is the final frame
that was recorded after the last action. Where none was recorded (independent resets, imported videos), the last frame
is *repeated*, and the episode's attribute ``final_observation`` says so: its last transition shows no change that ever
happened. Numbers are recorded once per action and never after the last, so they are ``infos`` of T entries: as parts of
an observation, their last one would have to be invented.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.exports import Wish
from ssl_robot.datasets.imports import Episode
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema

_VERSION = "0.5.4"
_BLOCK = 64  # rows in memory
_CHUNK = 16  # frames: Minari reads whole episodes
_OUTCOMES: Mapping[str, tuple[type, str]] = {
    "rewards": (np.float64, "reward"),
    "terminations": (np.bool_, "terminated"),
    "truncations": (np.bool_, "truncated"),
}


class Minari:
    """A dataset of Minari that is being written.

    Args:
        folder: Where; empty.
        schema: What every row holds.
        attributes: Provenance of the recording.
        wish: Its name is the dataset's id, as in ``pusht-v0``.

    Raises:
        InputError: If the name is no id of Minari, or videos are wished for.
    """

    def __init__(self, folder: Path, schema: Schema, attributes: Mapping[str, Any], wish: Wish) -> None:
        if not re.fullmatch(r"[-_\w]+-v\d+", wish.name):
            raise InputError(f"Minari calls a dataset NAME-v0, not '{wish.name}': choose such a folder for --out.")
        if wish.video is not None:
            raise InputError("Minari keeps pictures, not videos: leave out --video.")
        (folder / "data").mkdir()
        self._path, self._schema, self._attributes, self._wish = folder / "data", schema, attributes, wish
        self._file = h5py.File(self._path / "main_data.hdf5", "w", track_order=True)
        self._actions = {label.name: label for label in schema.labels}.get("actions")
        self._episodes = self._steps = self._repeated = 0
        self.warnings: Sequence[str] = ()

    def add(self, episode: Episode, rows: Iterator[Row]) -> None:
        """Write an episode."""
        group = self._file.create_group(f"episode_{self._episodes}")
        self._prepare(group, episode.frames)
        last: Mapping[str, NDArray[np.uint8]] = {}
        for start in range(0, episode.frames, _BLOCK):
            block = list(islice(rows, min(_BLOCK, episode.frames - start)))
            self._write(group, start, block)
            last = block[-1].frames
        final = episode.final()
        kept = final.keys() >= self._schema.cameras.keys()
        for camera in self._schema.cameras:
            group[f"observations/{camera}"][episode.frames] = (final if kept else last)[camera]
        group.attrs.update(self._facts(episode, kept))
        self._repeated += not kept
        self._episodes += 1
        self._steps += episode.frames

    def close(self) -> None:
        """Write what describes the dataset."""
        self._file.close()
        size = (self._path / "main_data.hdf5").stat().st_size / 1e6
        record = {
            "dataset_id": self._wish.name,
            "minari_version": _VERSION,
            "data_format": "hdf5",
            "jpeg_encoding": False,
            "total_episodes": self._episodes,
            "total_steps": self._steps,
            "dataset_size": round(size, 1),
            "observation_space": json.dumps(_seen(self._schema)),
            "action_space": json.dumps(_box(len(self._actions.components) if self._actions else 0)),
            "algorithm_name": str(self._attributes.get("explorer") or self._attributes.get("policy") or ""),
            "description": f"Exported from a recording of {self._attributes.get('source', 'unknown origin')}.",
            **({"env_args": self._attributes["env_args"]} if "env_args" in self._attributes else {}),
            **({"fps": self._wish.fps} if self._wish.fps is not None else {}),
        }
        (self._path / "metadata.json").write_text(json.dumps(record), encoding="utf-8")
        if self._repeated:
            self.warnings = [
                f"{self._repeated} of {self._episodes} episodes have no frame after their last action: Minari needs "
                "one, so the last is repeated there, and their attribute final_observation says so."
            ]

    def _prepare(self, group: h5py.Group, rows: int) -> None:
        """Room for the rows of an episode."""
        for camera, (h, w, c) in self._schema.cameras.items():
            group.create_dataset(
                f"observations/{camera}",
                (rows + 1, h, w, c),
                np.uint8,
                chunks=(min(_CHUNK, rows + 1), h, w, c),
                compression="gzip",
                compression_opts=1,
            )
        for name, (dtype, _) in _OUTCOMES.items():
            group.create_dataset(name, (rows,), dtype)
        group.create_group("infos")  # Minari's reader wants one
        for label in self._schema.labels:
            group.create_dataset(_place(label.name), (rows, len(label.components)), np.float64)
        if self._actions is None:
            group.create_dataset("actions", (rows, 0), np.float64)

    def _write(self, group: h5py.Group, start: int, block: Sequence[Row]) -> None:
        part = slice(start, start + len(block))
        for camera in self._schema.cameras:
            group[f"observations/{camera}"][part] = np.stack([row.frames[camera] for row in block])
        for name, (_, attribute) in _OUTCOMES.items():
            group[name][part] = [getattr(row, attribute) for row in block]
        for label in self._schema.labels:
            group[_place(label.name)][part] = np.stack([row.labels[label.name] for row in block])

    def _facts(self, episode: Episode, kept: bool) -> dict[str, Any]:
        facts = {**episode.attributes, "id": self._episodes, "total_steps": episode.frames}
        facts["final_observation"] = "recorded" if kept else "repeated"
        if episode.seed is not None:
            facts["seed"] = episode.seed
        if episode.success is not None:
            facts["success"] = bool(episode.success)
        return facts


def _place(label: str) -> str:
    """Where the numbers of a label lie."""
    return label if label == "actions" else f"infos/{label.removeprefix('infos/')}"


def _seen(schema: Schema) -> dict[str, Any]:
    """The space of observations as Minari writes it down."""
    spaces: dict[str, Any] = {"type": "Dict", "subspaces": {}}
    for camera, shape in schema.cameras.items():
        *groups, name = camera.split("/")
        inner = spaces
        for group in groups:
            inner = inner["subspaces"].setdefault(group, {"type": "Dict", "subspaces": {}})
        low, high = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
        inner["subspaces"][name] = _space("uint8", shape, low.tolist(), high.tolist())
    return spaces


def _box(width: int) -> dict[str, Any]:
    """The space of actions whose limits are not known."""
    return _space("float64", (width,), [-np.inf] * width, [np.inf] * width)


def _space(dtype: str, shape: Sequence[int], low: Any, high: Any) -> dict[str, Any]:
    return {"type": "Box", "dtype": dtype, "shape": list(shape), "low": low, "high": high}
