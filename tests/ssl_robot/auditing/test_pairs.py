"""Which runs verdicts rest on when some have failed: pairs of one seed, the same seeds for all."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.auditing.design import FEWEST_SEEDS, FULL, UNTRAINED, Contrast
from ssl_robot.auditing.pairs import gap, paired, verdicts
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Result
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose

SEEDS, OUT = range(5), ("without flip", "without hue")
CONTRASTS = [Contrast(arm.split()[1], "leave_one_out", arm, FULL) for arm in OUT]
READ = {FULL: 0.5, "without flip": 0.9, "without hue": 0.5, UNTRAINED: 0.2}


@pytest.fixture(scope="module")
def question(memory):
    return Question(Pose(), memory(np.zeros((4, 8, 8, 3), np.uint8)))


def score(value, chance=0.0):
    return Score("block", "x", "r2", "", value, value, value, 75, chance, 75, np.empty(0))


def results(question, arms=READ, seeds=SEEDS):
    found = []
    for arm in arms:
        for seed in seeds:
            noise = 0.1 * seed + 0.01 * np.random.default_rng([seed, len(arm)]).normal()  # a seed does much to all arms
            found.append(Result(arm, seed, {question.key: [score(READ[arm] + noise)]}))
    return found


def broken(found, *places):
    return [Result(r.arm, r.seed, failure="killed") if (r.arm, r.seed) in places else r for r in found]


@pytest.mark.parametrize("arm", READ)
def test_a_failed_run_costs_its_seed_alone(question, arm):
    found = broken(results(question), (arm, 2))
    assert verdicts(CONTRASTS, [question], found) == verdicts(
        CONTRASTS, [question], results(question, seeds=[0, 1, 3, 4])
    )
    assert [f.verdict for f in verdicts(CONTRASTS, [question], found)] == ["hurts", "negligible"]
    assert gap([arm], CONTRASTS, found).seeds == [2]
    assert gap([arm], CONTRASTS, found).without == []


def test_an_arm_of_few_whole_runs_costs_its_own_verdict_alone(question):
    found = broken(results(question), *(("without flip", seed) for seed in (0, 2, 3)))
    left = [c for c in CONTRASTS if c.without != "without flip"]
    assert verdicts(CONTRASTS, [question], found) == verdicts(left, [question], results(question))
    assert gap(["without flip"], CONTRASTS, found).without == ["without flip"]
    assert gap(["without flip"], CONTRASTS, found).seeds == []


@pytest.mark.parametrize("arm", [FULL, UNTRAINED])
def test_without_what_all_need_there_are_no_verdicts(question, arm):
    found = broken(results(question), *((arm, seed) for seed in (0, 2, 3)))
    assert verdicts(CONTRASTS, [question], found) == []


def test_pairs_are_of_one_seed_in_whatever_order_runs_come(question):
    found = results(question)
    assert verdicts(CONTRASTS, [question], found[::-1]) == verdicts(CONTRASTS, [question], found)
    turned = [*found[:5][::-1], *found[5:]]  # one arm in another order
    assert verdicts(CONTRASTS, [question], turned) == verdicts(CONTRASTS, [question], found)


@given(st.sets(st.tuples(st.sampled_from(list(READ)), st.sampled_from(SEEDS))))
def test_whatever_fails_all_kept_arms_have_the_same_three_seeds_or_more(failed):
    found = [Result(arm, seed, failure="x" * ((arm, seed) in failed)) for arm in READ for seed in SEEDS]
    kept = paired(CONTRASTS, found)
    assert not any(r.failure for runs in kept.values() for r in runs)
    assert len({tuple(r.seed for r in runs) for runs in kept.values()}) <= 1
    assert all(len(runs) >= FEWEST_SEEDS for runs in kept.values())
    if len({seed for _, seed in failed}) <= 2:
        assert set(kept) == set(READ)


def test_a_projector_is_held_against_features_that_say_nothing(question):
    """There is none of an untrained encoder."""
    asked = replace(question, role="sensitivity", part="projector")
    trained = [FULL, *OUT]
    for chance, held in ((0.0, [True, True]), (0.7, [True, False])):
        found = [Result(arm, s, {asked.key: [score(READ[arm] + s / 100, chance)]}) for arm in trained for s in SEEDS]
        found += [Result(UNTRAINED, seed) for seed in SEEDS]
        rows = verdicts(CONTRASTS, [asked], found)
        assert [row.nothing for row in rows] == pytest.approx([chance] * 2)
        assert [row.held for row in rows] == held
