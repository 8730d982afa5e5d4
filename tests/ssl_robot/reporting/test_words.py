"""The answer says what the findings say, no more and no less."""

from dataclasses import replace

import pytest

from ssl_robot.auditing.design import RECOMMENDED
from ssl_robot.auditing.runs import Result
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself
from ssl_robot.reporting import words
from ssl_robot.reporting.answer import answer


def finding(name, verdict="hurts", **changes):
    base = Finding(
        name, "leave_one_out", "pose", "poses/block", "x", "output", "kernel", "verdict", "r2", -0.4, -0.5, -0.3,
        "R2", 0.05, 0.9, 0.5, 0.2, verdict, True, 0.001, 0.1, episodes=75,
    )  # fmt: skip
    return replace(base, **changes)


def effects(made, *found):
    return answer(made(findings=found)).effects


def test_the_headline_is_in_plain_words_harm_first():
    rows = [finding("hue", "helps", effect=0.2, having=1.0), finding("flip"), finding("rotation")]
    rows += [finding(name, "negligible") for name in ("gray", "blur", "noise")]
    rows += [finding("time", "no_evidence"), finding("crop", "no_evidence", held=False)]
    assert words.headline(rows) == (
        "Flip and rotation hurt; hue helps; gray, blur and noise do not matter; for time there is no evidence either "
        "way; what crop could hide the encoder never held."
    )
    assert words.headline(rows[1:2]) == "Flip hurts."


def test_a_group_is_named_where_it_says_more_than_its_members():
    rows = [finding("rotation", "negligible"), finding("flip", "negligible"), finding("geometry")]
    assert words.headline(rows, ("geometry",)) == "Geometry together hurts; rotation and flip do not matter."
    rows[0] = finding("rotation")
    assert words.headline(rows, ("geometry",)) == "Rotation hurts; flip does not matter."


def test_effects_are_told_in_the_user_s_unit_where_there_is_one(made):
    assert effects(made, finding("flip")) == ["flip hurts: R² of block x 0.90 → 0.50"]
    found = finding("flip", error_without=0.012, error_having=0.031, error_unit="m")
    assert effects(made, found) == ["flip hurts: error of block x 12.0 → 31.0 mm"]


def test_the_largest_effect_is_told_by_what_would_be_negligible(made):
    angle = finding("flip", metric="error", unit="deg", component="angle", effect=10.0, margin=3.0, without=40.0,
                    having=50.0)  # fmt: skip
    assert effects(made, finding("flip"), angle) == ["flip hurts: R² of block x 0.90 → 0.50"]  # 8 margins against 3.3
    far = replace(angle, effect=30.0, having=70.0)
    assert effects(made, finding("flip"), far) == ["flip hurts: error of block angle 40.0° → 70.0°"]


def test_harm_and_gain_of_one_are_both_told(made):
    rows = [finding("flip"), finding("flip", "helps", component="y", effect=0.2, having=1.0)]
    assert words.headline(rows) == "Flip hurts one thing and helps another."
    assert effects(made, *rows) == ["flip hurts: R² of block x 0.90 → 0.50", "flip helps: R² of block y 0.90 → 1.00"]


def test_training_outweighs_the_bound_and_single_strengths_do_not_lead():
    bound = finding("flip", design="potential", p=None, detectable=None)
    rows = [bound, finding("flip", "negligible"), finding("flip", "hurts", design="sweep", dose=90.0)]
    assert words.headline(rows) == "Flip does not matter."
    assert words.headline([bound]) == "Exact blindness to flip would hurt."


def test_what_was_never_held_is_not_said_not_to_matter():
    never = finding("hue", "no_evidence", held=False, component="y")
    assert words.headline([finding("hue", "negligible"), never]) == "Hue takes nothing that was held."
    unsure = finding("hue", "no_evidence", component="y")
    assert "no evidence" in words.headline([finding("hue", "negligible"), unsure])


def test_without_findings_there_is_no_verdict():
    assert words.headline([]).startswith("There is no verdict")


@pytest.mark.parametrize("episodes", [3, 9])
def test_few_episodes_are_named_as_the_reason(episodes):
    assert words.kind(finding("hue", "no_evidence", episodes=episodes)) == "few"


def test_every_design_has_its_sentence():
    rows = [
        finding("flip", design="potential", encoder="resnet18", p=None, detectable=None),
        finding("flip"),
        finding("hue", "helps", design="add_one_in", effect=0.1, having=1.0),
        finding("rotation", "negligible", design="sweep", dose=10.0),
        finding(RECOMMENDED, "no_evidence", design="remedy"),
        finding("gray", role="sensitivity"),
    ]
    assert words.summary(rows).splitlines() == [
        "Exact blindness to flip of resnet18 would worsen R² of block x 0.90 → 0.50.",
        "Flip in the full recipe worsens R² of block x 0.90 → 0.50.",
        "Hue added to the plain recipe improves R² of block x 0.90 → 1.00.",
        "Rotation at strength 10 does not change block x.",
        "The recommended recipe shows no clear effect on block x.",
    ]


def test_the_advice_is_the_recommended_recipe_and_its_proof(audited):
    said = answer(audited)
    assert said.headline == "Rotation hurts; hue helps. Train with shift and hue."
    assert said.advice == (
        "Recommended: drop rotation. Trained with seeds that had no part in choosing it: not inferior to the first "
        "recipe on any component."
    )
    assert not said.limits  # where each row is sure, nothing went unseen


def test_the_advice_names_what_is_weakened_predicted_and_kept(made):
    recipe = Recipe.named("shift").having("rotation", degrees=10).having("hue")
    arm = replace(made().recommended, recipe=recipe, remedies=(Augself(of=("hue",)),))
    advice = answer(made(recommended=arm)).advice
    assert "weaken rotation" in advice
    assert "keep hue, but have the encoder predict it (augself)" in advice
    full = made().study.arms()["full"]
    assert answer(made(recommended=full)).advice == "Keep the recipe as it is."


def test_the_advice_says_why_something_is_dropped_that_does_not_hurt_alone(made):
    arm = replace(made().recommended, recipe=Recipe.named("shift"))
    blind = finding("hue", design="potential", p=None, detectable=None)  # which is no harm that was seen
    advice = answer(made(recommended=arm, findings=[*made().findings, blind])).advice
    assert "Of hue alone no harm was seen; with the rest of the group more is taken." in advice
    assert "alone no harm" not in answer(made()).advice


def test_a_recipe_that_is_not_shown_to_be_as_good_is_not_praised(made):
    found = [replace(f, safe=f.component != "x") if f.design == "remedy" else f for f in made().findings]
    assert "not inferior to the first recipe on 1 of 2 components; unsure: block x" in (
        answer(made(findings=found)).advice
    )


def test_without_training_the_next_step_is_named(made):
    bound = [f for f in made().findings if f.design == "potential"]
    said = answer(made(findings=bound, recommended=None, results=()))
    assert said.headline.startswith("Exact blindness to rotation would hurt")
    assert "train with and without rotation" in said.advice
    harmless = [f for f in bound if f.invariance == "hue"]
    assert answer(made(findings=harmless, recommended=None)).advice.startswith("Exact blindness alone costs nothing")


def test_failed_and_skipped_are_said(made):
    failed = Result("with hue", 0, failure="the embeddings collapsed")
    results = [*(r for r in made().results if r.arm != "with hue"), failed, Result("state", 0, failure="no state")]
    limits = " ".join(answer(made(results=results, skipped=("gray",), beside=("state",))).limits)
    assert "Runs of with hue failed" in limits
    assert "state" not in limits
    assert "Nothing was trained for gray" in limits


def test_seeds_that_verdicts_are_without_are_named(made):
    def lost(*places):
        found = made().results
        results = [Result(r.arm, r.seed, failure="killed") if (r.arm, r.seed) in places else r for r in found]
        unsure = finding("flip", "no_evidence", detectable=0.1)
        return answer(made(results=results, findings=[unsure])).limits

    unseen, failed = lost(("full", 2))
    assert "at 4 seeds" in unseen
    assert failed == "Runs of full failed; all comparisons leave out seed 2."
    assert (
        lost(("full", 2), ("untrained", 4))[1]
        == "Runs of full and untrained failed; all comparisons leave out seeds 2 and 4."
    )
    assert lost(*(("with hue", seed) for seed in range(3)), ("full", 4))[1] == (
        "Runs of full and with hue failed; verdicts that need with hue are missing; all comparisons leave out seed 4."
    )
    unseen, failed = lost((RECOMMENDED, 6))
    assert "at 5 seeds" in unseen
    assert failed == "Runs of recommended failed; the comparison with the recommended recipe leaves out seed 6."


def test_a_recipe_that_was_not_trained_is_said_to_be_unproved(made):
    named = made(findings=[f for f in made().findings if f.design != "remedy"])
    assert answer(named).advice.endswith(
        "It was not trained: the same command without --quick proves it, with seeds of its own."
    )


def test_after_too_many_failures_the_next_step_is_to_go_on(made):
    results = [replace(r, failure="killed") if r.arm == "full" else r for r in made().results]
    said = answer(made(results=results, recommended=None, findings=[]))
    assert said.advice == "Run the same command again with --resume: too many runs failed for a verdict."


def test_too_few_test_episodes_are_the_first_limit(made):
    """What more seeds would have seen is beside the point then."""
    said = answer(made(findings=[finding("flip", "no_evidence", episodes=2, detectable=0.15)]))
    [limit] = said.limits
    assert limit.startswith("2 test episodes are too few for a verdict")
    assert "40 have about 10 to test" in limit


def test_what_would_have_gone_unseen_is_told_of_where_nothing_was_seen(made):
    """A row that is sure says nothing about those that are not."""
    rows = [finding(name, "no_evidence", detectable=size) for name, size in (("hue", 0.1), ("gray", 0.2))]
    [limit] = answer(made(findings=[*rows, finding("flip", "negligible", detectable=0.001)])).limits
    assert "5 seeds, one of up to 0.20 of R² would mostly have gone unseen" in limit
    assert not answer(made(findings=[finding("flip", "negligible", detectable=0.001)])).limits


def test_what_was_never_held_is_no_reason_to_train(audited):
    """Of what an encoder does not read nothing is lost, however much less is read of it by chance."""
    lost = finding("rotation", "no_evidence", design="potential", held=False)
    assert not lost.safe
    asked = replace(audited, findings=[lost], recommended=None, results=())
    assert answer(asked).advice.startswith("Exact blindness alone costs nothing")
    asked = replace(audited, findings=[replace(lost, held=True)], recommended=None, results=())
    assert "train with and without rotation" in answer(asked).advice
