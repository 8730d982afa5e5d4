"""Flat plates drawn without OpenGL: each pixel covered by as much of a plate as lies within half a pixel of its middle.

Coverage is continuous in every place and angle, and nothing prefers a side: what turns or mirrors the scene turns or
mirrors the picture, to the rounding of its numbers.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.envs.testbed.stage import Stage

_CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def picture(stage: Stage, size: int) -> NDArray[np.uint8]:
    """What the camera sees, (size, size, 3).

    Args:
        stage: The table; its boxes are drawn as plates, the lower ones first, those of a body in one piece.
        size: Height and width in pixels.
    """
    model, data = stage.model, stage.data
    table = model.geom("table").id
    colours = 255 * model.geom_rgba[:, :3] * (model.light_ambient[0] + model.light_diffuse[0])
    frame = np.empty((size, size, 3))
    frame[:] = colours[table]
    pieces = _pieces(model, data, table)
    shown = [geom for piece in pieces for geom in piece]
    outlines = dict(zip(shown, _outlines(stage, shown, size), strict=True))
    for piece in pieces:
        rows, columns, covered = _coverage([outlines[geom] for geom in piece], size)
        part = frame[rows, columns]
        part += covered[:, :, None] * (colours[piece[0]] - part)
    rounded: NDArray[np.uint8] = np.rint(frame.clip(0, 255)).astype(np.uint8)
    return rounded


def _pieces(model: Any, data: Any, table: int) -> list[list[int]]:
    """Boxes that are drawn as one, from the lowest to the highest; what is parked under the table is left out."""
    heights, bodies = data.geom_xpos[:, 2].tolist(), model.geom_bodyid.tolist()
    pieces: dict[tuple[int, int], list[int]] = {}
    for geom, (height, body) in enumerate(zip(heights, bodies, strict=True)):
        if height > heights[table]:
            pieces.setdefault((body, 0 if body else geom), []).append(geom)
    return sorted(pieces.values(), key=lambda piece: heights[piece[0]])


def _outlines(stage: Stage, geoms: list[int], size: int) -> NDArray[np.float64]:
    """Corners of the boxes' middle planes, columns and rows from the picture's middle, (boxes, 4, 2)."""
    axes = stage.data.geom_xmat[geoms].reshape(-1, 3, 3)[:, :, :2]
    sides = _CORNERS * stage.model.geom_size[geoms, None, :2]
    corners = stage.data.geom_xpos[geoms, None] + sides @ axes.transpose(0, 2, 1)
    half, T = stage.lens
    seen = (corners - T[:3, 3]) @ T[:3, :3]
    outlines: NDArray[np.float64] = size / (2 * half) * seen[:, :, :2] / seen[:, :, 2:]
    return outlines


def _coverage(outlines: list[NDArray[np.float64]], size: int) -> tuple[slice, slice, NDArray[np.float64]]:
    """Rows and columns that a piece may touch, and how much of each pixel there it covers."""
    everything = np.concatenate(outlines) + size / 2
    left, top = np.clip(everything.min(0) - 1, 0, size).astype(int).tolist()
    right, bottom = np.clip(everything.max(0) + 2, 0, size).astype(int).tolist()
    x, y = _middles(size)[left:right], _middles(size)[top:bottom]
    inside = functools.reduce(np.maximum, (_depth(outline, x, y) for outline in outlines))
    return slice(top, bottom), slice(left, right), np.clip(inside + 0.5, 0, 1)


@functools.lru_cache(maxsize=8)
def _middles(size: int) -> NDArray[np.float64]:
    """Middles of the pixels, from the picture's middle: as symmetric as the numbers are."""
    return np.arange(size, dtype=np.float64) + (0.5 - size / 2)


def _depth(outline: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each pixel's middle lies inside a convex outline, pixels, (h, w); negative outside.

    Args:
        outline: Corners, clockwise as the picture shows them, (4, 2).
        x: Columns, (w,).
        y: Rows, (h,).
    """
    sides = outline[[1, 2, 3, 0]] - outline
    a, b = np.stack([sides[:, 1], -sides[:, 0]]) / np.hypot(sides[:, 0], sides[:, 1])
    along = a[:, None] * (x - outline[:, :1])
    down = b[:, None] * (y - outline[:, 1:])
    inside: NDArray[np.float64] = (along[:, None] + down[:, :, None]).min(0)
    return inside
