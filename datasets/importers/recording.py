"""Our own recordings: merged, resized, reduced to some cameras, or compressed another way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.layout import is_ours
from ssl_robot.datasets.pictures import sampled, squared
from ssl_robot.datasets.store import Demonstration, FrameStore
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration, Row, Schema

_BLOCK = 64  # rows read at a time
_RESULTS = {"success", "return"}


class Recording:
    """A file of ``datasets/FORMAT.md``.

    Args:
        source: The file.
        size: Height and width of the frames, pixels; ``None`` keeps them as they are.
        cameras: Those to keep; all if none is given.

    Raises:
        InputError: If it cannot be read, lacks a camera, or is to be resized although it holds depth.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        first = FrameStore(source)
        names = chosen({name: name for name in first.schema.cameras}, cameras, source)
        self._stores = {name: FrameStore(source, name) for name in names}
        self._first, self._size = first, size
        self.schema = _resized(first.schema, names, size)
        if size is not None and self.schema.depths:
            raise InputError(f"{source} holds depth, which is not resized: leave out --size.")
        ours = ("format", "format_version", "total", "created", "schema")
        self.attributes: Mapping[str, Any] = {k: v for k, v in first.attributes.items() if k not in ours}
        self.warnings: Sequence[str] = ()

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is one of our files."""
        return source.is_file() and is_ours(source)

    def episodes(self) -> list[Episode]:
        """Its episodes; each independent row is one."""
        columns = self._columns()
        found: list[Episode] = []
        for demo in self._first.demonstrations:
            length = 1 if demo.independent else demo.rows
            for first in range(demo.first, demo.first + demo.rows, length):
                found.append(self._episode(demo, first, length, columns, len(found)))
        return found

    def _episode(self, demo: Demonstration, first: int, rows: int, columns: "_Columns", number: int) -> Episode:
        seed = int(self._first.seeds[number])
        return Episode(
            name=f"episode {number}",
            frames=rows,
            rows=partial(self._rows, first, rows, columns),
            seed=None if seed < 0 else seed,
            attributes={name: value for name, value in demo.facts.items() if name not in _RESULTS},
            independent=demo.independent,
            final=partial(self._final, demo),
            success=demo.facts.get("success"),
        )

    def _columns(self) -> "_Columns":
        numbers = {name: self._first.values(name) for name in self._first.label_names}
        named = ("rewards", "terminated", "truncated", "timestamps")
        scalars = {name: self._first.column(name) for name in named}
        cameras = {
            name: self._calibration(store) for name, store in self._stores.items() if name in self.schema.calibrated
        }

        def row(index: int, seen: _Seen) -> Row:
            return Row(
                frames=seen.frames,
                labels={name: values[index] for name, values in numbers.items()},
                reward=float(scalars["rewards"][index]),
                terminated=bool(scalars["terminated"][index]),
                truncated=bool(scalars["truncated"][index]),
                time=float(scalars["timestamps"][index]),
                depths=seen.depths,
                maps=seen.maps,
                cameras={name: Calibration(K[index], T[index]) for name, (K, T) in cameras.items()},
            )

        return row

    def _calibration(self, store: FrameStore) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        K, T_world_camera = store.calibration()
        if self._size is not None:
            h, w, _ = store.shape
            K = K * np.array([[self._size / w], [self._size / h], [1.0]])
        return K, T_world_camera

    def _rows(self, first: int, rows: int, columns: "_Columns") -> Iterator[Row]:
        for start in range(first, first + rows, _BLOCK):
            block = np.arange(start, min(start + _BLOCK, first + rows))
            frames = {name: self._stores[name].take(block) for name in self.schema.cameras}
            depths = {name: self._stores[name].depth(block) for name in self.schema.depths}
            maps = {name: self._stores[name].maps(block) for name in self.schema.segmented}
            for i, index in enumerate(block.tolist()):
                seen = _Seen(
                    {name: squared(pictures[i], self._size) for name, pictures in frames.items()},
                    {name: planes[i] for name, planes in depths.items()},
                    {name: sampled(planes[i], self._size) for name, planes in maps.items()},
                )
                yield columns(index, seen)

    def _final(self, demo: Demonstration) -> dict[str, NDArray[np.uint8]]:
        finals = {} if demo.independent else self._first.final(demo)
        return {name: squared(frame, self._size) for name, frame in finals.items() if name in self.schema.cameras}


@dataclass(frozen=True)
class _Seen:
    """The pictures of a row, by camera."""

    frames: dict[str, NDArray[np.uint8]]
    depths: dict[str, NDArray[np.float32]]
    maps: dict[str, NDArray[np.uint8]]


_Columns = Callable[[int, _Seen], Row]


def _resized(schema: Schema, names: Sequence[str], size: int | None) -> Schema:
    cameras = {name: schema.cameras[name] if size is None else (size, size, 3) for name in names}
    kept = [tuple(name for name in group if name in cameras) for group in (schema.depths, schema.calibrated)]
    maps = {name: channels for name, channels in schema.segmented.items() if name in cameras}
    things = schema.things if maps else ()
    return replace(schema, cameras=cameras, depths=kept[0], calibrated=kept[1], segmented=maps, things=things)
