"""What a frame costs under lossless codecs that HDF5 files, or their rivals, could hold."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from isal import isal_zlib

from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments.benchmarks.timing import Timed, alternated

Pack = Callable[[Any], Any]
OURS = "deflate by ISA-L, level 1"
_CODECS: dict[str, tuple[Pack, Pack]] = {
    "raw": (lambda frame: frame.tobytes(), lambda data: np.frombuffer(data, np.uint8).copy()),
    OURS: (lambda frame: isal_zlib.compress(frame.data, 1), isal_zlib.decompress),
    "deflate by ISA-L, level 0": (lambda frame: isal_zlib.compress(frame.data, 0), isal_zlib.decompress),
    "deflate by ISA-L, level 3": (lambda frame: isal_zlib.compress(frame.data, 3), isal_zlib.decompress),
    "deflate by zlib, level 1": (lambda frame: zlib.compress(frame.data, 1), zlib.decompress),
    "deflate by zlib, level 6": (lambda frame: zlib.compress(frame.data, 6), zlib.decompress),
    "PNG by OpenCV": (lambda frame: cv2.imencode(".png", frame)[1], lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR)),
    "lossless WebP by OpenCV": (
        lambda frame: cv2.imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, 101])[1],
        lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR),
    ),
}


def run(path: Path, count: int, rounds: int) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of two tables: packing frames and unpacking them, by one thread.

    Args:
        path: A recording.
        count: Frames of it, evenly spread.
        rounds: How often each codec handles them.
    """
    store = FrameStore(path)
    frames = list(store.take(np.linspace(0, len(store) - 1, min(count, len(store))).astype(np.int64)))
    packed = {name: [pack(frame) for frame in frames] for name, (pack, _) in _CODECS.items()}
    packing = {name: _each(pack, frames) for name, (pack, _) in _CODECS.items()}
    unpacking = {name: _each(unpack, packed[name]) for name, (_, unpack) in _CODECS.items()}
    what = f"{len(frames)} frames of {path.name}, {store.shape[1]} x {store.shape[0]}"
    tables = {f"packing {what}": packing, f"unpacking {what}": unpacking}
    pixels = sum(frame.nbytes for frame in frames)
    return [
        (title, OURS, [_noted(row, pixels, packed[row.name]) for row in alternated(items, OURS, rounds, title)])
        for title, items in tables.items()
    ]


def _each(action: Pack, items: list[Any]) -> Callable[[int], int]:
    return lambda turn: len([action(item) for item in items])


def _noted(row: Timed, pixels: int, packed: list[Any]) -> Timed:
    size = sum(len(data) for data in packed)
    return Timed(row.name, row.ratio, row.median_s, row.frames_per_s, f"{pixels / size:.3g} times smaller")
