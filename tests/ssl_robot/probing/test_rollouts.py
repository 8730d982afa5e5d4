"""Episodes are counted rightly, and an interval is as wide as it must be."""

import numpy as np
import pytest

from ssl_robot.probing.rollouts import Aimless, earned, interval, played, resampled, unseen


def test_episodes_in_waves_are_episodes_side_by_side(line) -> None:
    seeds = list(range(11))
    waves = [played(line(copies), Aimless(line.actions), seeds) for copies in (11, 4, 1)]
    for other in waves[1:]:
        np.testing.assert_array_equal(other.returns, waves[0].returns)
        np.testing.assert_array_equal(other.success, waves[0].success)


def test_returns_are_sums_of_rewards(line, expert, shown_on) -> None:
    demos = shown_on(line(), 8, first=100)
    went = played(line(), expert, range(100, 108))
    np.testing.assert_allclose(went.returns, demos.rewards.reshape(8, -1).sum(1))
    assert earned(demos, np.arange(len(demos))) == pytest.approx(went.returns.mean())
    left = played(line(), expert, range(100, 108), steps=2)
    assert earned(demos, np.arange(len(demos)), steps=2) == pytest.approx(left.returns.mean())
    assert earned(demos, np.arange(10)) == pytest.approx(went.returns[:2].mean())


def test_roll_outs_have_seeds_of_their_own() -> None:
    first = unseen(np.array([3, -1]), 5)
    assert len(set(first)) == 5
    assert unseen(np.array(first[1:2]), 4) == [first[0], *first[2:]]


def test_acting_at_random_stays_within_bounds_and_copes_without() -> None:
    low, high = np.array([-1.0, 5.0, -np.inf]), np.array([1.0, 6.0, np.inf])
    actor = Aimless((low, high))
    actor.begin([1, 2])
    drawn = np.stack([actor.act(None) for _ in range(500)])  # type: ignore[arg-type]
    assert ((drawn >= low) & (drawn <= high)).all()
    assert drawn[..., :2].mean((0, 1)) == pytest.approx([0, 5.5], abs=0.1)
    assert drawn[..., 2].std() == pytest.approx(1, abs=0.1)
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])


def test_two_policies_are_resampled_alike() -> None:
    """So that their difference is as sure as it is: here it is the same in every episode."""
    table = np.random.default_rng(0).normal(size=(1, 25))
    np.testing.assert_allclose(resampled(table + 1) - resampled(table), 1)


def test_the_interval_is_the_usual_one_where_that_is_known() -> None:
    table = np.random.default_rng(0).normal(size=(1, 400))
    values = resampled(table)
    low, high = interval(table, values)
    assert values[0] == pytest.approx(table.mean())
    assert high - low == pytest.approx(2 * 1.96 * table.std() / 20, rel=0.1)


def test_learners_that_differ_widen_the_interval() -> None:
    episodes = np.random.default_rng(0).normal(size=(1, 25))
    alike, apart = episodes.repeat(3, 0), episodes + np.array([[-3.0], [0.0], [3.0]])
    widths = [np.subtract(*interval(table, resampled(table))[::-1]) for table in (alike, apart)]
    assert widths[1] > 3 * widths[0]


def test_where_all_succeed_the_interval_is_wilsons() -> None:
    for success in (True, False):
        table = np.full((3, 25), success)
        low, high = interval(table, resampled(table))
        assert (low, high) == pytest.approx((0.8668, 1.0) if success else (0.0, 0.1332), abs=1e-3)
