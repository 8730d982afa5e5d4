"""What labels say about an encoder while it is trained."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightly.utils.benchmarking.knn import knn_predict
from torch import Tensor, nn

from ssl_robot.backbones import Backbone
from ssl_robot.encoder import Card, Encoder
from ssl_robot.frames import Label
from ssl_robot.online import Watched, _nearest, _r2, _ridge

COUNT = 1200


@pytest.fixture(scope="module")
def coloured(memory: Any) -> Any:
    """Frames between red and blue in episodes of ten; the label is how red they are."""
    red = np.random.default_rng(0).integers(0, 256, COUNT, np.uint8)
    colours = np.stack([red, np.zeros_like(red), 255 - red], 1)
    images = np.broadcast_to(colours[:, None, None], (COUNT, 16, 16, 3)).copy()
    values = np.stack([red / 255.0, np.ones(COUNT)], 1)
    return memory(images, [10] * (COUNT // 10), {"red": (Label.plain("red", 2), values)})


def encoder() -> Encoder:
    return Encoder.fresh(Card("small", 16, (0.5,) * 3, (0.3,) * 3), 0)


@pytest.mark.parametrize("half", [False, True])
def test_what_the_features_hold_is_read(coloured: Any, half: bool) -> None:
    watched = Watched.of(coloured, np.arange(COUNT), half)
    assert watched is not None
    scores = watched(encoder())
    assert set(scores) == {"ridge_r2", "knn_r2"}
    assert min(scores.values()) > 0.9


def test_half_precision_says_nearly_the_same_and_changes_no_weights(coloured: Any) -> None:
    trained = encoder().train()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    exact, quick = (Watched.of(coloured, np.arange(COUNT), half)(trained) for half in (False, True))
    for name, score in exact.items():
        assert quick[name] == pytest.approx(score, abs=0.02)
    assert trained.training
    assert all(value.equal(before[name]) for name, value in trained.state_dict().items())


def test_to_look_is_cheap_beside_an_epoch(coloured: Any) -> None:
    for rows, expected in ((COUNT, COUNT // 16), (200, 64), (40, 40)):
        watched = Watched.of(coloured, np.arange(rows), False)
        assert watched is not None
        assert len(watched.frames) == expected


def test_nothing_is_watched_where_there_is_nothing_to_read(memory: Any, coloured: Any) -> None:
    assert Watched.of(memory(coloured.images), np.arange(COUNT), False) is None  # no labels
    assert Watched.of(coloured, np.arange(10), False) is None  # one episode


def rows(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_choose_the_classes_that_lightlys_choose(seed: int) -> None:
    """Classes as targets of 0 and 1: the order of what is predicted is that of lightly's votes, k 10, T .1."""
    seen, asked = rows(60, 8, seed), rows(20, 8, seed + 10)
    labels = torch.randint(0, 5, (60,), generator=torch.Generator().manual_seed(seed))
    votes = _nearest(seen, F.one_hot(labels, 5).float(), asked)
    expected = knn_predict(F.normalize(asked, dim=1), F.normalize(seen, dim=1).T, labels, 5, knn_k=10, knn_t=0.1)
    assert torch.equal(votes.argmax(1), expected[:, 0])
    torch.testing.assert_close(votes.sum(1), torch.ones(20))


def test_neighbours_are_weighed_by_the_exponential_of_their_cosine() -> None:
    seen, asked, targets = rows(40, 8, 0), rows(7, 8, 1), rows(40, 2, 2)
    ours = _nearest(seen, targets, asked)
    a, b, y = (values.double().numpy() for values in (asked, seen, targets))
    for i, query in enumerate(a):
        cosines = b @ query / np.linalg.norm(b, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-cosines)[:10]
        weights = np.exp(cosines[nearest] / 0.1)
        np.testing.assert_allclose(ours[i], weights @ y[nearest] / weights.sum(), atol=1e-5)


def test_neighbours_ask_for_directions_and_not_lengths() -> None:
    """Silently Euclidean neighbours are what others got wrong."""
    seen, asked, targets = rows(40, 8, 0), rows(7, 8, 1), rows(40, 2, 2)
    lengths = 10 ** rows(40, 1, 3)
    torch.testing.assert_close(_nearest(seen * lengths, targets, asked * 7), _nearest(seen, targets, asked))


def test_fewer_frames_than_neighbours_are_all_neighbours() -> None:
    assert _nearest(rows(4, 8, 0), rows(4, 2, 1), rows(3, 8, 2)).shape == (3, 2)


def test_ridge_is_the_solution_of_its_equations() -> None:
    seen, asked, targets = rows(50, 6, 0), rows(9, 6, 1), rows(50, 2, 2)
    x, q, y = (values.double().numpy() for values in (seen, asked, targets))
    mean, std = x.mean(0), x.std(0, ddof=1)
    design, query = (np.column_stack([(part - mean) / std, np.ones(len(part))]) for part in (x, q))
    weights = np.linalg.lstsq(
        np.vstack([design, np.sqrt(1e-3 * 50) * np.eye(7)]), np.vstack([y, np.zeros((7, 2))]), rcond=None
    )[0]
    np.testing.assert_allclose(_ridge(seen, targets, asked), query @ weights, atol=1e-5)


def test_r2_is_one_for_the_truth_and_zero_for_the_mean() -> None:
    actual = rows(30, 3, 0)
    assert _r2(actual, actual) == 1
    assert _r2(actual.mean(0).expand(30, 3), actual) == pytest.approx(0, abs=1e-6)


def colour_only() -> Backbone:
    """Sees the mean colour and nothing else."""
    return Backbone(nn.Identity(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_episodes_that_are_asked_about_are_others_than_those_read(memory: Any) -> None:
    """And what an encoder sees, it is said to see: the colour, but not what is noise."""
    random = np.random.default_rng(0)
    colours = random.uniform(30, 220, (160, 3))
    images = np.broadcast_to(colours[:, None, None], (160, 16, 16, 3)).astype(np.uint8)
    labels = {"colour": colours, "noise": random.normal(size=(160, 3))}
    seeing = Encoder(colour_only(), Card("small", 16, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)))
    scores = {}
    for name, values in labels.items():
        frames = memory(images, [20] * 8, {name: (Label.plain(name, 3), values)})
        watched = Watched.of(frames, np.arange(160), half=False)
        assert watched is not None
        chosen = np.linspace(0, 159, len(watched.frames)).astype(int)
        read, asked = (set(frames.episodes[chosen][part]) for part in (watched.read, ~watched.read))
        assert not read & asked
        scores[name] = watched(seeing)
    assert scores["colour"]["ridge_r2"] > 0.99
    assert scores["colour"]["knn_r2"] > 0.3
    assert max(scores["noise"].values()) < 0.2
