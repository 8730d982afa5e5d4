"""Encoders of one seed set against each other: which runs verdicts rest on, and which are missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ssl_robot.auditing.design import FEWEST_SEEDS, UNTRAINED, Contrast
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import Finding, called, trained
from ssl_robot.probes import Score


def verdicts(contrasts: Sequence[Contrast], questions: Sequence[Question], results: Sequence[Result]) -> list[Finding]:
    """Verdicts on every contrast whose encoders there are: see ``paired``.

    Args:
        contrasts: What is set against what.
        questions: What was asked; those about mechanism carry no verdict.
        results: Answers of every arm and seed.
    """
    kept = paired(contrasts, results)
    asked = [c for c in contrasts if c.without in kept and c.having in kept]
    if not asked or UNTRAINED not in kept:
        return []
    found: list[Finding] = []
    for question in (question for question in questions if question.role != "mechanism"):
        scores = _scores(question, kept)
        start = scores.get(UNTRAINED) or _blank(scores[asked[0].without])
        found += trained(question, asked, scores, start)
    return called(found)


def paired(contrasts: Sequence[Contrast], results: Sequence[Result]) -> dict[str, list[Result]]:
    """What verdicts rest on: of each arm the runs with the same seeds, in the same order.

    A seed with which a run failed is left out of every arm, for verdicts stand in one table. Arms that would leave too
    few seeds are left out themselves: those with the fewest whole runs first.

    Args:
        contrasts: What is set against what.
        results: Of their arms and of the untrained encoder; others are not looked at.
    """
    needed = Counter(side for contrast in contrasts for side in (contrast.without, contrast.having))
    needed[UNTRAINED] = len(contrasts)
    whole = {arm: {r.seed: r for r in results if r.arm == arm and not r.failure} for arm in needed}
    while whole:
        seeds = sorted(set.intersection(*(set(runs) for runs in whole.values())))
        if len(seeds) >= FEWEST_SEEDS:
            return {arm: [runs[seed] for seed in seeds] for arm, runs in whole.items()}
        del whole[min(whole, key=lambda arm: (len(whole[arm]), needed[arm]))]
    return {}


@dataclass(frozen=True)
class Gap:
    """What failed runs took from a table of verdicts.

    Attributes:
        failed: Arms of which runs failed.
        without: Arms that have no verdict.
        seeds: What all verdicts of the table are without.
        proof: Whether it is the table of the recommended recipe.
    """

    failed: Sequence[str]
    without: Sequence[str]
    seeds: Sequence[int]
    proof: bool


def gap(failed: Sequence[str], contrasts: Sequence[Contrast], results: Sequence[Result]) -> Gap:
    """What is missing from a table.

    Args:
        failed: Arms of which runs failed.
        contrasts: What is set against what.
        results: As for ``verdicts``.
    """
    kept = paired(contrasts, results)
    sides = dict.fromkeys([*(side for c in contrasts for side in (c.without, c.having)), UNTRAINED])
    used = {r.seed for runs in kept.values() for r in runs}
    there = {r.seed for r in results if r.arm in kept}
    proof = any(contrast.design == "remedy" for contrast in contrasts)
    return Gap(failed, [arm for arm in sides if arm not in kept], sorted(there - used), proof)


def _scores(question: Question, arms: Mapping[str, Sequence[Result]]) -> dict[str, list[Sequence[Score]]]:
    """Answers to one question by arm, seed by seed; those that were not asked have none."""
    key = question.key
    return {arm: [r.answers[key] for r in of] for arm, of in arms.items() if all(key in r.answers for r in of)}


def _blank(scores: Sequence[Sequence[Score]]) -> list[Sequence[Score]]:
    """What stands for an untrained encoder where it has no such part: features that say nothing."""
    return [[replace(score, value=score.chance) for score in seed] for seed in scores]
