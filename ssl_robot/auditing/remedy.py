"""From verdicts to a recipe: what to drop, to weaken, to keep and predict, or to add."""

from collections.abc import Sequence

import numpy as np

from ssl_robot.auditing.design import RECOMMENDED, Arm, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.invariances import Source
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself

_DESIGNS = ("leave_one_out", "add_one_in")
Place = tuple[str, str, str]  # label, component and metric
_GOOD = {"helps", "regains"}  # without it something would be read worse
_LAST = "shift"  # what is left to tell views apart where everything else is dropped


def recommended(study: Study, findings: Sequence[Finding]) -> Arm:
    """The recipe that the verdicts speak for, from the one that the study began with.

    What hurts a component and helps none is dropped. What hurts one and helps another is weakened to the nearest dose
    shown to do no harm, where strengths were compared; otherwise it stays, and AugSelf has its parameters predicted.
    What helps and does not hurt is added. Of a group that hurts together, all that helps nothing is dropped where none
    of its members is known to hurt alone, or where together they take more than any of them does alone, by more than
    the margin: they mask each other.

    Args:
        study: What was compared.
        findings: Verdicts on it.
    """
    said = {name: _said(findings, name) for name in (*study.asked.names, *study.groups)}
    recipe, predicted = study.arms()[study.start].recipe, []
    for name, item in zip(study.asked.names, study.asked.invariances, strict=True):
        hurts, helps = "hurts" in said[name], "helps" in said[name]
        if name not in recipe.names:
            recipe = recipe.having(name, **vars(item)) if helps and not hurts else recipe
        elif hurts and not helps:
            recipe = recipe.without(name)
        elif hurts:
            recipe, weaker = _weakened(study, findings, recipe, name)
            if not weaker and not isinstance(item, Source):
                predicted.append(name)
    for group in study.groups:
        members = study.members(group)
        alone = any("hurts" in said[name] for name in members)
        if "hurts" in said[group] and (not alone or _masked(findings, group, members)):
            for name in members:
                recipe = recipe.without(name) if name in recipe.names and not said[name] & _GOOD else recipe
    recipe = recipe if recipe.names else Recipe.named(_LAST)
    return Arm(RECOMMENDED, recipe, (Augself(of=tuple(predicted)),) if predicted else ())


def closed(
    findings: Sequence[Finding], results: Sequence[Result], questions: Sequence[Question], study: Study
) -> dict[Place, float]:
    """How much of what was lost the recommended recipe brings back: 1 is as good as the best arm.

    What it brings is measured with seeds of its own, what there was to bring back with those of the study. Only
    components that something was found to hurt, and on which some arm is better than the one the study began with by
    more than the margin.

    Args:
        findings: Verdicts; which components were hurt.
        results: Scores of every arm; what stands beside them is no measure: nobody trained it on these frames.
        questions: What was asked; those that decide count.
        study: What was compared.
    """
    keys = [q.key for q in questions if q.role == "verdict"]
    kept = [r for r in results if r.arm in (*study.arms(), RECOMMENDED)]
    means, anew = (_means([r for r in kept if r.seed in own.seed_range], keys) for own in (study, study.anew))
    shares: dict[Place, float] = {}
    for finding in findings:
        place = finding.target, finding.component, finding.metric
        arms, proof = means.get(place, {}), anew.get(place, {})
        if (finding.verdict, finding.role) != ("hurts", "verdict") or finding.design not in _DESIGNS:
            continue
        if not {RECOMMENDED, study.start} <= set(proof) or study.start not in arms:
            continue
        best = (min if finding.metric == "error" else max)(arms.values())
        gap = best - arms[study.start]
        if abs(gap) > finding.margin:
            shares[place] = (proof[RECOMMENDED] - proof[study.start]) / gap
    return shares


def _said(findings: Sequence[Finding], name: str) -> set[str]:
    return {f.verdict for f in findings if f.invariance == name and f.role == "verdict" and f.design in _DESIGNS}


def _masked(findings: Sequence[Finding], group: str, members: Sequence[str]) -> bool:
    """Whether a group takes more of something that it hurts than any of its members does alone."""
    deciding = [f for f in findings if f.role == "verdict" and f.design in _DESIGNS]
    for whole in (f for f in deciding if f.invariance == group and f.verdict == "hurts"):
        place = whole.design, whole.target, whole.component, whole.metric
        alone = [
            f.better for f in deciding
            if f.invariance in members and (f.design, f.target, f.component, f.metric) == place
        ]  # fmt: skip
        if whole.better < min(alone, default=0.0) - whole.margin:
            return True
    return False


def _weakened(study: Study, findings: Sequence[Finding], recipe: Recipe, name: str) -> tuple[Recipe, bool]:
    """The recipe with an invariance at the nearest dose that is shown to hurt nothing, if there is one.

    Which way is weaker, the doses tell: from the one found they must be harmless to the end, on one side alone.
    """
    swept = [f for f in findings if (f.design, f.invariance, f.role) == ("sweep", name, "verdict") and f.held]
    strength = next((path.partition(".")[2] for path in study.doses if path.partition(".")[0] == name), "")
    if not strength:
        return recipe, False
    present = float(recipe.as_dict()[name][strength])
    doses = sorted({f.dose for f in swept if f.dose is not None}, key=lambda dose: abs(dose - present))
    found = []
    for side in (-1, 1):
        beyond = [dose for dose in doses if side * (dose - present) > 0]
        while beyond and not all(f.safe for f in swept if f.dose in beyond):
            beyond = beyond[1:]
        found += beyond[:1]
    return (recipe.having(name, **{strength: found[0]}), True) if len(found) == 1 else (recipe, False)


def _means(results: Sequence[Result], keys: Sequence[str]) -> dict[Place, dict[str, float]]:
    """Mean score of each arm, by target, component and metric, in the answers to some questions."""
    values: dict[Place, dict[str, list[float]]] = {}
    for result in results:
        for score in (score for key in keys for score in result.answers.get(key, ())):
            arms = values.setdefault((score.target, score.component, score.metric), {})
            arms.setdefault(result.arm, []).append(score.value)
    return {place: {arm: float(np.mean(found)) for arm, found in arms.items()} for place, arms in values.items()}
