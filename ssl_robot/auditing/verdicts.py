"""From scores to verdicts: what having an invariance does to each component."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_robot.auditing.design import Contrast
from ssl_robot.auditing.questions import Question, Role
from ssl_robot.probes import FEW_EPISODES, Score
from ssl_robot.statistics import Estimates, adjusted, detectable, moderated_t

Verdict = Literal["hurts", "helps", "regains", "negligible", "no_evidence"]

_RATE = 0.05  # of false calls among those that are made

# Effects inside these are of no practical weight. By metric, or by unit where it is an error's.
MARGINS = {"r2": 0.05, "deg": 3.0, "success": 0.05, "normalised": 0.05, "accuracy": 0.05, "ap": 0.02}


@dataclass(frozen=True)
class Finding:
    """One line of an audit: what having an invariance does to one component, read in one way.

    Attributes:
        invariance: Name of the invariance, or of a group; for ``remedy`` ``recommended``.
        design: ``potential`` from exactly blind features, the others from trained encoders: see ``Contrast``.
        probe: The question.
        target: Full name of the label, or of the task.
        component: Which of its numbers; empty for a task.
        layer: What was read: ``output``, ``map``, or ``projector``.
        head: What read it.
        role: Whether it decides or shows how sure the decision is: see ``Question``.
        metric: As ``r2``, ``error``, ``success``: see ``Score``.
        effect: Score with the invariance minus score without.
        low: Lower end of the 95% interval.
        high: Upper end.
        unit: Of the effect.
        margin: Effects within it are negligible.
        without: Score without the invariance.
        having: Score with it.
        nothing: Score of the random encoder (trained designs) or of chance (potential).
        verdict: Helps, hurts, negligible (the interval lies inside the margin), no evidence; or regains: better with
            it, but no better than random weights, so that only what training took comes back.
        held: Whether features with or without the invariance hold the component at all: better than an untrained
            encoder (potential: than chance) by more than the margin, or not inferior to one that reads it, or with it
            surely better than without and than chance; if not, nothing of weight could be lost.
        gained: Whether those with the invariance are better than an untrained encoder by more than the margin.
        p: Two-sided, adjusted over the table; empty where nothing could be called, and for ``potential``, where the
            interval decides.
        df: Degrees of freedom of the interval; empty for ``potential``.
        detectable: Smallest effect that matters and that would be called nine times out of ten, in a table in which as
            much else is called; empty for ``potential``.
        dose: Strength of the invariance, where strengths were compared.
        error_without: Mean error in the component's own unit, without the invariance; empty where there is none.
        error_having: The same with it.
        error_unit: Its unit.
        encoder: Whose features were averaged, for ``potential``.
        safe: Whether the worse end of the interval lies within the margin: with the invariance it is not inferior.
        episodes: Test episodes; of few the verdict is ``no_evidence``.
    """

    invariance: str
    design: Literal["potential", "leave_one_out", "add_one_in", "sweep", "remedy"]
    probe: str
    target: str
    component: str
    layer: str
    head: str
    role: Role
    metric: str
    effect: float
    low: float
    high: float
    unit: str
    margin: float
    without: float
    having: float
    nothing: float
    verdict: Verdict = "no_evidence"
    held: bool = False
    gained: bool = False
    p: float | None = None
    df: float | None = None
    detectable: float | None = None
    dose: float | None = None
    error_without: float | None = None
    error_having: float | None = None
    error_unit: str = ""
    encoder: str = ""
    safe: bool = False
    episodes: int = 0

    @property
    def what(self) -> str:
        """Component and the last part of the label's name: two labels may both have an x."""
        return f"{re.split('[/.]', self.target)[-1]} {self.component}".strip()

    @property
    def better(self) -> float:
        """The effect, positive where having the invariance is better."""
        return self.effect if self.metric != "error" else -self.effect


Scores = Sequence[Score]


def judged(scores: Scores) -> list[int]:
    """Places of the scores that get verdicts: shares and R2 of every component, and errors of angles.

    Where success is told, returns say the same less clearly.
    """
    told = {score.target for score in scores if score.metric == "success"}
    return [
        i
        for i, score in enumerate(scores)
        if _scale(score) in MARGINS and not (score.metric == "normalised" and score.target in told)
    ]


def potential(invariance: str, question: Question, encoder: str, plain: Scores, blind: Scores) -> list[Finding]:
    """What an exactly invariant encoder could not tell, over resampled test episodes.

    Args:
        invariance: Name of the invariance.
        question: What was asked.
        encoder: Whose features they are.
        plain: Scores of the features as they are.
        blind: Scores of the same features averaged over the invariance's transformations.
    """
    findings = []
    for i in judged(plain):
        first, second = plain[i], blind[i]
        low, high = (float(end) for end in np.percentile(second.resampled - first.resampled, [2.5, 97.5]))
        row = _row(invariance, "potential", question, first, second.value - first.value, low, high)
        seen, gained = (_above(score, row.margin) for score in (first, second))
        row = replace(
            row, without=first.value, having=second.value, nothing=first.chance, held=seen or gained, gained=gained,
            encoder=encoder, **_errors([plain], [blind], i),
        )  # fmt: skip
        findings.append(_decided(row, significant=True))
    return findings


def _above(score: Score, margin: float) -> bool:
    """Whether more is read than chance gives, surely and by as much as matters."""
    sign = 1 if score.higher else -1
    surely = np.percentile(sign * (score.resampled - score.chance), 2.5) > 0
    return bool(sign * (score.value - score.chance) > margin and surely)


def trained(
    question: Question,
    contrasts: Sequence[Contrast],
    scores: Mapping[str, Sequence[Scores]],
    untrained: Sequence[Scores],
) -> list[Finding]:
    """What training with each invariance did to the answers of one question; the unit is the pre-training seed.

    Verdicts are given by ``called``, for they depend on how many findings there are.

    Args:
        question: What was asked.
        contrasts: What is set against what.
        scores: By arm, the scores of its encoders, seed by seed.
        untrained: Scores of the random encoders of the same seeds.
    """
    return [
        finding for i in judged(untrained[0]) for finding in _of_component(question, contrasts, scores, untrained, i)
    ]


def _of_component(
    question: Question,
    contrasts: Sequence[Contrast],
    scores: Mapping[str, Sequence[Scores]],
    untrained: Sequence[Scores],
    i: int,
) -> Iterator[Finding]:
    first, start = untrained[0][i], _values(untrained, i)
    sign, margin = (1 if first.higher else -1), MARGINS[_scale(first)]
    without, having = (
        np.stack([_values(scores[getattr(contrast, side)], i) for contrast in contrasts])
        for side in ("without", "having")
    )
    effects = _estimated(having - without)
    kept, gained = (_surely(sign * (arm - start), margin) for arm in (without, having))
    # what even an untrained encoder reads is there to be lost too, unless training alone has taken it
    there = sign * (start.mean() - first.chance) > margin
    level = [there & (_lowest(sign * (arm - start)) > -margin) for arm in (without, having)]
    better = np.minimum(sign * effects.low, sign * effects.high) > 0
    back = better & _surely(sign * (having - first.chance), margin)  # surely less is read without it
    held = kept | gained | level[0] | level[1] | back
    for row, contrast in enumerate(contrasts):
        effect, low, high = (float(part[row]) for part in (effects.mean, effects.low, effects.high))
        yield replace(
            _row(contrast.subject, contrast.design, question, first, effect, low, high),
            without=float(without[row].mean()), having=float(having[row].mean()), nothing=float(start.mean()),
            held=bool(held[row]), gained=bool(gained[row]), p=float(effects.p[row]), df=effects.df, dose=contrast.dose,
            **_errors(scores[contrast.without], scores[contrast.having], i),
        )  # fmt: skip


def called(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of trained encoders with their verdicts, at a false-discovery rate of 5% in each table.

    A table is what has one design and one role, of all probes and components: every row in which something was held,
    and could be asked about. What is surely too small to matter is never called, and so does not count as a call
    either: otherwise many such rows would let the others pass too easily.
    """
    done = {i: _decided(replace(finding, p=None), significant=False) for i, finding in enumerate(findings)}
    for table in dict.fromkeys((f.design, f.role) for f in findings):
        places = [i for i, f in enumerate(findings) if (f.design, f.role) == table and _askable(f)]
        if not places:
            continue
        small = np.array([_small(findings[i]) for i in places])
        p = adjusted(np.array([findings[i].p for i in places], float), ~small)
        threshold = _RATE * min(1.0, (int((p < _RATE).sum()) + 1) / len(places))  # for one more call
        for i, own in zip(places, p, strict=True):
            row = replace(findings[i], p=float(own), detectable=_detectable(findings[i], threshold))
            done[i] = _decided(row, significant=bool(own < _RATE))
    return [done[i] for i in range(len(findings))]


def _askable(finding: Finding) -> bool:
    return finding.held and finding.episodes >= FEW_EPISODES


def _small(finding: Finding) -> bool:
    return -finding.margin < finding.low and finding.high < finding.margin


def _detectable(finding: Finding, threshold: float) -> float:
    """What such a row would be called for, nine times out of ten: less than the margin is none of it."""
    reach = (finding.high - finding.low) / 2
    return max(finding.margin, detectable(reach, finding.df or np.inf, threshold))


def _row(
    subject: str, design: Any, question: Question, score: Score, effect: float, low: float, high: float
) -> Finding:
    """A finding about one score of a question, without what depends on the design."""
    layer = score.layer if question.part == "backbone" else question.part
    sign, margin = (1 if score.higher else -1), MARGINS[_scale(score)]
    unit = {"r2": "R2", "error": score.unit}.get(score.metric, score.metric)
    return Finding(
        subject, design, question.name, score.target, score.component, layer, score.head, question.role, score.metric,
        effect, low, high, unit, margin, np.nan, np.nan, np.nan, safe=min(sign * low, sign * high) > -margin,
        episodes=score.episodes,
    )  # fmt: skip


def _decided(finding: Finding, significant: bool) -> Finding:
    """The finding with its verdict: sizes that do not matter first, then what is sure."""
    verdict: Verdict = "no_evidence"
    if not _askable(finding):
        return replace(finding, verdict=verdict)
    if _small(finding):
        verdict = "negligible"
    elif significant and (finding.low > 0 or finding.high < 0):
        verdict = "hurts" if finding.better < 0 else "helps" if finding.gained else "regains"
    return replace(finding, verdict=verdict)


def _errors(without: Sequence[Scores], having: Sequence[Scores], i: int) -> dict[str, Any]:
    """Mean errors of the component in its own unit, beside its R2; nothing where there is no unit."""
    score = without[0][i]
    places = [
        j
        for j, other in enumerate(without[0])
        if (other.target, other.component, other.metric) == (score.target, score.component, "error") and other.unit
    ]
    if score.metric != "r2" or not places:
        return {}
    means = [float(np.mean([run[places[0]].value for run in arm])) for arm in (without, having)]
    return {"error_without": means[0], "error_having": means[1], "error_unit": without[0][places[0]].unit}


def _surely(gains: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    """Where an arm is surely better, and by as much as matters, (arms,)."""
    found: NDArray[np.bool_] = (_lowest(gains) > 0) & (gains.mean(1) > margin)
    return found


def _lowest(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    return _estimated(differences).low


def _estimated(differences: NDArray[np.float64]) -> Estimates:
    """Estimates of every row; what stands in several is one, or its few seeds would count many times."""
    distinct, inverse = np.unique(differences, axis=0, return_inverse=True)
    found, place = moderated_t(distinct), inverse.reshape(-1)
    return Estimates(found.mean[place], found.low[place], found.high[place], found.p[place], found.df)


def _scale(score: Score) -> str:
    """What its margin is named by."""
    return score.unit if score.metric == "error" else score.metric


def _values(scores: Sequence[Scores], i: int) -> NDArray[np.float64]:
    return np.array([seed[i].value for seed in scores])
