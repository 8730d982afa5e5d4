import numpy as np
import pytest
import torch

from ssl_robot.probing import resampling


def test_the_first_line_counts_every_row_once_and_the_others_whole_episodes() -> None:
    weights = resampling.counts(np.array([3, 3, 5, 9, 9, 9]))
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()


def test_the_same_episodes_are_drawn_alike() -> None:
    episodes = np.arange(20) // 2
    assert (resampling.counts(episodes) == resampling.counts(episodes + 7)).all()


def test_means_and_r2_are_those_of_the_rows_as_often_as_they_count() -> None:
    rng = np.random.default_rng(0)
    truth, told = rng.normal(size=12), rng.normal(size=12)
    weights = resampling.counts(np.arange(12) // 3)
    r2 = resampling.r2(torch.from_numpy(told), torch.from_numpy(truth), weights)
    means = resampling.means(truth, weights)
    for line in (0, 5, 400):
        rows = np.repeat(np.arange(12), weights[line].astype(int))
        y, guess = truth[rows], told[rows]
        assert means[line] == pytest.approx(y.mean())
        assert r2[line] == pytest.approx(1 - ((y - guess) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def test_an_interval_holds_nineteen_of_twenty_means() -> None:
    """Over many data sets of 40 episodes it holds the truth, 0, about as often as it says."""
    rng, held = np.random.default_rng(1), 0
    weights = resampling.counts(np.arange(40))
    for _ in range(300):
        _, low, high = resampling.interval(resampling.means(rng.normal(size=40), weights))
        held += low < 0 < high
    assert 0.89 < held / 300 < 0.98
