"""COCO's outlines as pixels: polygons, run lengths as numbers or as text, or the box where there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.pictures import DamageError

_BITS, _MORE, _MINUS, _FIRST = 0x1F, 0x20, 0x10, 48  # of a letter: its number, whether more follow, its sign


def outlined(item: Mapping[str, Any], of: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a thing, (h, w).

    Args:
        item: An annotation, with ``segmentation`` or ``bbox``.
        of: Height and width of the picture that it belongs to.
        shape: Height and width of the frame that the picture is brought to.

    Raises:
        DamageError: If it is neither polygons nor run lengths of that picture, and there is no box either.
    """
    try:
        outline = item.get("segmentation")
        if isinstance(outline, Mapping):
            if tuple(outline.get("size", of)) != of:
                raise ValueError(f"its runs are of {outline['size']} pixels, its picture is of {list(of)}")
            return _sampled(_unrolled(outline["counts"], of), shape)
        if not outline:
            left, top, width, height = (float(value) for value in item["bbox"])
            outline = [[left, top, left + width, top, left + width, top + height, left, top + height]]
        scale = np.array([shape[1] / of[1], shape[0] / of[0]])
        masks = [inside(np.array(polygon, np.float64).reshape(-1, 2) * scale, shape) for polygon in outline]
        return np.asarray(np.any(masks, axis=0), np.bool_)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise DamageError(f"annotation {item.get('id')} has no outline that can be read ({error})") from None


def inside(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose middle lies in a polygon, by the number of edges to the left of it.

    >>> inside(np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 2.0], [1.0, 2.0]]), (3, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]

    Args:
        corners: x and y, pixels, (n, 2): the first pixel reaches from 0 to 1.
        shape: Height and width.
    """
    h, w = shape
    crossed = np.zeros((h, w + 1), np.int64)
    for one, two in zip(corners.tolist(), np.roll(corners, -1, 0).tolist(), strict=True):
        (x0, y0), (x1, y1) = sorted((one, two), key=lambda corner: corner[1])  # the same whichever way round
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, h)) for y in (y0, y1))
        rows = np.arange(first, last)  # none where the edge is level
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            crossed[rows, np.clip(np.ceil(x - 0.5), 0, w).astype(np.int64)] += 1
    return np.asarray(crossed.cumsum(1)[:, :w] % 2 == 1, np.bool_)


def _unrolled(counts: Sequence[int] | str | bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Runs of pixels down the columns, out of the thing and in it by turns, as a mask."""
    runs = np.array(_numbers(counts) if isinstance(counts, (str, bytes)) else counts, np.int64)
    h, w = shape
    if runs.sum() != h * w or (runs < 0).any():
        raise ValueError(f"its runs add up to {runs.sum()} of {h * w} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(w, h).T


def _numbers(text: str | bytes) -> list[int]:
    """Runs from COCO's text: five bits a letter, lowest first; from the fourth on, added to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for letter in text.encode() if isinstance(text, str) else text:
        bits = letter - _FIRST
        value |= (bits & _BITS) << shift
        shift += 5
        if bits & _MORE:
            continue
        if bits & _MINUS:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _sampled(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """What the middle of each pixel of the frame shows."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(np.int64) for n, m in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]
