"""A study's outcomes as CSV and as a table."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ssl_robot.experiments.studies._trials import Outcome

_LAST = ("loss", "spread", "directions", "rank")


def written(path: Path, outcomes: Sequence[Outcome]) -> None:
    """One line for each trial: every component's R2 by both heads, and how training ended."""
    listed(path, [_line(outcome) for outcome in outcomes])


def listed(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Lines as CSV, whole or not at all; a line may lack what others have."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for line in lines for name in line)))
        writer.writeheader()
        writer.writerows(lines)
    partial.replace(path)


def _line(outcome: Outcome) -> dict[str, object]:
    trial = outcome.trial
    line: dict[str, object] = {"world": trial.world.name, "name": trial.name, "seed": trial.seed}
    for head, scores in outcome.r2.items():
        line |= {f"{head} {component}": f"{value:.4f}" for component, value in scores.items()}
    if outcome.epochs:
        line |= {name: f"{outcome.epochs[-1][name]:.4f}" for name in _LAST}
        line["seconds an epoch"] = f"{outcome.seconds:.1f}"
    return {**line, "failure": outcome.failure}


def markdown(outcomes: Sequence[Outcome], baseline: str = "") -> str:
    """One line for each world and name, the best first: medians over seeds would hide that there are few of them.

    Args:
        outcomes: Of all trials.
        baseline: Whose epochs last one unit of time; none: times are left out.
    """
    tables = [
        _table(world, [o for o in outcomes if o.trial.world.name == world], baseline)
        for world in dict.fromkeys(outcome.trial.world.name for outcome in outcomes)
    ]
    return "\n\n".join(tables)


def _table(world: str, outcomes: Sequence[Outcome], baseline: str) -> str:
    names = list(dict.fromkeys(outcome.trial.name for outcome in outcomes))
    rows = {name: [o for o in outcomes if o.trial.name == name] for name in names}
    whole = {name: _mean([o.mean("kernel") for o in found]) for name, found in rows.items()}
    unit = _mean([o.seconds for o in rows[baseline]]) if baseline in rows else 1.0
    components = list(next((o.r2["kernel"] for o in outcomes if o.r2), {}))
    head = ["", "R2, mean", "neighbours", *components, "spread", "rank", *(["time"] if baseline else []), "seeds"]
    lines = [f"**{world}**", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name in sorted(names, key=lambda name: -np.nan_to_num(whole[name], nan=-9)):
        lines.append("| " + " | ".join(_cells(name, rows[name], components, unit if baseline else None)) + " |")
    return "\n".join(lines)


def _cells(name: str, outcomes: Sequence[Outcome], components: Sequence[str], unit: float | None) -> list[str]:
    cells = [name, _spread([o.mean("kernel") for o in outcomes]), _spread([o.mean("neighbours") for o in outcomes])]
    for component in components:
        cells.append(f"{_mean([o.r2['kernel'][component] for o in outcomes if o.r2]):.2f}")
    for figure in ("spread", "rank"):
        cells.append(f"{_mean([o.epochs[-1][figure] for o in outcomes if o.epochs]):.2f}")
    cells += [] if unit is None else [f"{_mean([o.seconds for o in outcomes]) / unit:.2f}"]
    failed = sum(bool(o.failure) for o in outcomes)
    return [*(cell.replace("nan", "") for cell in cells), f"{len(outcomes)}" + (f", {failed} failed" if failed else "")]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _spread(values: Sequence[float]) -> str:
    known = [value for value in values if value == value]
    if not known:
        return "nan"
    return f"{np.mean(known):.3f}" + (f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else "")
