"""Pictures of an audit: one drawing for a file, and for a page that may be light or dark."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.reporting import units, words
from ssl_robot.reporting.mechanism import Learnt
from ssl_robot.reporting.overall import Level

# On a page each of these stands for the variable of its name, so that a drawing follows the page's colours.
COLOURS = {
    "ink": "#1c2833",
    "quiet": "#808b96",
    "line": "#d5d8dc",
    "band": "#eceff1",
    "paper": "#fefefe",
    "hurts": "#c0392b",
    "helps": "#1e8449",
    "negligible": "#2e6da4",
    "no_evidence": "#99a3a4",
}
_LIKE: Mapping[words.Kind, str] = {"regains": "no_evidence", "never": "no_evidence", "few": "no_evidence"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "font.size": 9,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": COLOURS["quiet"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_WIDE = 3  # panels beside each other
_PANEL = 3.6  # inches
_MEASURES = ("loss", "spread", "rank")


def png(figure: Figure) -> bytes:
    """For slides and mails."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()


def svg(figure: Figure, name: str) -> str:
    """For papers; the same drawing gives the same text.

    Args:
        figure: What is drawn.
        name: Told apart by it, drawings can lie on one page.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def inline(drawing: str, says: str) -> str:
    """An SVG as a part of a page, in the page's colours.

    Args:
        drawing: What ``svg`` gave.
        says: What it shows, for those who do not see it.
    """
    start = drawing.index("<svg")
    body = re.sub(r"<metadata>.*?</metadata>", "", drawing[start:], flags=re.DOTALL)
    body = re.sub(r' (width|height)="[\d.]+pt"', "", body, count=2)
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    words_said = says.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return body.replace("<svg", f'<svg role="img" aria-label="{words_said}"', 1)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _settled(figure: Figure) -> Figure:
    """The figure with everything in its place, which is not looked for again."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    return figure


def _grid(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Panels in rows of three."""
    columns = min(panels, _WIDE)
    rows = math.ceil(panels / columns)
    figure = _figure(_PANEL * columns, height * rows)
    found: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in found[panels:]:
        axis.axis("off")
    return figure, found


def effects(found: Sequence[Finding]) -> Figure:
    """What each invariance does to each component, with intervals; better is to the right.

    Args:
        found: Findings that decide, of one design.
    """
    many = len({f.encoder for f in found}) > 1
    lines = [f"{f.invariance}\n{f.encoder}" if many else f.invariance for f in found]
    names = list(dict.fromkeys(lines))
    places = list(dict.fromkeys((f.what, f.metric, f.unit) for f in found))
    with mpl.rc_context(_STYLE):
        figure, axes = _grid(len(places), 0.32 * len(names) + 1.0)
        for axis, key in zip(axes, places, strict=False):
            pairs = zip(lines, found, strict=True)
            rows = {line: f for line, f in pairs if (f.what, f.metric, f.unit) == key}
            _intervals(axis, names, rows)
        return _settled(figure)


def _intervals(axis: Axes, names: Sequence[str], rows: Mapping[str, Finding]) -> None:
    found = list(rows.values())
    scale, margin = units.own(found[0]), found[0].margin
    axis.axvspan(-margin * scale.factor, margin * scale.factor, color=COLOURS["band"], zorder=0, linewidth=0)
    axis.axvline(0, color=COLOURS["quiet"], linewidth=1, zorder=1)
    for line, f in rows.items():
        y, colour = names.index(line), _colour(f)
        low, effect, high = (scale.factor * end for end in (f.low, f.effect, f.high))
        axis.plot([low, high], [y, y], color=colour, linewidth=2.5, solid_capstyle="round")
        face = colour if f.held else COLOURS["paper"]
        axis.plot(effect, y, "o", color=face, markeredgecolor=colour, markeredgewidth=1.5, markersize=7)
    reach = max(1.1 * scale.factor * max(max(abs(f.low), abs(f.high)) for f in found), 2 * margin * scale.factor)
    better_right = found[0].metric != "error"
    axis.set_xlim((-reach, reach) if better_right else (reach, -reach))
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_title(found[0].what, loc="left", fontweight="bold", fontsize=10)
    axis.set_xlabel(f"← worse   {scale.axis}   better →", fontsize=8)


def _colour(finding: Finding) -> str:
    kind = words.kind(finding)
    return COLOURS[_LIKE.get(kind, kind)]


def doses(found: Sequence[Finding]) -> Figure:
    """Effect against strength, with intervals, for each component.

    Args:
        found: Findings that decide, about strengths of one invariance.
    """
    places = list(dict.fromkeys((f.what, f.metric, f.unit) for f in found))
    with mpl.rc_context(_STYLE):
        figure, axes = _grid(len(places), 2.3)
        for axis, key in zip(axes, places, strict=False):
            _dose(axis, [f for f in found if (f.what, f.metric, f.unit) == key])
        return _settled(figure)


def _dose(axis: Axes, found: Sequence[Finding]) -> None:
    scale, margin = units.own(found[0]), found[0].margin
    rows = sorted((f for f in found if f.dose is not None), key=lambda f: f.dose or 0.0)
    axis.axhspan(-margin * scale.factor, margin * scale.factor, color=COLOURS["band"], zorder=0, linewidth=0)
    axis.axhline(0, color=COLOURS["quiet"], linewidth=1)
    middle = [0.0, *(scale.factor * f.effect for f in rows)]
    axis.plot([0.0, *(f.dose or 0.0 for f in rows)], middle, color=COLOURS["quiet"], linewidth=1.2)
    for dose, f in ((f.dose or 0.0, f) for f in rows):
        ends = [scale.factor * f.low, scale.factor * f.high]
        axis.plot([dose, dose], ends, color=_colour(f), linewidth=2.5, solid_capstyle="round")
        face = _colour(f) if f.held else COLOURS["paper"]
        axis.plot(dose, scale.factor * f.effect, "o", color=face, markeredgecolor=_colour(f), markersize=7)
    if found[0].metric == "error":
        axis.invert_yaxis()
    axis.set_title(found[0].what, loc="left", fontweight="bold", fontsize=10)
    axis.set_xlabel(f"strength of {found[0].invariance}")
    axis.set_ylabel(f"{scale.axis}\n(better: up)", fontsize=8)


def learning(points: Sequence[Learnt]) -> Figure:
    """How much more invariant encoders became against what their worst component lost, one dot for each invariance."""
    hows = list(dict.fromkeys(point.how for point in points))
    with mpl.rc_context(_STYLE):
        figure = _figure(6.0, 3.8)
        axis = figure.subplots()
        axis.axhline(0, color=COLOURS["quiet"], linewidth=1, zorder=1)
        axis.axvline(0, color=COLOURS["line"], linewidth=1, zorder=0)
        for i, point in enumerate(sorted(points, key=lambda point: (point.how, point.became))):
            _dot(axis, point, "os^"[hows.index(point.how) % 3], above=i % 2 == 0)
        for i, how in enumerate(hows):
            axis.plot([], [], "os^"[i % 3], color=COLOURS["quiet"], label=how)
        axis.legend(frameon=False, fontsize=8, loc="best")
        axis.margins(0.2, 0.15)
        axis.set_xlabel("became more invariant →   (whitened cosine, with minus without)")
        axis.set_ylabel("harm: R² lost by the worst component →")
        return _settled(figure)


def _dot(axis: Axes, point: Learnt, marker: str, above: bool) -> None:
    worst = point.worst
    if worst is None:
        return
    colour = _colour(worst)
    axis.plot([point.became] * 2, [-worst.low, -worst.high], color=colour, linewidth=1.2, alpha=0.6)
    face = colour if worst.held else COLOURS["paper"]
    axis.plot(point.became, point.harm, marker, color=face, markeredgecolor=colour, markersize=8)
    offset = (7, 4 if above else -11)  # neighbours do not write over each other
    axis.annotate(point.name, (point.became, point.harm), offset, textcoords="offset points", fontsize=9)


def levels(found: Sequence[Level]) -> Figure:
    """How much of everything each arm holds, with intervals; those of one encoder have none and are hollow.

    Args:
        found: The first is what the others are held against.
    """
    with mpl.rc_context(_STYLE):
        figure = _figure(6.0, 0.9 + 0.28 * len(found))
        axis = figure.subplots()
        axis.axvline(found[0].middle, color=COLOURS["quiet"], linewidth=1, zorder=0)
        for y, level in enumerate(found):
            colour = COLOURS["negligible"] if level.seeds > 1 else COLOURS["quiet"]
            axis.plot([level.low, level.high], [y, y], color=colour, linewidth=2.5, solid_capstyle="round")
            face = colour if level.seeds > 1 else COLOURS["paper"]
            axis.plot(level.middle, y, "o", color=face, markeredgecolor=colour, markeredgewidth=1.5, markersize=7)
        axis.set_ylim(len(found) - 0.5, -0.5)
        axis.set_yticks(range(len(found)), [level.name for level in found])
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel("interquartile mean over all components   better →", fontsize=8)
        return _settled(figure)


def curves(results: Sequence[Result], scale: Mapping[str, tuple[float, float]]) -> Figure:
    """How training of each arm went, a line for each seed: loss, spread of the embeddings, rank.

    Args:
        results: Of trained arms.
        scale: What ``span`` says of all arms, so that they can be compared.
    """
    arms = list(dict.fromkeys(r.arm for r in results))
    with mpl.rc_context({**_STYLE, "font.size": 7}):
        figure = _figure(1.4 * len(_MEASURES), 1.15 * len(arms))
        grid = figure.subplots(len(arms), len(_MEASURES), squeeze=False)
        for line, arm in zip(grid, arms, strict=True):
            for axis, name in zip(line, _MEASURES, strict=True):
                _course(axis, name, [r for r in results if r.arm == arm], scale.get(name, (0, 1)))
            line[0].set_title(arm, loc="left", fontsize=8, fontweight="bold")
        return _settled(figure)


def span(results: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """The lowest and the highest of each measure of training."""
    found = {}
    for name in _MEASURES:
        values = [epoch[name] for r in results for epoch in r.epochs if math.isfinite(epoch.get(name, math.nan))]
        if values:
            found[name] = (0.0, max(1.0, *values)) if name == "spread" else (min(values), max(values))
    return found


def _course(axis: Axes, name: str, results: Sequence[Result], ends: tuple[float, float]) -> None:
    """One measure of one arm."""
    for result in results:
        known = [(epoch["epoch"] + 1, epoch[name]) for epoch in result.epochs if name in epoch]
        if known:
            axis.plot(*zip(*known, strict=True), color=COLOURS["negligible"], linewidth=1.1, alpha=0.8,
                      marker="o" if len(known) < 4 else None, markersize=3)  # fmt: skip
    room = 0.1 * (ends[1] - ends[0]) or 0.1
    axis.set_ylim(ends[0] - room, ends[1] + room)
    axis.set_xlim(0.5, 0.5 + max((len(result.epochs) for result in results), default=1))
    axis.locator_params(nbins=3)
    axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axis.tick_params(length=2)
    axis.set_xlabel(f"{name} by epoch", fontsize=7, color=COLOURS["quiet"])


def examples(rows: Sequence[tuple[str, str, Sequence[NDArray[np.float32]]]]) -> Figure:
    """Frames under each invariance's own transformations.

    Args:
        rows: Name of the invariance, what it hides, and pictures, (h, w, 3) in [0, 1].
    """
    columns = max(len(pictures) for _, _, pictures in rows)
    with mpl.rc_context(_STYLE):
        figure = _figure(1.3 * columns, 1.55 * len(rows))
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, (name, hides, pictures) in zip(grid, rows, strict=True):
            for axis in line:
                axis.axis("off")
            for axis, picture in zip(line, pictures, strict=False):
                axis.imshow(picture, interpolation="none")
            line[0].set_title(f"{name}: hides {hides}", loc="left", fontsize=9)
        return _settled(figure)
