"""Pictures of an audit."""

import io
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ssl_robot.auditing.verdicts import Finding
from ssl_robot.frames import Frames
from ssl_robot.recipes import Recipe

COLOURS = {"hurts": "#c0392b", "helps": "#1e8449", "negligible": "#5d6d7e", "no_evidence": "#b2babb"}
_SHOWN = 5


def effects(found: Sequence[Finding]) -> bytes:
    """What each invariance does to each component, with intervals, as a PNG; better is to the right.

    Args:
        found: Findings of one design and layer.
    """
    names = list(dict.fromkeys(f.invariance for f in found))
    components = list(dict.fromkeys((f.what, f.unit) for f in found))
    figure = Figure(figsize=(2.3 * len(components) + 1.2, 0.55 * len(names) + 1.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(components), sharey=True, squeeze=False)[0]
    for axis, (component, unit) in zip(axes, components, strict=True):
        _panel(axis, names, [f for f in found if (f.what, f.unit) == (component, unit)])
        axis.set_title(component)
        axis.set_xlabel("change of R2" if unit == "R2" else f"change of error, {unit}\n(reversed: better to the right)")
    axes[0].set_yticks(range(len(names)), [f"+ {name}" for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    return _png(figure)


def _panel(axis: Axes, names: list[str], found: Sequence[Finding]) -> None:
    margin = found[0].margin
    axis.axvspan(-margin, margin, color="#ecf0f1", zorder=0)
    axis.axvline(0, color="#909497", linewidth=1)
    for finding in found:
        colour = COLOURS[finding.verdict]
        y = names.index(finding.invariance)
        axis.plot([finding.low, finding.high], [y, y], color=colour, linewidth=3, solid_capstyle="round")
        axis.plot(
            finding.effect, y, "o", color=colour if finding.held else "white", markeredgecolor=colour, markersize=8
        )
    reach = 1.15 * max(max(abs(f.low), abs(f.high)) for f in found)
    reach = max(reach, 2 * margin)
    axis.set_xlim((reach, -reach) if found[0].metric == "error" else (-reach, reach))
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


_PANELS = (
    ("loss", "loss"),
    ("spread", "spread of the embeddings\n(1 even, 0 collapsed)"),
    ("rank", "directions that matter\n(RankMe)"),
    ("knn_r2", "labels from neighbours\n(R2)"),
)


def curve(epochs: Sequence[Mapping[str, float]]) -> bytes:
    """How a run went, as a PNG: loss, spread, rank and, where there are labels, how well neighbours know them."""
    panels = [(name, title) for name, title in _PANELS if any(name in epoch for epoch in epochs)]
    figure = Figure(figsize=(3.0 * len(panels), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (name, title) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        known = [(epoch["epoch"] + 1, epoch[name]) for epoch in epochs if name in epoch]
        axis.plot(*zip(*known, strict=True), marker="o" if len(known) < 30 else None, markersize=3)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def views(frames: Frames, asked: Recipe) -> bytes:
    """A frame under each invariance's own transformations, as a PNG: what a blind encoder cannot tell apart."""
    frame = frames.take(np.array([len(frames) // 2]))
    image = torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255
    rows = len(asked.names)
    figure = Figure(figsize=(1.3 * _SHOWN + 1.2, 1.35 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, _SHOWN, squeeze=False)
    for line, name, item in zip(grid, asked.names, asked.invariances, strict=True):
        orbit = list(islice(item.orbit(image), _SHOWN))
        for axis in line:
            axis.axis("off")
        for axis, moved in zip(line, orbit, strict=False):
            axis.imshow(moved[0].permute(1, 2, 0).numpy().clip(0, 1))
        line[0].set_title(f"{name}: hides {item.hides}", loc="left", fontsize=10)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, facecolor="white")
    return buffer.getvalue()
