"""What labels say about an encoder while it is trained."""

from typing import Any

import numpy as np
import pytest

from ssl_robot.encoder import Card, Encoder
from ssl_robot.frames import Label
from ssl_robot.online import Watched

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
