"""How often does the audit call an effect where there is none? Encoders of one recipe, set against each other."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_robot import audit
from ssl_robot.auditing.design import BASE, UNTRAINED, Contrast, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import called, trained
from ssl_robot.experiments.studies.power import planted
from ssl_robot.probes import Score
from ssl_robot.ranges import check, number
from ssl_robot.workers import performed

_LEFT_OUT = 3  # seeds at a time, for the interval
_CALLED = ("hurts", "helps")

Scores = Sequence[Score]


@dataclass(frozen=True)
class FalseAlarms:
    """One recipe with many seeds, dealt into a reference and arms that differ from it in nothing but their seeds.

    Attributes:
        pool: Seeds of the recipe.
        first: The first of them; with the power study's, its encoders are used again.
        epochs: Passes over the frames.
        splits: Ways to deal them.
    """

    pool: int = number(24, 9)
    first: int = number(100, 0)
    epochs: int = number(10, 1)
    splits: int = number(2000, 10)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The table, as Markdown; the same in ``false_alarms.csv``."""
        study, learnt, questions = planted(data, self.pool, self.first, self.epochs)
        arms = [arm for name, arm in study.arms().items() if name in (BASE, UNTRAINED)]
        results = audit.performed(study, arms, learnt, questions[:1], out, partial(performed, workers=workers))
        lines = []
        for seeds in (3, 5, 8):
            rate = _Rates(study, questions[0], results, seeds)
            lines.append({"seeds per arm": seeds, "arms": self.pool // seeds - 1, **rate.told(self.splits)})
        with (out / "false_alarms.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        names = list(lines[0])
        table = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        return "\n".join([*table, *("| " + " | ".join(map(str, line.values())) + " |" for line in lines)])


@dataclass(frozen=True)
class _Rates:
    """Shares of rows, and of tables, in which something is called.

    Attributes:
        study: Whose verdict path is tried.
        question: What was asked.
        results: Answers of the one recipe and of untrained encoders.
        seeds: Of each arm.
    """

    study: Study
    question: Question
    results: Sequence[Result]
    seeds: int

    def told(self, splits: int) -> dict[str, Any]:
        """Both shares, with 95% intervals from leaving out three seeds at a time (delete-group jackknife)."""
        pool = np.arange(self.study.seeds)
        rates = self._rates(pool, splits)
        groups = np.random.default_rng(1).permutation(pool).reshape(-1, _LEFT_OUT)
        fewer = np.stack([self._rates(np.setdiff1d(pool, group), splits // 4) for group in groups])
        spread = np.sqrt((len(groups) - 1) * fewer.var(0))
        return {
            what: f"{rate:.2%} ({max(0.0, rate - 1.96 * error):.2%} to {rate + 1.96 * error:.2%})"
            for what, rate, error in zip(("rows called", "tables with a call"), rates, spread, strict=True)
        }

    def _rates(self, pool: NDArray[np.int64], splits: int) -> NDArray[np.float64]:
        rng = np.random.default_rng(0)
        counts = []
        for _ in tqdm(range(splits), desc=f"{self.seeds} seeds, pool of {len(pool)}", leave=False):
            verdicts = list(self._dealt(rng.permutation(pool)))
            hits = sum(verdict in _CALLED for verdict in verdicts)
            counts.append((hits / len(verdicts), hits > 0))
        rates: NDArray[np.float64] = np.array(counts, float).mean(0)
        return rates

    def _dealt(self, order: NDArray[np.int64]) -> Iterator[str]:
        """Verdicts of one study in which no arm differs from the reference."""
        parts = [order[i : i + self.seeds] for i in range(0, len(order) - self.seeds + 1, self.seeds)]
        kept, untrained = self._answers(BASE), self._answers(UNTRAINED)
        scores = {str(i): [kept[seed] for seed in part] for i, part in enumerate(parts)}
        contrasts = [Contrast(str(i), "add_one_in", "0", str(i)) for i in range(1, len(parts))]
        start = [untrained[seed] for seed in parts[0]]
        found = trained(self.question, contrasts, scores, start)
        unfloored = [replace(one, held=True, gained=True) for one in found]  # the floor would only lower the rates
        yield from (finding.verdict for finding in called(unfloored))

    def _answers(self, arm: str) -> list[Scores]:
        return [r.answers[self.question.key] for r in self.results if r.arm == arm]
