"""A picture of a training run."""

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, facecolor="white")
    return buffer.getvalue()
