import numpy as np
import pytest
import torch

from ssl_robot.baselines import named
from ssl_robot.errors import InputError
from ssl_robot.probes.invariance import Invariance, _dealt, asked, changed
from ssl_robot.readers import in_batches
from ssl_robot.recipes import name_of
from ssl_robot.statistics import covariance

N = 160


class Reads:
    """A reader of whatever is computed from the frame in [0, 1]."""

    labels, sees = (), True

    def __init__(self, function):
        self.function, self.name, self.key = function, "toy", "toy"

    def read(self, moments, layer="output"):
        return self.function(torch.from_numpy(moments.frames).float() / 255)

    def everything(self, frames, layer="output"):
        return in_batches(self, frames, layer)


@pytest.fixture(scope="module")
def blobs(memory):
    """Frames with a bright square somewhere on noise, of a colour and size of their own."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 100, (N, 32, 32, 3), np.uint8)
    for image in images:
        x, y, side = rng.integers(4, 20), rng.integers(4, 20), rng.integers(4, 8)
        image[y : y + side, x : x + side] = rng.integers(100, 256, 3)
    return memory(images, None, {})


def scores(reader, frames, *names, **settings):
    found = Invariance(names=names, frames=40, strengths=3, **settings).ask(reader, frames)
    return {(score.target, score.metric): score for score in found}


@pytest.mark.parametrize("name", ["flip", "vertical_flip", "quarter_turn"])
def test_what_is_exactly_blind_is_exactly_invariant(blobs, name: str) -> None:
    """And by its group alone: the other group's changes are seen."""
    found = scores(named(f"blind:{name}", blobs), blobs, name, "brightness")
    assert found[name, "cosine"].value == pytest.approx(1, abs=1e-3)
    assert found["brightness", "cosine"].value < 0.9


def test_what_sees_the_change_is_not_flagged(blobs) -> None:
    """Raw pixels of asymmetric frames: a mirrored frame is as far away as another one."""
    found = scores(named("pixels", blobs), blobs, "flip")
    assert found["flip", "cosine"].high < 0.35


def test_the_mean_does_not_see_where_things_are(blobs) -> None:
    means = Reads(lambda images: images.mean((1, 2)))
    found = scores(means, blobs, "quarter_turn", "flip", "brightness")
    assert found["quarter_turn", "cosine"].value == pytest.approx(1, abs=1e-2)
    assert found["flip", "cosine"].value == pytest.approx(1, abs=1e-2)
    assert found["brightness", "cosine"].value < 0.8
    assert found["brightness", "r2"].value > 0.9


def test_one_may_react_and_not_tell(blobs) -> None:
    """Each frame's reaction to a change of brightness lies in a direction of its own: nothing can be read off it."""

    def hashed(images):
        bits = (images.flatten(1) * 255).round().long()
        seeds = (bits * torch.arange(1, bits.shape[1] + 1)).sum(1)
        return torch.stack([torch.randn(6, generator=torch.Generator().manual_seed(int(s))) for s in seeds])

    found = scores(Reads(hashed), blobs, "brightness")
    assert abs(found["brightness", "cosine"].value) < 0.3
    assert found["brightness", "r2"].value < 0.2


def test_a_turn_that_takes_both_directions_to_tell_is_not_called_readable(blobs) -> None:
    """A reader that gives the direction of the light: the turn is a difference of two, which no linear head has."""

    def direction(images):
        light = images.mean(3)
        place = torch.linspace(-1, 1, light.shape[1])
        mass = (light - light.median()).clamp(min=0.1)
        x, y = (mass * place).sum((1, 2)), (mass * place[:, None]).sum((1, 2))
        angle = torch.atan2(y, x)
        return torch.stack([angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()], 1)

    assert scores(Reads(direction), blobs, "rotation")["rotation", "r2"].value < 0.5


@pytest.mark.parametrize("item", asked(()), ids=name_of)
def test_every_change_keeps_sizes_and_draws_by_seed(item, blobs) -> None:
    images = blobs.images[:6]
    same, moved, parameters = changed(item, images, 0, 0)
    assert same.shape == moved.shape == images.shape
    assert same.dtype == moved.dtype == np.uint8
    assert len(parameters) == 6
    again, other = changed(item, images, 0, 0), changed(item, images, 0, 1)
    assert (again[1] == moved).all()
    assert item.draws == 0 or parameters.std() == 0 or not torch.equal(other[2], parameters)


def test_what_comes_from_beyond_the_border_is_in_both(blobs) -> None:
    """Corners of a turned frame are made up: the unchanged frame gets the same ones, and keeps its middle."""
    (turn,) = asked(("rotation",))
    images = blobs.images[:8]
    same, moved, angles = changed(turn, images, 0, 0)
    oblique = (angles[:, 0].sin() * angles[:, 0].cos()).abs() > 0.3
    assert oblique.any()
    for first, second, image in zip(same[oblique], moved[oblique], images[oblique.numpy()], strict=True):
        assert (first[0, 0] == second[0, 0]).all()
        assert (first[-1, -1] == second[-1, -1]).all()
        assert (first[12:20, 12:20] == image[12:20, 12:20]).all()


def test_the_covariance_is_ledoit_and_wolfs() -> None:
    """Against the definition in their section 3, sample by sample."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(15, 6)) @ rng.normal(size=(6, 6))
    centred = x - x.mean(0)
    n, d = x.shape
    sample = sum(np.outer(row, row) for row in centred) / n
    middle = np.trace(sample) / d
    apart = ((sample - middle * np.eye(d)) ** 2).sum()
    noise = min(sum(((np.outer(row, row) - sample) ** 2).sum() for row in centred) / n**2, apart)
    expected = noise / apart * middle * np.eye(d) + (apart - noise) / apart * sample
    np.testing.assert_allclose(covariance(x), expected, rtol=1e-6)


def test_fewer_samples_than_numbers_have_a_covariance_that_can_be_inverted() -> None:
    values = np.linalg.eigvalsh(covariance(np.random.default_rng(0).normal(size=(10, 50))))
    assert values.min() > 0.05


@pytest.mark.parametrize(
    ("reader", "names", "sentence"),
    [
        ("pixels", ("time",), "does not show another time"),
        ("pixels", ("nothing",), "not one of the invariances"),
    ],
)
def test_what_cannot_be_asked_is_refused(blobs, reader: str, names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        scores(named(reader, blobs), blobs, *names)


def test_what_does_not_look_cannot_be_shown_a_change(resets) -> None:
    with pytest.raises(InputError, match="does not look at frames"):
        Invariance().ask(named("state", resets), resets)


def test_what_was_changed_is_learnt_on_some_episodes_and_asked_about_others() -> None:
    episodes = np.repeat(np.arange(12), 3)
    parts = _dealt(episodes)
    rows = [parts.train, parts.validation, parts.test]
    assert sorted(np.concatenate(rows)) == list(range(36))
    assert [sorted(set(episodes[part])) for part in rows] == [[0, 1, 4, 5, 8, 9], [2, 6, 10], [3, 7, 11]]


def test_chance_is_how_alike_different_frames_are(blobs) -> None:
    """Whitened pixels of different frames have nothing in common; those of a frame made brighter have."""
    pixels = Reads(lambda images: images[:, ::4, ::4].flatten(1))
    score = scores(pixels, blobs, "brightness")["brightness", "cosine"]
    assert abs(score.chance) < 0.1 < score.value
