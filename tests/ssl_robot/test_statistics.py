"""Intervals against SciPy's paired t, and their error rates under the null."""

import numpy as np
import pytest
from scipy import stats

from ssl_robot.statistics import adjusted, detectable, moderated_t


def test_one_row_is_the_paired_t():
    values = np.random.default_rng(0).normal(0.3, 1, (1, 6))
    ours, theirs = moderated_t(values), stats.ttest_1samp(values[0], 0)
    low, high = theirs.confidence_interval()
    assert ours.p[0] == pytest.approx(theirs.pvalue)
    assert (ours.low[0], ours.high[0]) == pytest.approx((low, high))


def test_rows_of_one_variance_share_it():
    """Rows that are shifted copies have one variance, used as it is; four correlated rows count as 4 / 1.75."""
    row = np.random.default_rng(1).normal(size=5)
    values = np.stack([row, row + 1, row - 2, row + 4])
    ours = moderated_t(values)
    error = row.std(ddof=1) / np.sqrt(5)
    assert (ours.high - ours.low) / 2 == pytest.approx(np.full(4, stats.t.ppf(0.975, 4 * 4 / 1.75) * error))


@pytest.mark.parametrize(("rows", "seeds"), [(3, 3), (4, 5), (12, 3)])
def test_false_alarms_stay_near_five_percent(rows, seeds):
    """Every row is a difference from one common arm, as in an audit."""
    rng = np.random.default_rng(2)
    tables = [rng.normal(size=(rows, seeds)) - rng.normal(size=seeds) for _ in range(12000 // rows)]
    p = np.concatenate([moderated_t(table).p for table in tables])
    assert 0.02 < (p < 0.05).mean() < 0.065


def test_borrowing_finds_more_than_each_row_alone():
    rng = np.random.default_rng(3)
    tables = [rng.normal(2.0, 1, (6, 4)) for _ in range(200)]
    ours = np.mean([(moderated_t(table).p < 0.05).mean() for table in tables])
    alone = np.mean([(stats.ttest_1samp(table, 0, axis=1).pvalue < 0.05).mean() for table in tables])
    assert ours > alone + 0.1


@pytest.mark.parametrize("threshold", [0.05, 0.01])
def test_detectable_effects_are_found_nine_times_out_of_ten(threshold):
    rng = np.random.default_rng(4)
    rows, seeds = 8, 5
    tables = [moderated_t(rng.normal(size=(rows, seeds))) for _ in range(200)]
    effect = np.mean([detectable((t.high - t.low).mean() / 2, t.df, threshold) for t in tables])
    p = np.concatenate([moderated_t(rng.normal(effect, 1, (rows, seeds))).p for _ in range(200)])
    assert 0.82 < (p < threshold).mean() < 0.96


def test_no_difference_at_all_is_no_evidence():
    ours = moderated_t(np.zeros((3, 4)))
    assert (ours.p > 0.99).all()
    assert np.isfinite(ours.low).all()


def test_adjustment_is_benjamini_hochberg():
    p = np.random.default_rng(5).uniform(size=30) ** 3
    assert adjusted(p) == pytest.approx(stats.false_discovery_control(p))


def test_what_is_never_called_lets_no_other_pass():
    """Fifteen large effects that are not called, beside ten of nothing: a call is false, and is hardly ever made."""
    rng = np.random.default_rng(6)
    small = np.arange(25) < 15
    false = loose = 0
    for _ in range(2000):
        p = np.where(small, 1e-9, rng.uniform(size=25))
        false += bool((adjusted(p, ~small) < 0.05).any())
        loose += bool((adjusted(p)[~small] < 0.05).any())
    assert false / 2000 < 0.05
    assert loose / 2000 > 0.2  # what it would be if they counted as calls
    assert (adjusted(np.array([1e-9, 0.5]), np.array([False, True])) == 1).all()
