"""Average precision of things found in frames, as COCO counts it, and how sure it is.

The scores are torchmetrics' (``MeanAveragePrecision``, which asks pycocotools). To repeat that for every resampling of
the test episodes would take minutes, so their intervals come from matches that are kept: which detection meets which
thing does not depend on other frames, so a frame that is drawn twice counts its own twice. A test holds both equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.segments import Instance

Kind = Literal["box", "mask"]
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of overlap, from which a thing counts as found
_RECALLS = np.linspace(0, 1, 101)  # at which precision is averaged
_RESAMPLES = 200
_THEIRS: Mapping[Kind, Literal["bbox", "segm"]] = {"box": "bbox", "mask": "segm"}


@dataclass(frozen=True)
class Found:
    """What a detector says of one frame, in any order.

    Attributes:
        things: What was found: numbers from 1, (n,).
        scores: How sure it is, in [0, 1], (n,).
        boxes: Left, top, right and bottom edge, pixels, (n, 4).
        masks: Where it is seen, (n, h, w) bool.
    """

    things: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    masks: NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """Precision of one thing, or its mean over all of them, by one kind of overlap.

    Attributes:
        thing: Its number; 0 for the mean.
        kind: Of overlap.
        values: Average precision, (10,): at each threshold of overlap.
        resampled: The same under each resampling, (resamples, 10); not a number where no such thing was drawn.
    """

    thing: int
    kind: Kind
    values: NDArray[np.float64]
    resampled: NDArray[np.float64]


def overlaps(found: Found, items: Sequence[Instance], kind: Kind) -> NDArray[np.float64]:
    """Intersection over union of what was found and what is there, (found, there); over what was found for a crowd."""
    if kind == "box":
        ours, theirs = found.boxes, np.array([item.box for item in items], np.float64).reshape(-1, 4)
        low, high = np.maximum(ours[:, None, :2], theirs[:, :2]), np.minimum(ours[:, None, 2:], theirs[:, 2:])
        both = (high - low).clip(min=0).prod(2)
        areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (ours, theirs)]
    else:
        one = found.masks.reshape(len(found.masks), -1).astype(np.float32)
        two = np.stack([item.mask for item in items]).reshape(len(items), -1).astype(np.float32)
        both = (one @ two.T).astype(np.float64)
        areas = [mask.sum(1, dtype=np.float64) for mask in (one, two)]
    crowd = np.array([item.crowd for item in items])
    whole = np.where(crowd, areas[0][:, None], areas[0][:, None] + areas[1] - both)
    return np.asarray(both / np.maximum(whole, 1e-12), np.float64)


def matched(overlap: NDArray[np.float64], crowd: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which detections meet a thing, at each threshold: surer ones choose first, each takes what it overlaps most.

    Args:
        overlap: (found, there), the surest first.
        crowd: Which of those that are there stand for an unknown number, (there,).

    Returns:
        Whether each meets a thing of its own, and whether it lies in a crowd and counts for nothing, (10, found) each.
    """
    hit, ignored = np.zeros((2, len(THRESHOLDS), len(overlap)), np.bool_)
    near = np.flatnonzero(overlap.max(1, initial=0) >= THRESHOLDS[0])
    for t, threshold in enumerate(THRESHOLDS):
        free = ~crowd
        for place in near.tolist():
            row = overlap[place]
            best = int(np.where(free, row, -1).argmax()) if free.any() else -1
            if best >= 0 and row[best] >= threshold:
                hit[t, place], free[best] = True, False
            elif (row[crowd] >= threshold).any():
                ignored[t, place] = True
    return hit, ignored


def average(
    hit: NDArray[np.bool_], counted: NDArray[np.bool_], weights: NDArray[np.float64], there: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average precision under each weighting of the frames.

    Args:
        hit: Whether each detection meets a thing, (10, found), the surest first.
        counted: Whether it counts at all, (10, found).
        weights: How often its frame counts, (weightings, found).
        there: Things that are there, (weightings,).

    Returns:
        (weightings, 10); not a number where nothing is there.
    """
    out = np.full((len(weights), len(hit)), np.nan)
    for row, weight in zip(np.flatnonzero(there), weights[there > 0], strict=True):
        right, all_of_them = (hit * weight).cumsum(1), (counted * weight).cumsum(1)
        precision = right / np.maximum(all_of_them, 1e-12)
        best_from_here = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        for t, recall in enumerate(right / there[row]):
            places = np.searchsorted(recall, _RECALLS)
            out[row, t] = np.append(best_from_here[t], 0.0)[places].mean()
    return out


def resamples(episodes: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each frame counts, (1 + 200, frames): once in the first line, then by episodes drawn at random.

    Args:
        episodes: The episode of each frame.
    """
    _, place = np.unique(episodes, return_inverse=True)
    count = int(place.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    return np.concatenate([np.ones((1, len(place))), drawn[:, place]])


class Tally:
    """Gathers frames one by one, and says how well things were found in them.

    Args:
        kinds: Of overlap.

    Raises:
        InputError: If torchmetrics or pycocotools are missing.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._reference = _reference(self._kinds)
        self._found: list[NDArray[np.int64]] = []  # thing and frame of each detection
        self._scores: list[NDArray[np.float64]] = []
        self._there: list[tuple[int, int]] = []  # thing and frame of everything that is there and no crowd
        self._matches: dict[Kind, list[NDArray[np.bool_]]] = {kind: [] for kind in kinds}  # (hit or counted, 10, n)
        self._frames = 0

    def add(self, found: Found, items: Sequence[Instance]) -> None:
        """Take in a frame: what was found in it, and what is there."""
        self._reference.update([_theirs(found)], [_truth(items, found.masks.shape[1:])])
        for thing in np.unique(found.things).tolist():
            mine = np.flatnonzero(found.things == thing)
            mine = mine[np.argsort(-found.scores[mine], kind="stable")]
            of_it = Found(found.things[mine], found.scores[mine], found.boxes[mine], found.masks[mine])
            truly = [item for item in items if item.thing == thing]
            self._found.append(np.column_stack([of_it.things, np.full(len(mine), self._frames)]))
            self._scores.append(of_it.scores)
            for kind in self._kinds:
                self._matches[kind].append(_matches(of_it, truly, kind))
        self._there += [(item.thing, self._frames) for item in items if not item.crowd]
        self._frames += 1

    def answers(self, episodes: NDArray[np.int64]) -> list[Answer]:
        """Average precision of each thing that is there, and the mean over them, for each kind of overlap.

        Args:
            episodes: The episode of each frame that was added.

        Raises:
            InputError: If nothing was there to be found.
        """
        if not self._there:
            raise InputError("The test frames show none of the things that are asked for: record more episodes.")
        weights = resamples(episodes)
        reference, there = self._reference.compute(), np.array(self._there)
        things = np.unique(there[:, 0]).tolist()
        out: list[Answer] = []
        for kind in self._kinds:
            values = _values(reference, kind, len(self._kinds) > 1)
            parts = np.stack([self._resampled(kind, thing, weights, there) for thing in things])
            known = np.stack([values[thing] for thing in things])
            out.append(Answer(0, kind, known.mean(0), _mean(parts)))
            out += [Answer(thing, kind, *pair) for thing, *pair in zip(things, known, parts, strict=True)]
        return out

    def _resampled(
        self, kind: Kind, thing: int, weights: NDArray[np.float64], there: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        of_frame = np.bincount(there[there[:, 0] == thing, 1], minlength=self._frames)
        found = np.concatenate([np.zeros((0, 2), np.int64), *self._found])
        mine = np.flatnonzero(found[:, 0] == thing)
        scores = np.concatenate([np.zeros(0), *self._scores])[mine]
        mine = mine[np.argsort(-scores, kind="stable")]
        hit, counted = np.concatenate([np.zeros((2, 10, 0), np.bool_), *self._matches[kind]], 2)[..., mine]
        return average(hit, counted, weights[1:, found[mine, 1]], weights[1:] @ of_frame)


def _matches(found: Found, items: Sequence[Instance], kind: Kind) -> NDArray[np.bool_]:
    """Whether each meets a thing, and whether it counts, (2, 10, found)."""
    if not items:
        missed = np.zeros((len(THRESHOLDS), len(found.scores)), np.bool_)
        return np.stack([missed, ~missed])
    crowd = np.array([item.crowd for item in items])
    hit, ignored = matched(overlaps(found, items, kind), crowd)
    return np.stack([hit, ~ignored])


def _mean(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the things that were drawn, (things, resamples, 10) to (resamples, 10)."""
    known = np.isfinite(parts)
    sums = np.where(known, parts, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known.any(0), sums, np.nan)


def _reference(kinds: Sequence[Kind]) -> Any:
    try:
        import pycocotools  # noqa: F401  (torchmetrics asks it)
        from torchmetrics.detection import MeanAveragePrecision
    except ImportError as error:
        raise InputError(
            f"Detections are scored by torchmetrics and pycocotools ({error}): pip install 'ssl-robot[detection]'."
        ) from None
    return MeanAveragePrecision(
        iou_type=tuple(_THEIRS[kind] for kind in kinds),
        iou_thresholds=THRESHOLDS.tolist(),  # its own are rounded: an overlap of exactly .6 would be too little
        rec_thresholds=_RECALLS.tolist(),
        extended_summary=True,
    )


def _theirs(found: Found) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.from_numpy(found.boxes).float(),
        "scores": torch.from_numpy(found.scores).float(),
        "labels": torch.from_numpy(found.things),
        "masks": torch.from_numpy(found.masks),
    }


def _truth(items: Sequence[Instance], shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    masks = np.stack([item.mask for item in items]) if items else np.zeros((0, *shape), np.bool_)
    return {
        "boxes": torch.tensor([item.box for item in items], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([item.thing for item in items], dtype=torch.int64),
        "iscrowd": torch.tensor([item.crowd for item in items], dtype=torch.int64),
        "masks": torch.from_numpy(masks),
    }


def _values(reference: Mapping[str, Any], kind: Kind, prefixed: bool) -> dict[int, NDArray[np.float64]]:
    """What torchmetrics says of each thing, (10,): of any size, with up to 100 detections a frame."""
    precision = reference[f"{_THEIRS[kind]}_precision" if prefixed else "precision"][:, :, :, 0, -1].numpy()
    things = np.atleast_1d(reference["classes"].numpy()).tolist()
    return {thing: precision[:, :, place].mean(1) for place, thing in enumerate(things)}
