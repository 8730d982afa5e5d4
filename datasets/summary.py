"""What is in a recording: numbers for programs, and a picture for people."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

_TILE = 160  # pixels; the caption fits under it
_CAPTION = 18  # pixels
_GAP = 4  # pixels
_INTERNAL = {"format", "format_version", "total", "created", "schema", "env_args", "source", "fps"}


def summary(store: FrameStore) -> dict[str, Any]:
    """What a recording holds, in numbers, texts, lists and dictionaries that JSON can carry.

    Keys may be added, not renamed. ``labels`` leaves the actions out, which have an entry of their own (``None``
    where there are none); ``shape`` is that of one row, ``min`` and ``max`` hold one number per component.

    Args:
        store: The recording.
    """
    labels = {name: _described(store, name) for name in store.label_names}
    cameras = {
        name: {"height": h, "width": w, "channels": c, "count": len(store)}
        for name, (h, w, c) in store.schema.cameras.items()
    }
    return {
        "episodes": len(store.contents),
        "frames": len(store),
        "cameras": cameras,
        "actions": labels.pop("actions", None),
        "labels": labels,
        "compression": store.compression,
        "fps": store.attributes.get("fps"),
        "source": store.attributes.get("source"),
        "fingerprint": store.fingerprint,
        "bytes": store.path.stat().st_size,
        "lengths": np.bincount(store.episodes).tolist(),
        "successes": sum(bool(demo.facts.get("success")) for demo in store.demonstrations),
        "finals": store.finals,
        "things": list(store.schema.things),
        "segmented": list(store.schema.segmented),
        "provenance": _provenance(store),
    }


def _described(store: FrameStore, name: str) -> dict[str, Any]:
    label, values = store.label(name), store.values(name)
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0)
    high = np.where(known, values, -np.inf).max(axis=0)
    return {
        "shape": [values.shape[1]],
        "min": _finite(low),
        "max": _finite(high),
        "components": list(label.components),
        "units": list(label.units),
        "circular": list(label.circular),
    }


def _finite(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, which has none that are not finite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _provenance(store: FrameStore) -> dict[str, Any]:
    """The further attributes of the file, texts of JSON unpacked."""
    return {key: _unpacked(value) for key, value in store.attributes.items() if key not in _INTERNAL}


def _unpacked(value: object) -> object:
    """A text of JSON as what it says, any other text or number that JSON can carry as it is, the rest as a text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def contact_sheet(store: FrameStore, path: Path, columns: int = 8, rows: int = 4) -> None:
    """Draw frames from all over the recording, each with its episode and row, as a PNG.

    Args:
        store: The recording, through one of its cameras.
        path: The picture to write.
        columns: Frames side by side.
        rows: Frames below each other; fewer where the recording is short.

    Raises:
        InputError: If the picture cannot be written.
    """
    chosen = np.unique(np.linspace(0, len(store) - 1, columns * rows).round().astype(np.int64))
    captions = [f"episode {store.episodes[index]} row {index}" for index in chosen]
    tiles = [_tile(frame, text) for frame, text in zip(store.take(chosen), captions, strict=True)]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    sheet = np.concatenate(
        [np.concatenate(tiles[first : first + columns], axis=1) for first in range(0, len(tiles), columns)]
    )
    sheet = np.pad(sheet, ((_GAP, 0), (_GAP, 0), (0, 0)), constant_values=255)
    try:
        path.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another --sheet.") from None


def _tile(frame: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    """A frame at a common width, its caption below, white to the right and below."""
    h, w, _ = frame.shape
    way = cv2.INTER_AREA if w > _TILE else cv2.INTER_LINEAR
    picture = cv2.resize(frame, (_TILE, max(1, round(h * _TILE / w))), interpolation=way)
    tile = np.full((len(picture) + _CAPTION + _GAP, _TILE + _GAP, 3), 255, np.uint8)
    tile[: len(picture), :_TILE] = picture
    where = (1, len(picture) + _CAPTION - 5)
    cv2.putText(tile, caption, where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    return tile
