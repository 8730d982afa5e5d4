"""The page's tables: what each cell says, computed apart from how it looks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssl_robot.audit import Audited
from ssl_robot.auditing import remedy
from ssl_robot.auditing.design import BASE, FULL, RECOMMENDED, UNTRAINED
from ssl_robot.auditing.verdicts import Finding, judged
from ssl_robot.probes import Score
from ssl_robot.reporting import units, words

DESIGNS = ("potential", "leave_one_out", "add_one_in", "sweep", "remedy")
_SUPPOSED: Mapping[str, str] = {
    "potential": "if exactly blind",
    "leave_one_out": "in the full recipe",
    "add_one_in": "added to the plain recipe",
    "remedy": "beside the first recipe",
}
_ARMS: Mapping[str, str] = {
    UNTRAINED: "random weights: the floor",
    FULL: "the full recipe",
    BASE: "the plain recipe",
    RECOMMENDED: "what the verdicts speak for",
    "pixels": "raw pixels, no network",
    "random": "random weights",
    "state": "the true state: the ceiling",
    "efficientnet_lite0": "trained on ImageNet with labels",
}
# What a place in a table is about: label, component and metric.
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Cell:
    """One verdict in a table.

    Attributes:
        kind: Which colour.
        verdict: In words.
        effect: With its sign.
        interval: Its ends.
        users: Errors without and with, in the user's unit.
    """

    kind: words.Kind
    verdict: str
    effect: str
    interval: str
    users: str


@dataclass(frozen=True)
class Line:
    """An invariance in one design, beside all components.

    Attributes:
        name: The invariance, or a group of them.
        how: Which design.
        cells: For each column; none where it was not asked.
    """

    name: str
    how: str
    cells: Sequence[Cell | None]


@dataclass(frozen=True)
class Matrix:
    """Verdicts at a glance: harm that is possible, and what came of it.

    Attributes:
        columns: Components, and the unit of their effects.
        blocks: Lines of each invariance.
    """

    columns: Sequence[tuple[str, str]]
    blocks: Sequence[Sequence[Line]]

    @property
    def kinds(self) -> set[str]:
        """What its cells say."""
        return {cell.kind for block in self.blocks for line in block for cell in line.cells if cell is not None}


def matrix(found: Sequence[Finding]) -> Matrix:
    """Every verdict beside those of the same invariance, from other designs, and of the same component.

    Args:
        found: Findings that decide; those about single strengths have a picture of their own.
    """
    found = [f for f in found if f.design not in ("sweep", "remedy")]
    places = {place(f): f for f in found}
    keys = dict.fromkeys((f.invariance, f.design, f.dose, f.encoder) for f in found)
    ordered = sorted(keys, key=lambda k: (DESIGNS.index(k[1]), k[2] or 0.0))
    many = len({f.encoder for f in found if f.encoder}) > 1
    blocks = []
    for name in dict.fromkeys(f.invariance for f in found):
        lines = []
        for key in (key for key in ordered if key[0] == name):
            rows = {place(f): f for f in found if (f.invariance, f.design, f.dose, f.encoder) == key}
            how = supposed(next(iter(rows.values())), many)
            lines.append(Line(name, how, [_cell(rows[p]) if p in rows else None for p in places]))
        blocks.append(lines)
    return Matrix([(f.what, units.own(f).axis) for f in places.values()], blocks)


def supposed(finding: Finding, many: bool = False) -> str:
    """What is compared: ``if exactly blind``, ``in the full recipe`` and so on.

    Args:
        finding: One of the comparison.
        many: Whether several encoders were made blind.
    """
    if finding.design == "sweep":
        return f"at strength {finding.dose:g}"
    named = f" ({finding.encoder})" if many and finding.encoder else ""
    return f"{_SUPPOSED[finding.design]}{named}"


def place(finding: Finding) -> Place:
    """What it is about."""
    return finding.target, finding.component, finding.metric


def _cell(finding: Finding) -> Cell:
    scale = units.own(finding)
    return Cell(
        words.kind(finding), words.verdict(finding), scale.change(finding.effect),
        scale.between(finding.low, finding.high), units.users(finding),
    )  # fmt: skip


@dataclass(frozen=True)
class Detail:
    """Everything about one verdict.

    Attributes:
        name: The invariance.
        how: The dose, or the encoder; empty where there is one of each.
        what: The component.
        unit: Of what follows.
        without: Score without the invariance.
        having: With it.
        nothing: What is had for nothing.
        detectable: The smallest effect that would mostly have been seen.
        read: Layer and head.
        cell: The verdict.
    """

    name: str
    how: str
    what: str
    unit: str
    without: str
    having: str
    nothing: str
    detectable: str
    read: str
    cell: Cell


def details(found: Sequence[Finding]) -> list[Detail]:
    """A line for each verdict, by invariance."""
    many = len({f.encoder for f in found}) > 1
    names = list(dict.fromkeys(f.invariance for f in found))
    ordered = sorted(found, key=lambda f: (names.index(f.invariance), f.encoder, f.dose or 0.0))
    return [_detail(f, many) for f in ordered]


def _detail(f: Finding, many: bool) -> Detail:
    scale = units.own(f)
    how = f"{f.dose:g}" if f.dose is not None else f.encoder if many else ""
    without, having, nothing = (scale.value(number) for number in (f.without, f.having, f.nothing))
    return Detail(
        f.invariance, how, f.what, scale.axis, without, having, nothing, scale.size(f.detectable), read(f), _cell(f)
    )


def read(finding: Finding) -> str:
    """What of the encoder was read, and by what."""
    return ", ".join(part for part in (finding.layer, finding.head) if part)


@dataclass(frozen=True)
class Sensitivity:
    """Whether another layer or head would have said otherwise.

    Attributes:
        readings: Layer and head of each column; the first one decides.
        rows: Invariance, design, component, and for each reading a cell and whether it is sure of something else.
        many: Readings besides those that decide.
        other: How many of them are sure of something else.
        opposite: Those that say that something helps which the deciding one says hurts, or the other way round.
    """

    readings: Sequence[str]
    rows: Sequence[tuple[str, str, str, Sequence[tuple[Cell | None, bool]]]]
    many: int
    other: int
    opposite: Sequence[str]


_SURE = {"hurts", "helps", "regains", "negligible"}


def sensitivity(found: Sequence[Finding]) -> Sensitivity:
    """Verdicts beside those of other layers and heads.

    Args:
        found: All findings of trained encoders.
    """
    beside: dict[tuple[object, ...], dict[str, Finding]] = {}
    for f in found:
        if f.role == "sensitivity":
            beside.setdefault((f.invariance, f.design, f.dose, place(f)), {})[read(f)] = f
    decide = [f for f in found if f.role == "verdict" and (f.invariance, f.design, f.dose, place(f)) in beside]
    names = list(dict.fromkeys(name for of in beside.values() for name in of))
    rows, other, opposite, many = [], 0, [], 0
    for f in decide:
        others = beside[f.invariance, f.design, f.dose, place(f)]
        odd = {n for n, o in others.items() if words.kind(o) in _SURE and words.kind(o) != words.kind(f)}
        cells = [(_cell(others[n]) if n in others else None, n in odd) for n in names]
        rows.append((f.invariance, supposed(f), f.what, [(_cell(f), False), *cells]))
        many, other = many + len(others), other + len(odd)
        against = [n for n in sorted(odd) if {words.kind(others[n]), words.kind(f)} == {"hurts", "helps"}]
        opposite += [f"{f.invariance} {supposed(f)}, {f.what}: {words.verdict(others[n])} ({n})" for n in against]
    return Sensitivity([read(decide[0]) if decide else "", *names], rows, many, other, opposite)


@dataclass(frozen=True)
class ArmRow:
    """One arm beside all others.

    Attributes:
        name: The arm, the baseline or the encoder.
        note: What it is.
        seeds: How many encoders.
        cells: Mean and spread for each column.
        proof: For the recommended recipe whether it is not inferior, and what it brings back; for each column.
    """

    name: str
    note: str
    seeds: int
    cells: Sequence[str]
    proof: Sequence[str]


def arms(audited: Audited) -> tuple[Sequence[tuple[str, str]], list[ArmRow]]:
    """Every arm's scores, mean and standard deviation over seeds; the recommended recipe is the last.

    Returns:
        Columns, component and unit, and the rows.
    """
    table = {name: _by_place(audited, name) for name in dict.fromkeys(r.arm for r in audited.results)}
    whole = {name: values for name, values in table.items() if values}
    places = dict.fromkeys(p for values in whole.values() for p in values)
    proofs = _proofs(audited)
    rows = []
    for name in sorted(whole, key=lambda name: name == RECOMMENDED):  # stable: the others stay in their order
        cells = [_mean(whole[name].get(p, ()), p) for p in places]
        proof = [proofs.get(p[:3], "") if name == RECOMMENDED else "" for p in places]
        many = len({r.seed for r in audited.results if r.arm == name and not r.failure})
        rows.append(ArmRow(name, _note(name, audited), many, cells, proof))
    last = [f"{target.split('/')[-1]} {component}".strip() for target, component, _, _ in places]
    return [(what, units.scale(p[2], p[3]).level) for what, p in zip(last, places, strict=True)], rows


def _by_place(audited: Audited, arm: str) -> dict[tuple[str, str, str, str], list[float]]:
    """An arm's deciding scores, seed by seed."""
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for result in (r for r in audited.results if r.arm == arm and not r.failure):
        for question in (q for q in audited.questions if q.role == "verdict"):
            for s in _shown(result.answers.get(question.key, ())):
                found.setdefault((s.target, s.component, s.metric, s.unit), []).append(s.value)
    return found


def _shown(scores: Sequence[Score]) -> Iterator[Score]:
    """What has verdicts, and errors in the user's unit beside it."""
    decide = set(judged(scores))
    return (s for i, s in enumerate(scores) if i in decide or (s.metric == "error" and s.unit))


def _mean(values: Sequence[float], place: tuple[str, str, str, str]) -> str:
    if not values:
        return ""
    scale = units.scale(place[2], place[3])
    spread = f" ± {scale.bare(float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
    return f"{scale.bare(float(np.mean(values)))}{spread}"


def _note(name: str, audited: Audited) -> str:
    if name in audited.beside and name not in _ARMS:
        return "was there already"
    return _ARMS.get(name, "")


def _proofs(audited: Audited) -> dict[Place, str]:
    """What is known of the recommended recipe beside the one that the study began with, component by component."""
    shares = remedy.closed(audited.findings, audited.results, audited.questions, audited.study)
    proofs = {}
    for f in audited.findings:
        if (f.design, f.role) == ("remedy", "verdict"):
            share = shares.get(place(f))
            closed = f"; closes {100 * share:.0f}% of the gap" if share is not None else ""
            proofs[place(f)] = f"{'not inferior' if f.safe else 'not shown to be as good'}{closed}"
    return proofs


def designs(found: Iterable[Finding]) -> list[str]:
    """Which there are, exact blindness first and the proof last."""
    there = {f.design for f in found}
    return [design for design in DESIGNS if design in there]
