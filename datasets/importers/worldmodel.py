"""stable-worldmodel's HDF5: a data set for each column, all episodes behind each other, ``ep_len`` and ``ep_offset``.

Layout: https://github.com/galilai-group/stable-worldmodel, ``data/formats/hdf5.py``. Its ``World.collect`` notes what a
step *led to* (frame, reward, end) and moves the actions up by one, so that an action stands beside the frame it
answers; beside the last frame of an episode then stands no action of its own. Such files are known by their column
``step_idx``: their last frame becomes the episode's final frame, and rewards and ends move to the action that led to
them.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers import _hdf5
from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import LOSSY, DamageError, reported
from ssl_robot.errors import InputError
from ssl_robot.frames import Row

_LENGTHS, _OFFSETS = "ep_len", "ep_offset"
_STEP = "step_idx"
_OUTCOMES = ("reward", "terminated", "truncated")
_NOT_LABELS = {_LENGTHS, _OFFSETS, _STEP, "id", *_OUTCOMES}


class Worldmodel:
    """A file of stable-worldmodel.

    Args:
        source: The file.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep; all if none is given.

    Raises:
        InputError: If it cannot be read, holds no steps, or lacks a camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        self._source, self._size = source, size
        with _hdf5.opened(source) as file:
            if not {_LENGTHS, _OFFSETS} <= set(file):
                raise InputError(f"{source} has no {_LENGTHS} or no {_OFFSETS}: give a file of stable-worldmodel.")
            self._led_to = _STEP in file
            self._spans = _spans(file, source, self._led_to)
            found, left = _hdf5.fields(file, {name: f"{name}/" for name in file if name not in _NOT_LABELS})
            self._outcomes, _ = _hdf5.fields(file, dict.fromkeys(_OUTCOMES, ""))
        seen, labels, other = _hdf5.split(found)
        self._labels = {"actions" if name == "action" else name: field for name, field in labels.items()}
        # the first camera is the one that is read if none is named: not the picture of a goal
        names = sorted(seen, key=lambda name: name.startswith("goal"))
        self._cameras = {name: seen[name] for name in chosen({name: name for name in names}, cameras, source)}
        self.schema = _hdf5.schema(self._cameras, self._labels, size)
        lossy = _hdf5.lossy(self._cameras)
        self.attributes: Mapping[str, Any] = {
            "source": source.resolve().name,
            "source_format": "stable-worldmodel",
            **({"lossy": "JPEG"} if lossy else {}),
        }
        left += [f"{name} is left out: pictures of real numbers are not read." for name in other]
        left += [LOSSY.format(lossy)] if lossy else []
        self.warnings: Sequence[str] = left

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is an HDF5 file that counts its episodes as this format does."""
        return _hdf5.is_foreign(source) and _hdf5.has(source, _LENGTHS, _OFFSETS)

    def episodes(self) -> list[Episode]:
        """The episodes in their order."""
        return [
            Episode(
                f"episode {number}",
                rows,
                partial(self._rows, number, first, rows),
                final=partial(self._final, number, first, rows),
            )
            for number, (first, rows) in self._spans.items()
        ]

    def _rows(self, number: int, first: int, rows: int) -> Iterator[Row]:
        return reported(self._read(first, rows), f"Episode {number} of {self._source}")

    def _read(self, first: int, rows: int) -> Iterator[Row]:
        self._last(first, rows)  # damage to the final frames shows while the episode can still be left out
        with _hdf5.reading(self._source) as file:
            frames = _hdf5.pictures(file, self._cameras, self._size, first, rows)
            labels = _hdf5.numbers(file, self._labels, first, rows)
            outcomes = _hdf5.numbers(file, self._outcomes, first + self._led_to, rows)
            for row, (seen, known, result) in enumerate(zip(frames, labels, outcomes, strict=True)):
                reward, terminated, truncated = (_hdf5.outcome(result, name) for name in _OUTCOMES)
                yield Row(
                    frames=seen,
                    labels=known,
                    reward=reward,
                    terminated=bool(terminated),
                    truncated=bool(truncated) or (row + 1 == rows and not terminated),
                )

    def _last(self, first: int, rows: int) -> dict[str, NDArray[np.uint8]]:
        """What was seen after the last action, if that was kept."""
        if not self._led_to:
            return {}
        with _hdf5.reading(self._source) as file:
            return next(_hdf5.pictures(file, self._cameras, self._size, first + rows, 1))

    def _final(self, number: int, first: int, rows: int) -> dict[str, NDArray[np.uint8]]:
        try:
            return self._last(first, rows)
        except DamageError as error:
            raise InputError(f"Episode {number} of {self._source} is damaged: {error}; copy it again.") from None


def _spans(file: h5py.File, source: Path, led_to: bool) -> dict[int, tuple[int, int]]:
    """First row and number of actions of each episode that has any."""
    lengths, offsets = (np.asarray(file[name][()], np.int64).reshape(-1) for name in (_LENGTHS, _OFFSETS))
    if len(lengths) != len(offsets) or (lengths < 0).any() or (offsets < 0).any():
        raise InputError(f"{source} has {_LENGTHS} and {_OFFSETS} that do not count episodes: copy it again.")
    pairs = zip(offsets.tolist(), (lengths - led_to).tolist(), strict=True)
    spans = {number: (first, rows) for number, (first, rows) in enumerate(pairs) if rows > 0}
    if not spans:
        raise InputError(f"{source} has no episode with steps: give a file with at least one.")
    return spans
