import numpy as np
import pytest
import torch

from ssl_robot.monitors import (
    COLLAPSED,
    COLLINEAR,
    alignment,
    directions,
    guessed,
    matched,
    rank,
    spread,
    uniformity,
    vitals,
)


@pytest.mark.parametrize("d", [2, 5, 64])
def test_directions_of_an_even_cloud_are_its_dimensions(d: int) -> None:
    embeddings = torch.randn(3000, d, generator=torch.Generator().manual_seed(0))
    assert float(directions(embeddings)) == pytest.approx(d, rel=0.05)
    assert float(directions(torch.cat([embeddings, torch.zeros(3000, 40)], 1))) == pytest.approx(d, rel=0.05)


@pytest.mark.parametrize("outliers", [1, 8, 64])
def test_a_line_through_zero_is_a_collapse_that_spread_does_not_see(outliers: int) -> None:
    """What batch norm leaves of a collapsed batch: some frames at one end, the rest at the other."""
    side = torch.ones(128, 1)
    side[:outliers] = -1
    embeddings = side @ torch.randn(1, 32, generator=torch.Generator().manual_seed(0)).sign()
    assert float(directions(embeddings)) < COLLINEAR
    assert float(spread(embeddings)) > COLLAPSED


def test_vitals_are_the_figures_one_by_one() -> None:
    first, second = embeddings = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(0))
    expected = {
        "spread": spread(first),
        "directions": directions(first),
        "alignment": alignment(first, second),
        "uniformity": uniformity(first),
        "matched": matched(first, second),
    }
    found = vitals(embeddings)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_the_rank_of_what_is_no_number_is_none(wrong: float) -> None:
    """On a GPU nobody asks before: a run must end with the sentence about its loss, not in the linear algebra."""
    embeddings = torch.randn(8, 4)
    assert 1 < float(rank(embeddings)) <= 4
    embeddings[2, 1] = wrong
    assert bool(rank(embeddings).isnan())


def test_views_are_matched_by_their_nearest() -> None:
    rng = torch.Generator().manual_seed(0)
    frames = torch.randn(40, 8, generator=rng)
    assert float(matched(frames, 3 * frames + 0.01)) == 1  # lengths do not count
    assert float(matched(frames, frames.roll(1, 0))) == 0
    half = torch.cat([frames[:20], -frames[20:]])
    assert 0.5 <= float(matched(frames, half)) < 0.6


def test_guessing_is_told_from_learning() -> None:
    """Hardly any epoch of guesses is called learning, nor twice their share of many frames guessing."""
    rng = np.random.default_rng(0)
    shares = rng.binomial(6000, 1 / 128, 500) / 6000
    assert np.mean([guessed(float(share), 128, 6000) for share in shares]) > 0.99
    assert not guessed(2 / 128, 128, 6000)
    assert guessed(2 / 128, 128, 256)  # so few frames tell less


def test_alignment_and_uniformity_are_those_of_wang_and_isola() -> None:
    """Frame by frame, and pair by pair: means over frames of squared distances, and of exp(-2 squared distance)."""
    views = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    first, second = (view.numpy() / np.linalg.norm(view.numpy(), axis=1, keepdims=True) for view in views)
    apart = np.mean([sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) for pair in zip(first, second, strict=True)])
    pairs = [np.exp(-2 * sum((first[i] - first[j]) ** 2)) for i in range(12) for j in range(12) if i != j]
    assert float(alignment(*views)) == pytest.approx(apart, rel=1e-5)
    assert float(uniformity(views[0])) == pytest.approx(np.log(np.mean(pairs)), rel=1e-5)
