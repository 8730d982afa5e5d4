"""In what two audits were not made alike, which is to be known before their verdicts are set against each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_robot.reporting.comparison import aligned

_OWN = ("command", "minutes of training, all runs")  # what no two audits share
_NONE = "–"


@dataclass(frozen=True)
class Difference:
    """Something in which two audits differ.

    Attributes:
        what: Its name.
        first: The first audit's, as text; a dash where it has none.
        second: The second one's.
    """

    what: str
    first: str
    second: str


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Recordings, recipes, method, schedule, seeds, failed runs, margins and versions, where they are not the same.

    Args:
        first: A report, as ``comparison.read`` gives it.
        second: Another.
    """
    one, other = ({**report.get("about", {}), **_runs(report)} for report in (first, second))
    names = [name for name in dict.fromkeys([*one, *other]) if name not in _OWN]
    found = [unlike for name in names for unlike in _unlike(name, one.get(name), other.get(name))]
    margin, other_margin = _margins(first), _margins(second)
    both = [unit for unit in margin if unit in other_margin]  # what only one asked about has no second margin
    return [*found, *(d for unit in both for d in _unlike(f"margin of {unit}", margin[unit], other_margin[unit]))]


def told(unlike: Sequence[Difference]) -> list[str]:
    """Lines for a terminal."""
    return aligned([["not alike", "first", "second"], *([d.what, d.first, d.second] for d in unlike)])


def _runs(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Seeds that encoders were trained with, and runs that failed."""
    listed = [arm.get("runs") for arm in _records(report, "arms")]  # each named <seed>-<content>
    folders = [str(folder) for runs in listed if isinstance(runs, list) for folder in runs]
    seeds = {folder.partition("-")[0] for folder in folders}
    failed = [f"{run.get('arm')} {run.get('seed')}" for run in _records(report, "failed")]
    return {"pre-training seeds": sorted(seeds, key=lambda seed: (len(seed), seed)), "failed": failed}


def _records(report: Mapping[str, Any], name: str) -> Iterable[Mapping[str, Any]]:
    listed = report.get(name, [])
    return [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []


def _margins(report: Mapping[str, Any]) -> dict[str, float]:
    """What is negligible, by unit."""
    rows = (row for row in report["verdicts"] if row.get("margin") is not None)
    return {row.get("unit", ""): row["margin"] for row in rows}


def _unlike(name: str, one: Any, other: Any) -> Iterator[Difference]:
    """Where two values differ: of mappings name by name, and in their order, which in a recipe counts."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        if one != other:
            yield Difference(name, _text(one), _text(other))
        return
    both = [part for part in one if part in other]
    if both != [part for part in other if part in one]:
        yield Difference(name, _text(one), _text(other))
    elif len(both) < max(len(one), len(other)):
        yield Difference(name, *(_text([part for part in side if part not in both]) for side in (one, other)))
    for part in both:
        yield from _unlike(f"{name}: {part}", one[part], other[part])


def _text(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return ", ".join(map(str, value)) or _NONE
    return _NONE if value is None or value == "" else str(value)
