"""Pictures of a study's outcomes, as PNG."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ssl_robot.experiments.studies._trials import IMAGENET, PIXELS, RANDOM, Outcome

_PANELS = (
    ("loss", "loss"),
    ("spread", "standard deviation of z/|z|, times √d\n(1 even, 0 one point)"),
    ("directions", "directions that embeddings take up\n(1: all on one line)"),
    ("knn_r2", "labels from neighbours, R2"),
)
_COLOURS = ("#1f618d", "#c0392b", "#d68910", "#7d3c98", "#1e8449", "#5d6d7e")


def curves(outcomes: Sequence[Outcome], names: Sequence[str]) -> bytes:
    """How training went for some of the rows: one line a seed.

    Args:
        outcomes: Of all trials.
        names: Rows to show.
    """
    figure = Figure(figsize=(3.3 * len(_PANELS), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (figure_name, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for name, colour in zip(names, _COLOURS, strict=False):
            for outcome in (o for o in outcomes if o.trial.name == name):
                known = [(epoch["epoch"] + 1, epoch[figure_name]) for epoch in outcome.epochs if figure_name in epoch]
                label = name if outcome.trial.seed == 0 else None
                axis.plot(*zip(*known, strict=True), color=colour, linewidth=1.6, alpha=0.85, label=label)
        _dressed(axis, title, "epoch")
        if figure_name == "directions":
            axis.set_yscale("log")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return _png(figure)


def rows(outcomes: Sequence[Outcome]) -> bytes:
    """Mean R2 of every row in every world: a dot a seed, a bar at their mean, and what an untrained network holds."""
    worlds = list(dict.fromkeys(o.trial.world.name for o in outcomes))
    names = _ranked(outcomes)
    figure = Figure(figsize=(3.6 * len(worlds) + 1.6, 0.3 * len(names) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, world in zip(figure.subplots(1, len(worlds), sharey=True, squeeze=False)[0], worlds, strict=True):
        here = [o for o in outcomes if o.trial.world.name == world]
        axis.axvline(float(np.mean(_values(here, RANDOM) or [0.0])), color="#909497", linestyle=":", zorder=0)
        for y, name in enumerate(names):
            values = _values(here, name)
            colour = "#5d6d7e" if name in (RANDOM, PIXELS, IMAGENET) else "#1f618d"
            axis.plot(values, [y] * len(values), "o", color=colour, alpha=0.5, markersize=5)
            if values:
                axis.plot([np.mean(values)] * 2, [y - 0.3, y + 0.3], color=colour, linewidth=2.5)
        _dressed(axis, world, "R2, mean over the components")
    figure.axes[0].set_yticks(range(len(names)), names, fontsize=9)
    figure.axes[0].set_ylim(len(names) - 0.5, -0.5)
    return _png(figure)


def grid(names: Sequence[str], titles: Sequence[str], frames: Sequence[Sequence[NDArray[np.uint8]]]) -> bytes:
    """Frames in rows and columns.

    Args:
        names: One for each row.
        titles: One for each column.
        frames: Rows of frames, (h, w, 3) each.
    """
    figure = Figure(figsize=(1.25 * len(titles) + 0.3, 1.25 * len(names) + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name, row in zip(figure.subplots(len(names), len(titles), squeeze=False), names, frames, strict=True):
        for axis, title, frame in zip(axes, titles, row, strict=True):
            axis.imshow(frame, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if name == names[0]:
                axis.set_title(title, fontsize=9)
        axes[0].set_ylabel(name, fontsize=9)
    return _png(figure)


def _ranked(outcomes: Sequence[Outcome]) -> list[str]:
    names = dict.fromkeys(o.trial.name for o in outcomes)
    return sorted(names, key=lambda name: -float(np.mean(_values(outcomes, name) or [-9.0])))


def _values(outcomes: Sequence[Outcome], name: str) -> list[float]:
    return [o.mean("kernel") for o in outcomes if o.trial.name == name and o.r2]


def _dressed(axis: Axes, title: str, below: str) -> None:
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(below, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, facecolor="white")
    return buffer.getvalue()
