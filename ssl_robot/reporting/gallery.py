"""Which pictures an audit has: whole ones for files, and panel by panel for a page of any width."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from ssl_robot.audit import Audited
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.reporting import figures, mechanism, overall, tables
from ssl_robot.reporting.views import Example

_MOST = 12  # panels of a kind on the page; the file has all
_STACKED = 4  # arms in a panel of training curves


@dataclass(frozen=True)
class Gallery:
    """Pictures of an audit.

    Attributes:
        files: By name.
        panels: The same, cut into panels, as SVG for a page; by name.
        cut: Names of those of which the page shows only the first panels.
    """

    files: Mapping[str, Figure]
    panels: Mapping[str, Sequence[str]]
    cut: Sequence[str]


@dataclass(frozen=True)
class _Topic:
    """One picture: how it is drawn, of what, and what makes a panel."""

    draw: Callable[[Any], Figure]
    items: Sequence[Any]
    panel: Callable[[Any], object]
    says: str


def gallery(audited: Audited, examples: Sequence[Example]) -> Gallery:
    """Every picture that there is something for."""
    files, panels, cut = {}, {}, []
    for name, topic in _topics(audited).items():
        files[name] = topic.draw(topic.items)
        keys = list(dict.fromkeys(map(topic.panel, topic.items)))
        parts = [[item for item in topic.items if topic.panel(item) == key] for key in keys[:_MOST]]
        drawings = [files[name]] if len(keys) == 1 else [topic.draw(part) for part in parts]
        panels[name] = [
            figures.inline(figures.svg(drawing, f"{name} {i}"), topic.says) for i, drawing in enumerate(drawings)
        ]
        cut += [name] if len(keys) > _MOST else []
    if examples:
        files["views"] = figures.examples([(item.name, item.hides, item.pictures) for item in examples])
    return Gallery(files, panels, cut)


def _topics(audited: Audited) -> dict[str, _Topic]:
    decide = [f for f in audited.findings if f.role == "verdict"]
    topics = {}
    for design in tables.designs(decide):
        if design != "sweep":
            rows = [f for f in decide if f.design == design]
            topics[f"effects-{design}"] = _Topic(figures.effects, rows, _component, "Effects with 95% intervals")
    swept = [f for f in decide if f.design == "sweep"]
    for name in dict.fromkeys(f.invariance for f in swept):
        rows = [f for f in swept if f.invariance == name]
        topics[f"dose-{name}"] = _Topic(figures.doses, rows, _component, f"Effect against the strength of {name}")
    points = [point for point in mechanism.learnt(audited) if point.worst]
    if points:
        says = "How much more invariant encoders became, against what that cost"
        topics["learning"] = _Topic(figures.learning, points, lambda _: None, says)
    levels = overall.overall(audited)
    if len(levels) > 1:
        says = "Interquartile mean over all components, with 95% intervals over seeds"
        topics["overall"] = _Topic(figures.levels, levels, lambda _: None, says)
    trained = [r for r in audited.results if r.epochs]
    if trained:
        arms = list(dict.fromkeys(r.arm for r in trained))
        draw = partial(figures.curves, scale=figures.span(trained))
        topics["curves"] = _Topic(
            draw, trained, lambda r: arms.index(r.arm) // _STACKED, "Loss, spread and rank, epoch by epoch"
        )
    return topics


def _component(finding: Finding) -> tuple[str, str, str]:
    return tables.place(finding)
