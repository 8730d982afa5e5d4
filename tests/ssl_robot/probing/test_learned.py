"""Trained heads on what they are for: what a line cannot read, and where a blob is that pooling has lost."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.probing import learned, regression
from ssl_robot.splits import Split

HEADS = ("mlp", "attentive", "softmax")
every = pytest.mark.parametrize("head", HEADS)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what does not depend on how well anything is learned."""
    monkeypatch.setattr(learned, "_STEPS", 50)


def divided(rows: int) -> Split:
    order = np.random.default_rng(5).permutation(rows)
    train, validation, test = (np.sort(part) for part in np.split(order, [rows * 6 // 10, rows * 8 // 10]))
    return Split(train, validation, test)


def r2(predicted: Tensor, truth: Tensor) -> Tensor:
    return 1 - (predicted - truth).square().sum(0) / (truth - truth.mean(0)).square().sum(0)


def blobs(rows: int = 600, side: int = 9, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Maps of noise with a bright blob in one of six channels, and where it is: column and row from 0 to 1."""
    random = np.random.default_rng(seed)
    place = random.uniform(0.1, 0.9, (rows, 2))
    y, x = np.mgrid[:side, :side] / (side - 1)
    maps = random.normal(0, 0.3, (rows, 6, side, side))
    far = np.square(x - place[:, :1, None]) + np.square(y - place[:, 1:, None])
    maps[:, 3] += 4 * np.exp(-far / 0.02)
    return torch.from_numpy(maps).float(), torch.from_numpy(place)


def test_mlp_reads_what_ridge_cannot() -> None:
    """Whether two signs are equal."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(600, 5)))
    y = (x[:, :1] * x[:, 1:2]).sign()
    split = divided(600)
    assert float(r2(regression.fit(x, y, split, "ridge").predicted, y[split.test])) < 0.05
    assert float(r2(learned.fit(x, y, split, "mlp").predicted, y[split.test])) > 0.6


@pytest.mark.parametrize("head", learned.ON_MAPS)
def test_heads_on_maps_find_a_blob_that_pooling_has_lost(head: str) -> None:
    maps, place = blobs()
    split = divided(len(maps))
    pooled = maps.mean((2, 3))
    assert r2(regression.fit(pooled, place, split, "kernel").predicted, place[split.test]).max() < 0.3
    found = learned.fit(maps, place, split, head).predicted
    assert r2(found, place[split.test]).min() > 0.9
    assert (found - place[split.test]).abs().mean() < 0.05


@pytest.mark.parametrize("head", learned.ON_MAPS)
def test_column_and_row_are_not_exchanged_on_maps_that_are_not_square(head: str) -> None:
    maps, place = blobs(400, side=12)
    wide = torch.nn.functional.adaptive_avg_pool2d(maps, (3, 12))
    split = divided(400)
    scores = r2(learned.fit(wide, place, split, head).predicted, place[split.test])
    assert scores[0] > 0.8


def test_attention_reads_what_is_there_and_keypoints_only_where() -> None:
    """The brightness of a blob that is always at the same place."""
    random = np.random.default_rng(0)
    bright = torch.from_numpy(random.uniform(1, 3, (600, 1))).float()
    maps = torch.zeros(600, 2, 6, 6)
    maps[:, 0, 2, 3] = bright[:, 0]
    maps[:, 1] = torch.from_numpy(random.normal(size=(600, 6, 6)))
    split = divided(600)
    found = learned.fit(maps, bright.double(), split, "attentive").predicted
    assert float(r2(found, bright[split.test].double())) > 0.95


@every
def test_features_that_say_nothing_give_chance(head: str) -> None:
    split, y = divided(400), blobs(400)[1]
    noise = torch.from_numpy(np.random.default_rng(9).normal(size=(400, 6, 5, 5))).float()
    x = noise.flatten(1) if head == "mlp" else noise
    assert r2(learned.fit(x, y, split, head).predicted, y[split.test]).abs().max() < 0.25


@pytest.mark.usefixtures("few_steps")
@every
def test_the_answers_of_the_test_rows_are_never_used_and_the_same_seed_repeats(head: str) -> None:
    maps, y = blobs(200)
    split, x = divided(200), maps.flatten(1) if head == "mlp" else maps
    expected = learned.fit(x, y, split, head, seed=3).predicted
    y[split.test] = 1e6
    assert torch.equal(learned.fit(x, y, split, head, seed=3).predicted, expected)
    assert not torch.equal(learned.fit(x, y, split, head, seed=4).predicted, expected)


@every
def test_the_validation_rows_decide(head: str) -> None:
    """With their answers turned round nothing is better than to say the mean."""
    maps, y = blobs(300)
    split, x = divided(300), maps.flatten(1) if head == "mlp" else maps
    y[split.validation] = 1 - y[split.validation]
    predicted = learned.fit(x, y, split, head).predicted
    torch.testing.assert_close(predicted, y[split.train].mean(0).expand_as(predicted), atol=1e-6, rtol=0)


@pytest.mark.usefixtures("few_steps")
@every
def test_units_do_not_matter_and_constants_are_predicted(head: str) -> None:
    maps, y = blobs(200)
    split, x = divided(200), maps.flatten(1) if head == "mlp" else maps
    plain = learned.fit(x, y, split, head).predicted
    scaled = learned.fit(100 * x, 1000 * y + 7, split, head).predicted
    torch.testing.assert_close(scaled, 1000 * plain + 7, rtol=1e-2, atol=30)
    constant = learned.fit(x, torch.full((200, 1), 5.0, dtype=torch.float64), split, head).predicted
    torch.testing.assert_close(constant, torch.full_like(constant, 5.0), atol=1e-6, rtol=0)


@pytest.mark.usefixtures("few_steps")
def test_fine_maps_are_averaged() -> None:
    """40x40 cells cost what 16x16 do, and say the same."""
    maps, y = blobs(60, side=40)
    split = divided(60)
    coarse = torch.nn.functional.adaptive_avg_pool2d(maps, 16)
    ours, theirs = (learned.fit(x, y, split, "softmax").predicted for x in (maps, coarse))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("head", learned.ON_MAPS)
def test_a_vector_is_no_map(head: str) -> None:
    with pytest.raises(InputError, match="looks at a feature map: ask for --layer map"):
        learned.fit(torch.zeros(20, 3), torch.zeros(20, 1, dtype=torch.float64), divided(20), head)


@pytest.mark.usefixtures("few_steps")
def test_other_random_numbers_are_not_disturbed() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    learned.fit(torch.ones(40, 3), torch.arange(40.0).double()[:, None], divided(40), "mlp")
    assert torch.equal(torch.rand(3), expected)
