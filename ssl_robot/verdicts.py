"""From scores to verdicts: what having an invariance does to each component."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_robot.probes import FEW_EPISODES, Score
from ssl_robot.statistics import adjusted, moderated_t

Verdict = Literal["hurts", "helps", "negligible", "no_evidence"]
Design = Literal["potential", "leave_one_out", "add_one_in"]

MARGINS = {"r2": 0.05, "deg": 3.0}  # effects inside these are of no practical weight


@dataclass(frozen=True)
class Finding:
    """One line of an audit: what having an invariance does to one component, read from one layer.

    Attributes:
        invariance: Name of the invariance.
        design: How it was found: ``potential`` from exactly blind features, the others from trained encoders.
        probe: The question.
        target: Full name of the label.
        component: Which of its numbers.
        layer: What was read.
        metric: ``r2`` or ``error``.
        effect: Score with the invariance minus score without.
        low: Lower end of the 95% interval.
        high: Upper end.
        unit: Of the effect.
        margin: Effects within it are negligible.
        without: Score without the invariance.
        having: Score with it.
        nothing: Score of the random encoder (trained designs) or of chance (potential).
        verdict: Helps, hurts, negligible (the interval lies inside the margin) or no evidence.
        held: Whether the features without the invariance held the component at all; if not, nothing could be lost.
        p: Two-sided, adjusted over the table; for ``potential`` the interval decides and this is empty.
        detectable: Smallest effect that would be found nine times out of ten; empty for ``potential``.
    """

    invariance: str
    design: Design
    probe: str
    target: str
    component: str
    layer: str
    metric: str
    effect: float
    low: float
    high: float
    unit: str
    margin: float
    without: float
    having: float
    nothing: float
    verdict: Verdict
    held: bool
    p: float | None = None
    detectable: float | None = None

    @property
    def what(self) -> str:
        """Component and the last part of the label's name: two labels may both have an x."""
        return f"{re.split('[/.]', self.target)[-1]} {self.component}"


Scores = Sequence[Score]


def judged(scores: Scores) -> list[int]:
    """Places of the scores that get verdicts: R2 of every component, and errors of angles."""
    return [i for i, s in enumerate(scores) if s.metric == "r2" or (s.metric == "error" and s.unit == "deg")]


def potential(invariance: str, plain: Scores, blind: Scores, layer: str) -> list[Finding]:
    """What an exactly invariant encoder could not tell, over resampled test episodes.

    Args:
        invariance: Name of the invariance.
        plain: Scores of the features as they are.
        blind: Scores of the same features averaged over the invariance's transformations.
        layer: What was read.
    """
    findings = []
    for i in judged(plain):
        differences = blind[i].resampled - plain[i].resampled
        low, high = (float(end) for end in np.percentile(differences, [2.5, 97.5]))
        effect = blind[i].value - plain[i].value
        sign = _sign(plain[i])
        kept = blind[i] if sign * effect > 0 else plain[i]  # what helps must have been gained by the blind features
        held = bool(np.percentile(sign * (kept.resampled - kept.chance), 2.5) > 0)
        margin = _margin(plain[i])
        verdict = _verdict(sign, low, high, margin, significant=True)
        if not held or plain[i].episodes < FEW_EPISODES:
            verdict = "no_evidence"
        findings.append(
            Finding(
                invariance, "potential", "pose", plain[i].target, plain[i].component, layer, plain[i].metric,
                effect, low, high, plain[i].unit or "R2", margin, plain[i].value, blind[i].value, plain[i].chance,
                verdict, held,
            )
        )  # fmt: skip
    return findings


def trained(
    design: Design,
    pairs: Mapping[str, tuple[Sequence[Scores], Sequence[Scores]]],
    untrained: Sequence[Scores],
    layer: str,
) -> list[Finding]:
    """What training with an invariance did; the unit is the pre-training seed.

    Args:
        design: ``add_one_in`` or ``leave_one_out``.
        pairs: For each invariance the scores of the encoders without it and of those with it, seed by seed.
        untrained: Scores of the random encoders of the same seeds.
        layer: What was read.
    """
    findings: list[Finding] = []
    places = judged(untrained[0])
    for i in places:
        without, having = (_table(pairs, i, side) for side in (0, 1))
        effects = moderated_t(having - without)
        sign, start = _sign(untrained[0][i]), _values(untrained, i)
        for_helps = _lowest(sign * (having - start))
        for_hurts = _lowest(sign * (without - start))
        for row, name in enumerate(pairs):
            first = untrained[0][i]
            margin = _margin(first)
            low, high = float(effects.low[row]), float(effects.high[row])
            helps = sign * effects.mean[row] > 0
            held = bool((for_helps if helps else for_hurts)[row] > 0)
            findings.append(
                Finding(
                    name, design, "pose", first.target, first.component, layer, first.metric,
                    float(effects.mean[row]), low, high, first.unit or "R2", margin,
                    float(without[row].mean()), float(having[row].mean()), float(start.mean()),
                    "no_evidence", held, float(effects.p[row]), float(effects.detectable[row]),
                )
            )  # fmt: skip
    if untrained[0][0].episodes < FEW_EPISODES:
        return findings
    return _called(findings)


def _called(findings: list[Finding]) -> list[Finding]:
    """The findings with their verdicts, which depend on how many there are."""
    p = adjusted(np.array([finding.p for finding in findings]))
    called = []
    for finding, adjusted_p in zip(findings, p, strict=True):
        sign = 1 if finding.metric == "r2" else -1
        verdict = _verdict(sign, finding.low, finding.high, finding.margin, significant=bool(adjusted_p < 0.05))
        values = {**vars(finding), "p": float(adjusted_p), "verdict": verdict if finding.held else "no_evidence"}
        called.append(Finding(**values))
    return called


def _lowest(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower ends; an arm that stands beside every other is one row, or its few seeds would count many times."""
    distinct, place = np.unique(differences, axis=0, return_inverse=True)
    low: NDArray[np.float64] = moderated_t(distinct).low[place.reshape(-1)]
    return low


def _verdict(sign: int, low: float, high: float, margin: float, significant: bool) -> Verdict:
    if -margin < low and high < margin:
        return "negligible"
    if significant and (low > 0 or high < 0):
        return "helps" if (low > 0) == (sign > 0) else "hurts"
    return "no_evidence"


def _sign(score: Score) -> int:
    """1 where more is better."""
    return 1 if score.metric == "r2" else -1


def _margin(score: Score) -> float:
    return MARGINS[score.unit or score.metric]


def _values(scores: Sequence[Scores], i: int) -> NDArray[np.float64]:
    return np.array([seed[i].value for seed in scores])


def _table(pairs: Mapping[str, tuple[Sequence[Scores], Sequence[Scores]]], i: int, side: int) -> NDArray[np.float64]:
    return np.stack([_values(pair[side], i) for pair in pairs.values()])
