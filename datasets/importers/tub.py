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
from ssl_robot.datasets.pictures import DamageError, decoded, line, squared
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
        inputs, facts, catalogs = _manifest(source)
        self._records, self._damage = _sessions(source, catalogs)
        if not self._records:
            raise InputError(f"{source} has no records that are not deleted: give a tub with at least one.")
        names = _cameras(inputs)
        self._keys = {name: names[name] for name in chosen(names, cameras, source)}
        if not self._keys:
            raise InputError(f"{source} has no camera, only numbers: give a tub with pictures.")
        self._labels = self._described(inputs)
        labels = [label for label in self._labels if label.name != "actions"]
        if set(_ACTIONS) <= {label.name for label in labels}:
            labels.append(Label.plain("actions", 2, ("angle", "throttle")))
        self.schema = Schema(self._shapes(), tuple(labels))
        self.attributes: Mapping[str, Any] = {
            "source": source.resolve().name, "source_format": "donkeycar tub v2", "lossy": "JPEG", **facts
        }
        self.warnings = self._warned(inputs, catalogs)

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
