"""Outcomes of detectors, as CSV and as a table."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_FIELDS = ("target", "component", "metric", "value", "low", "high", "chance", "n", "episodes")
_METRICS = ("ap", "ap50", "ap75")


@dataclass(frozen=True)
class Outcome:
    """What a detector came to.

    Attributes:
        name: Of the encoder's arm.
        tuned: Whether the encoder was trained too.
        seed: Of the encoder and of the detector.
        scores: The probe's, field by field.
        scenes: Test frames with what is there and what was found.
    """

    name: str
    tuned: bool
    seed: int
    scores: Sequence[Mapping[str, Any]]
    scenes: Sequence[Any]

    def value(self, target: str, metric: str, field: str = "value") -> float:
        """A number of one of the scores of boxes."""
        wanted = (target, "box", metric)
        return float(next(s[field] for s in self.scores if (s["target"], s["component"], s["metric"]) == wanted))


def written(path: Path, outcomes: Sequence[Outcome]) -> None:
    """One line for each score."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["encoder", "tuned", "seed", *_FIELDS])
        for outcome in outcomes:
            for score in outcome.scores:
                numbers = [f"{score[name]:.4f}" if isinstance(score[name], float) else score[name] for name in _FIELDS]
                writer.writerow([outcome.name, outcome.tuned, outcome.seed, *numbers])
    partial.replace(path)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """A line for each arm, tuned ones first: means over seeds, with their standard deviation."""
    things = list(dict.fromkeys(score["target"] for outcome in outcomes for score in outcome.scores))
    head = ["", "encoder", *(metric.upper() for metric in _METRICS), *(f"{thing}: AP" for thing in things[1:]), "seeds"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name, tuned in dict.fromkeys((outcome.name, outcome.tuned) for outcome in outcomes):
        mine = [outcome for outcome in outcomes if (outcome.name, outcome.tuned) == (name, tuned)]
        cells = [_spread([o.value(things[0], metric) for o in mine]) for metric in _METRICS]
        cells += [_spread([o.value(thing, "ap") for o in mine]) for thing in things[1:]]
        lines.append("| " + " | ".join([name, "tuned" if tuned else "frozen", *cells, str(len(mine))]) + " |")
    first = outcomes[0]
    guessed = [first.value(things[0], metric, "chance") for metric in _METRICS]
    guessed += [first.value(thing, "ap", "chance") for thing in things[1:]]
    lines.append("| " + " | ".join(["chance", "", *(f"{value:.3f}" for value in guessed), ""]) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
