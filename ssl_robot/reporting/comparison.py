"""Two audits side by side: where they say the same of an invariance and a component, and where not."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_robot.errors import InputError
from ssl_robot.reporting import units

FILE = "report.json"
_ENDS = ("effect", "low", "high")
# What a verdict has, and what it may lack, for older reports do.
_TEXTS, _LATER_TEXTS = ("invariance", "design", "probe", "target", "component", "layer", "verdict"), ("metric", "unit")
_LATER_NUMBERS = ("dose", "margin")
_DECIDES = "verdict"
_SURE = ("hurts", "helps", "regains", "negligible")
# What is compared: invariance, design, label, component, metric, strength, and which of several encoders.
Key = tuple[str, str, str, str, str, float | None, int]


@dataclass(frozen=True)
class Said:
    """What one audit says of one invariance and component.

    Attributes:
        verdict: Helps, hurts, regains, negligible, no_evidence, or never_held.
        effect: Of having the invariance; none, as the ends, where it was not a number.
        low: Lower end of the 95% interval.
        high: Upper end.
    """

    verdict: str
    effect: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """What two audits say.

    Attributes:
        invariance: Its name.
        design: How it was asked about.
        target: The label.
        component: Which of its numbers.
        metric: What the effect is a difference of.
        unit: Of the effect.
        dose: Strength, where strengths were compared.
        first: The first audit's; none where it did not ask.
        second: The second one's.
    """

    invariance: str
    design: str
    target: str
    component: str
    metric: str
    unit: str
    dose: float | None
    first: Said | None
    second: Said | None

    @property
    def relation(self) -> str:
        """``same``, ``opposite`` (one hurts where the other helps), ``differs``, or ``only first`` or ``second``."""
        if self.first is None or self.second is None:
            return "only second" if self.first is None else "only first"
        verdicts = {self.first.verdict, self.second.verdict}
        if len(verdicts) == 1:
            return "same"
        return "opposite" if verdicts == {"hurts", "helps"} else "differs"

    @property
    def sure(self) -> int:
        """How many of the two are sure of something."""
        return sum(said is not None and said.verdict in _SURE for said in (self.first, self.second))


def read(path: Path) -> dict[str, Any]:
    """A report, from its folder or its file.

    Raises:
        InputError: If there is none, or it is damaged or something else.
    """
    file = path / FILE if path.is_dir() else path
    try:
        report = json.loads(file.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise InputError(f"{file} is damaged: it holds no JSON; make it again with 'ssl-robot audit'.") from None
    except OSError:
        raise InputError(f"There is no report at {path}: give the --out folder of an audit, or its {FILE}.") from None
    rows = report.get("verdicts") if isinstance(report, dict) else None
    if not isinstance(rows, list) or not all(map(_sound, rows)) or not isinstance(report.get("about", {}), dict):
        raise InputError(f"{file} is no report of an audit: give the --out folder of one, or its {FILE}.")
    return dict(report)


def _sound(row: Any) -> bool:
    """Whether it is a verdict."""
    if not isinstance(row, dict) or not {*_TEXTS, *_ENDS, "held"} <= set(row):
        return False
    texts = [*(row[name] for name in _TEXTS), *(row.get(name, "") for name in (*_LATER_TEXTS, "role"))]
    numbers = [*(row[name] for name in _ENDS), *(row.get(name) for name in _LATER_NUMBERS)]
    return isinstance(row["held"], bool) and all(isinstance(t, str) for t in texts) and all(map(_number, numbers))


def _number(value: Any) -> bool:
    """Whether it is a number, or nothing."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (known and math.isfinite(value))


def pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Pair]:
    """What both say, row by row; what only one asked about comes where that one has it, or last.

    Args:
        first: A report, as ``read`` gives it.
        second: Another.
    """
    one, other = _deciding(first), _deciding(second)
    found = []
    for key in dict.fromkeys([*one, *other]):
        row = one.get(key) or other[key]
        said = (_said(one.get(key)), _said(other.get(key)))
        found.append(Pair(*key[:5], row.get("unit", ""), key[5], *said))
    return found


def summary(found: Sequence[Pair]) -> str:
    """How far two audits agree, in a sentence: that neither of them saw anything is no agreement."""
    relations = Counter(pair.relation for pair in found)
    both = [pair for pair in found if pair.first is not None and pair.second is not None]
    alone = [f"{relations[f'only {which}']} are only in the {which}" for which in ("first", "second")]
    rest = [text for text, which in zip(alone, ("first", "second"), strict=True) if relations[f"only {which}"]]
    if not both:
        return f"The audits have no verdict in common: {' and '.join(rest) or 'both are empty'}."
    sure = [pair for pair in both if pair.sure == 2]
    same = sum(pair.relation == "same" for pair in sure)
    agreed = f"The audits agree on {same} of the {len(sure)} verdicts that both are sure of"
    parts = [agreed if sure else "There is no verdict that both audits are sure of"]
    if relations["opposite"]:
        parts.append(f"on {relations['opposite']} one says hurts and the other helps")
    counts = Counter(pair.sure for pair in both)
    parts += [f"of {counts[1]} only one is sure"] if counts[1] else []
    parts += [f"of {counts[0]} neither is"] if counts[0] else []
    return f"{'; '.join([*parts, *([' and '.join(rest)] if rest else [])])}."


def table(found: Sequence[Pair]) -> list[str]:
    """Lines for a terminal: what does not agree is marked."""
    marks = {"same": " ", "opposite": "!", "differs": "~"}
    lines = [["", "invariance", "design", "component", "first", "second"]]
    for pair in found:
        how = pair.design.replace("_", " ") + ("" if pair.dose is None else f" {pair.dose:g}")
        what = f"{pair.target.split('/')[-1]} {pair.component}".strip()
        sides = [_written(side, pair) for side in (pair.first, pair.second)]
        lines.append([marks.get(pair.relation, "+"), pair.invariance, how, what, *sides])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells as text, each column as wide as its widest cell."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _written(said: Said | None, pair: Pair) -> str:
    if said is None:
        return "not asked"
    scale = units.scale(pair.metric, pair.unit)
    ends = f" ({scale.between(said.low, said.high)})" if None not in (said.low, said.high) else ""
    return f"{said.verdict.replace('_', ' ')} {scale.change(said.effect)}{ends}"


def _deciding(report: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    """Verdicts that decide, by what they are about; encoders made blind one after the other are counted."""
    rows: dict[Key, Mapping[str, Any]] = {}
    for row in report["verdicts"]:
        # Older reports name no role: what was read off the map there was for comparison.
        if row.get("role", _DECIDES if row["layer"] != "map" else "") != _DECIDES:
            continue
        number = 0
        while (key := _key(row, number)) in rows:
            number += 1
        rows[key] = row
    return rows


def _key(row: Mapping[str, Any], number: int) -> Key:
    invariance, design, target, component = (str(row[n]) for n in ("invariance", "design", "target", "component"))
    return invariance, design, target, component, str(row.get("metric", "")), row.get("dose"), number


def _said(row: Mapping[str, Any] | None) -> Said | None:
    if row is None:
        return None
    return Said(str(row["verdict"]) if row["held"] else "never_held", *(row[end] for end in _ENDS))
