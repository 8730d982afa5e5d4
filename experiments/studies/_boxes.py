"""Boxes that detectors draw on frames, as PNG."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ssl_robot.experiments.studies._detections import Outcome
from ssl_robot.frames import Frames

_COLOURS = ("#c0392b", "#7d3c98", "#d68910", "#1e8449")
_SURE = 0.5  # from which a box is drawn


class Scene(NamedTuple):
    """A frame with what is there and what was found.

    Attributes:
        row: Place of the frame in the recording.
        there: Thing, left, top, right and bottom edge.
        found: Thing, score, left, top, right and bottom edge.
    """

    row: int
    there: Sequence[Sequence[int]]
    found: Sequence[Sequence[float]]


def sheet(outcomes: Sequence[Outcome], frames: Frames) -> bytes:
    """A row for each detector: what is there in thin black lines, what it is sure of in colour.

    Args:
        outcomes: Of one seed, all of the same frames.
        frames: The recording that they were asked about.
    """
    columns = len(outcomes[0].scenes)
    figure = Figure(figsize=(1.6 * columns + 1.2, 1.7 * len(outcomes)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(outcomes), columns, squeeze=False)
    for line, outcome in zip(axes, outcomes, strict=True):
        for axis, scene in zip(line, (Scene(*each) for each in outcome.scenes), strict=True):
            axis.imshow(frames.take(np.array([scene.row]))[0], interpolation="nearest", extent=_extent(frames))
            _draw(axis, scene)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(f"{outcome.name}\n{'tuned' if outcome.tuned else 'frozen'}", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, facecolor="white")
    return buffer.getvalue()


def _extent(frames: Frames) -> tuple[float, float, float, float]:
    """Edges of the picture in the pixels that boxes count."""
    h, w, _ = frames.shape
    return 0, w, h, 0


def _draw(axis: Axes, scene: Scene) -> None:
    for _, *true in scene.there:
        axis.add_patch(_rectangle(true, edgecolor="black", linewidth=0.8, linestyle=":"))
    for thing, score, *edges in scene.found:
        if score >= _SURE:
            colour = _COLOURS[(int(thing) - 1) % len(_COLOURS)]
            axis.add_patch(_rectangle(edges, edgecolor=colour, linewidth=1.3))


def _rectangle(edges: Sequence[float], **style: Any) -> Rectangle:
    left, top, right, bottom = edges
    return Rectangle((left, top), right - left, bottom - top, fill=False, **style)
