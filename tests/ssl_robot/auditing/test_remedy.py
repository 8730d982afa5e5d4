"""The recipe that verdicts speak for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ssl_robot.arrays import Arrays
from ssl_robot.auditing.design import RECOMMENDED, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.remedy import closed, recommended
from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself


def finding(invariance: str, verdict: str, **changes: Any) -> Finding:
    design = changes.pop("design", "leave_one_out")
    given = {"low": -0.3, "high": -0.1, "unit": "R2", "margin": 0.05, "without": 0.9, "having": 0.7, "nothing": 0.1}
    line: Any = {
        **{"invariance": invariance, "design": design, "probe": "pose", "target": "poses/block", "component": "x"},
        **{"layer": "output", "head": "kernel", "role": "verdict", "metric": "r2", "effect": -0.2},
        **given, "verdict": verdict, "held": True, **changes,
    }  # fmt: skip
    return Finding(**line)


def study(**changes: Any) -> Study:
    return Study(**{"recipe": Recipe.named("crop").having("flip").having("hue").having("rotation"), **changes})


def names(asked: Study, *findings: Finding) -> tuple[str, ...]:
    return recommended(asked, findings).recipe.names


def test_what_hurts_is_dropped_and_what_does_not_stays() -> None:
    found = [finding("flip", "hurts"), finding("hue", "helps"), finding("rotation", "no_evidence")]
    assert names(study(), *found) == ("crop", "hue", "rotation")


def test_nothing_found_changes_nothing() -> None:
    assert recommended(study(), [finding("flip", "negligible")]).recipe == study().recipe


def test_a_conflict_is_kept_and_predicted() -> None:
    found = [finding("rotation", "hurts"), finding("rotation", "helps", component="y")]
    arm = recommended(study(), found)
    assert arm.recipe == study().recipe
    assert arm.remedies == (Augself(of=("rotation",)),)


def swept(present: float, **safe: Any) -> Any:
    """What becomes of a rotation of this strength that hurts one thing and helps another, after a sweep."""
    kept = {float(dose[1:]): harmless for dose, harmless in safe.items()}
    recipe = Recipe.named("crop").having("rotation", degrees=present)
    asked = study(recipe=recipe, doses={"rotation.degrees": tuple(kept)})
    found = [finding("rotation", "hurts"), finding("rotation", "helps", component="y")]
    for dose, harmless in kept.items():
        found.append(
            finding("rotation", "no_evidence", design="sweep", dose=dose, safe=bool(harmless), held=harmless != "")
        )
        found.append(finding("rotation", "hurts", design="sweep", dose=dose, role="sensitivity"))
    arm = recommended(asked, found)
    return arm.recipe.as_dict()["rotation"]["degrees"], bool(arm.remedies)


def test_a_conflict_is_weakened_to_the_nearest_dose_that_is_shown_to_do_no_harm() -> None:
    assert swept(90, _5=True, _45=True, _90=False, _180=False) == (45, False)
    assert swept(90, _5=True, _45=False, _180=False) == (5, False)
    assert swept(90, _5=False, _45=True) == (90, True)  # less may not do more harm than more
    assert swept(45, _5=False, _45=False, _180=True) == (180, False)  # as of a scale: there less is more
    assert swept(45, _5=True, _180=True) == (45, True)  # which way is weaker?
    assert swept(45, _5="", _180=False) == (45, True)  # what was never held shows nothing


def test_invariances_that_mask_each_other_are_dropped_together() -> None:
    asked = study(groups=("geometry",), invariances=("flip", "hue", "rotation"))
    found = [finding("geometry", "hurts"), finding("flip", "negligible"), finding("rotation", "no_evidence")]
    assert names(asked, *found) == ("crop", "hue")
    assert names(asked, *found, finding("flip", "hurts")) == ("crop", "hue", "rotation")


@pytest.mark.parametrize(
    ("together", "left"),
    [(-0.24, ("crop", "hue", "rotation")), (-0.26, ("crop", "hue"))],
    ids=["within the margin", "beyond it"],
)
def test_a_group_that_takes_more_than_its_worst_member_is_dropped(together: float, left: tuple[str, ...]) -> None:
    """Left out alone, flip gives back .2 of x; rotation, which is thought harmless, still hides the rest."""
    asked = study(groups=("geometry",), invariances=("flip", "hue", "rotation"))
    found = [finding("flip", "hurts"), finding("rotation", "negligible", effect=0.0)]
    assert names(asked, finding("geometry", "hurts", effect=together), *found) == left


def test_a_groups_member_that_helps_stays() -> None:
    asked = study(groups=("geometry",), invariances=("flip", "hue", "rotation"))
    found = [finding("geometry", "hurts"), finding("rotation", "helps", component="y", effect=0.2)]
    assert names(asked, *found) == ("crop", "hue", "rotation")


def test_errors_of_angles_mask_by_their_own_margin() -> None:
    """As on PushT: rotation alone costs 8 degrees, rotation and flip together 13."""
    asked = study(groups=("geometry",), invariances=("flip", "hue", "rotation"))
    error = {"metric": "error", "unit": "deg", "margin": 3.0, "component": "angle"}
    found = [finding("rotation", "hurts", effect=8.1, **error), finding("flip", "negligible", effect=1.0, **error)]
    assert names(asked, finding("geometry", "hurts", effect=12.7, **error), *found) == ("crop", "hue")
    assert names(asked, finding("geometry", "hurts", effect=10.0, **error), *found) == ("crop", "flip", "hue")


def test_what_helps_is_added_unless_it_hurts() -> None:
    asked = study(design="add_one_in", invariances=("flip", "hue"))
    assert names(asked, finding("hue", "helps", design="add_one_in")) == ("crop", "hue")
    both = [finding("hue", "helps", design="add_one_in"), finding("hue", "hurts", design="add_one_in", component="y")]
    assert names(asked, *both) == ("crop",)


def test_something_is_left_to_tell_views_apart() -> None:
    asked = study(recipe=Recipe.named("crop"), invariances=("crop",))
    assert names(asked, finding("crop", "hurts")) == ("shift",)


def test_sensitivity_and_potential_harm_do_not_decide() -> None:
    found = [finding("flip", "hurts", role="sensitivity"), finding("hue", "hurts", design="potential")]
    assert recommended(study(), found).recipe == study().recipe


PLACE = Arrays(np.zeros((1, 4, 4, 3), np.uint8))
DECIDES = Question(Pose(), PLACE)
BESIDE = Question(Pose(), PLACE, role="sensitivity", part="projector")


def result(arm: str, value: float, projected: float = 0.0, seed: int = 0) -> Result:
    def one(value: float) -> list[Score]:
        return [
            Score("poses/block", "x", "r2", "", value, value, value, 100, 0.0, 100, np.empty(0), "output", "kernel")
        ]

    return Result(arm, seed, {DECIDES.key: one(value), BESIDE.key: one(projected)})


@pytest.mark.parametrize(("came", "share"), [(0.9, 1.0), (0.8, 0.5), (0.7, 0.0), (1.0, 1.5)])
def test_the_gap_is_measured_to_the_best_arm(came: float, share: float) -> None:
    """Neither to the truth, which stands beside, nor by what a projector tells; a sensitivity row changes nothing."""
    results = [result("full", 0.7), result("without flip", 0.9, 0.99), result("state", 1.0)]
    proof = [
        result("full", 0.6, seed=5),
        result(RECOMMENDED, came - 0.1, seed=5),
    ]
    found = [finding("flip", "hurts"), finding("flip", "hurts", role="sensitivity", layer="map")]
    asked = study(invariances=("flip",))
    shares = closed(found, [*results, *proof], [DECIDES, BESIDE], asked)
    assert shares == {("poses/block", "x", "r2"): pytest.approx(share)}
    assert closed(found, [*results, result(RECOMMENDED, came)], [DECIDES, BESIDE], asked) == {}  # that chose it
    assert closed(found[1:], [*results, *proof], [DECIDES, BESIDE], asked) == {}


@pytest.mark.parametrize(
    ("best", "design", "expected"),
    [(30.0, "leave_one_out", 0.5), (37.5, "leave_one_out", None), (30.0, "potential", None)],
    ids=["half way", "within the margin", "no training has hurt it"],
)
def test_the_gap_of_an_error_is_to_the_smallest(best: float, design: str, expected: float | None) -> None:
    def answered(arm: str, degrees: float, seed: int = 0) -> Result:
        [one] = result(arm, degrees).answers[DECIDES.key]
        return Result(arm, seed, {DECIDES.key: [replace(one, component="angle", metric="error", unit="deg")]})

    results = [answered("full", 40.0), answered("without flip", best)]
    results += [answered("full", 45.0, 5), answered(RECOMMENDED, 40.0, 5)]
    hurt = finding("flip", "hurts", design=design, component="angle", metric="error", unit="deg", margin=3.0)
    place = "poses/block", "angle", "error"
    wanted = {} if expected is None else {place: pytest.approx(expected)}
    assert closed([hurt], results, [DECIDES], study(invariances=("flip",))) == wanted


def test_another_time_that_hurts_one_thing_and_helps_another_stays_and_is_not_predicted() -> None:
    """How far away a frame is taken from is nothing that its views show."""
    asked = study(recipe=Recipe.named("crop").having("time"))
    arm = recommended(asked, [finding("time", "hurts"), finding("time", "helps", component="y")])
    assert (arm.recipe, arm.remedies) == (asked.recipe, ())


@pytest.mark.parametrize("elsewhere", [{"design": "add_one_in"}, {"metric": "success"}], ids=["design", "metric"])
def test_what_masks_is_told_from_rows_of_one_design_and_metric(elsewhere: dict[str, str]) -> None:
    asked = study(groups=("geometry",), invariances=("flip", "hue", "rotation"))
    found = [finding("geometry", "hurts", effect=-0.3), finding("flip", "hurts", effect=-0.2)]
    assert names(asked, *found) == ("crop", "hue")
    assert names(asked, *found, finding("flip", "hurts", effect=-0.4, **elsewhere)) == ("crop", "hue")


def test_what_is_added_has_the_strength_that_helped() -> None:
    recipe = Recipe.named("crop").having("rotation", degrees=20)
    asked = study(recipe=recipe, design="add_one_in", invariances=("rotation",))
    arm = recommended(asked, [finding("rotation", "helps", design="add_one_in")])
    assert arm.recipe.as_dict()["rotation"]["degrees"] == 20
