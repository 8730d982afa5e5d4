"""Which recipes are compared: two that differ in one thing, and what cannot be asked."""

from typing import Any

import pytest

from ssl_robot.auditing.design import BASE, FULL, UNTRAINED, Study
from ssl_robot.errors import InputError
from ssl_robot.recipes import Recipe


def study(**changes: Any) -> Study:
    return Study(**{"recipe": Recipe.named("simsiam"), "base": Recipe.named("crop"), **changes})


def pairs(asked: Study) -> dict[tuple[str, str], tuple[set[str], set[str]]]:
    """What each contrast's arms have that the other one lacks."""
    arms = asked.arms()
    found = {}
    for c in asked.contrasts():
        without, having = (set(arms[name].recipe.names) for name in (c.without, c.having))
        found[c.subject, c.design] = (having - without, without - having)
    return found


def test_leaving_one_out_asks_about_all_of_the_recipe() -> None:
    found = pairs(study())
    assert {subject for subject, _ in found} == set(Recipe.named("simsiam").names)
    assert all(more == {subject} and not less for (subject, _), (more, less) in found.items())
    assert set(study().arms()) == {FULL, UNTRAINED, *(f"without {name}" for name in Recipe.named("simsiam").names)}


def test_adding_one_in_begins_with_the_plain_recipe() -> None:
    asked = study(design="add_one_in", invariances=("flip", "rotation"))
    assert pairs(asked) == {
        ("flip", "add_one_in"): ({"flip"}, set()),
        ("rotation", "add_one_in"): ({"rotation"}, set()),
    }
    assert asked.start == BASE
    assert asked.arms()["with flip"].recipe.as_dict()["flip"] == Recipe.named("simsiam").as_dict()["flip"]


def test_both_designs_share_what_they_can() -> None:
    asked = study(design="both", invariances=("crop", "hue", "rotation"))
    assert set(pairs(asked)) == {
        ("crop", "leave_one_out"), ("hue", "leave_one_out"), ("hue", "add_one_in"), ("rotation", "add_one_in"),
    }  # fmt: skip


def test_a_group_goes_together() -> None:
    found = pairs(study(design="both", groups=("geometry", "colour")))
    assert found["geometry", "leave_one_out"] == ({"crop", "flip"}, set())
    assert found["geometry", "add_one_in"] == ({"flip"}, set())
    assert found["colour", "leave_one_out"][0] >= {"hue", "gray", "brightness"}


def test_strengths_are_set_against_none() -> None:
    asked = study(doses={"hue.turn": (0.05, 0.5)}, invariances=("hue",))
    swept = [c for c in asked.contrasts() if c.design == "sweep"]
    assert [c.dose for c in swept] == [0.05, 0.5]
    assert {c.without for c in swept} == {"without hue"}
    assert [asked.arms()[c.having].recipe.as_dict()["hue"]["turn"] for c in swept] == [0.05, 0.5]
    asked = study(design="add_one_in", doses={"rotation.degrees": (10, 90)}, invariances=("rotation",))
    assert {c.without for c in asked.contrasts()} == {BASE}


def test_every_arm_stands_in_a_contrast() -> None:
    asked = study(design="both", groups=("geometry",), doses={"hue.turn": (0.1,)})
    named = {name for c in asked.contrasts() for name in (c.without, c.having)}
    assert named | {UNTRAINED} == set(asked.arms())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": 2}, "--seeds 3 or more"),
        ({"invariances": ("rotation",)}, "no 'rotation' to leave out"),
        ({"invariances": ("spin",)}, "'spin' is not one of the invariances"),
        ({"design": "add_one_in", "invariances": ("crop",)}, "has 'crop' already"),
        ({"groups": ("taste",)}, "'taste' is not one of the groups"),
        ({"groups": ("source",)}, "has 0 of the invariances"),
        ({"recipe": Recipe.named("crop")}, "views that do not differ"),
        ({"recipe": Recipe(), "invariances": ()}, "nothing to ask about"),
        ({"doses": {"rotation.degrees": (3,)}}, "no strength of the recipe"),
        ({"doses": {"hue": (3,)}}, "no strength of the recipe"),
        ({"doses": {"hue.turn": (3,)}}, "hue.turn is 3"),
        ({"doses": {"hue.spin": (3,)}}, "no strength 'spin'"),
        ({"backbone": "mouse"}, "mouse"),
    ],
)  # fmt: skip
def test_what_cannot_be_studied_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        study(**changes).check()


def test_fewer_invariances_take_groups_and_strengths_along() -> None:
    """What exact blindness cannot harm may be left out: a group of one is none, and its strengths need no training."""
    asked = study(groups=("geometry", "colour"), doses={"hue.turn": (0.05, 0.5), "blur.p": (0.5,)})
    left = asked.only(("crop", "flip", "gray", "blur"))
    assert (left.groups, set(left.doses)) == (("geometry",), {"blur.p"})
    left.check()
    assert set(left.asked.names) == {"crop", "flip", "gray", "blur"}


def test_strengths_of_what_is_not_asked_about_are_refused() -> None:
    asked = study(design="add_one_in", invariances=("hue",), doses={"rotation.degrees": (5.0, 45.0)})
    with pytest.raises(InputError, match="add it to --invariances"):
        asked.check()
