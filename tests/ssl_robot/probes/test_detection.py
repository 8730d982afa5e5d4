"""Detectors on an encoder: they learn what is there to be seen, and nothing where there is not."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ssl_robot.arrays import Arrays
from ssl_robot.baselines import Setting, named
from ssl_robot.baselines.random import Random
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.probes import Score
from ssl_robot.probes.detection import Detection
from ssl_robot.probing.detector import Detector, Schedule, _batches, _measure, filled, trained, wanted
from ssl_robot.readers import EncoderReader
from ssl_robot.segments import instances

SIZE = 32
CARD = Card("small", SIZE, (0.8, 0.8, 0.8), (0.3, 0.3, 0.3))
needs_scorers = pytest.mark.usefixtures("scorers")


@pytest.fixture
def scorers() -> None:
    pytest.importorskip("pycocotools", reason="pip install 'ssl-robot[detection]'")


def scenes(count: int = 160, seed: int = 0, blank: bool = False) -> Arrays:
    """A red and a blue rectangle on light ground; or what nobody can see but for one pixel."""
    rng = np.random.default_rng(seed)
    images, maps = np.full((count, SIZE, SIZE, 3), 235, np.uint8), np.zeros((count, SIZE, SIZE, 1), np.uint8)
    for image, shown in zip(images, maps, strict=True):
        for thing, colour in ((1, (200, 30, 30)), (2, (30, 60, 200))):
            height, width = rng.integers(8, 14, 2)
            top, left = rng.integers(0, SIZE - height), rng.integers(0, SIZE - width)
            image[top : top + height, left : left + width] = colour
            shown[top : top + height, left : left + width] = thing
    if blank:
        images[:] = 235
        images[:, 0, 0] = rng.integers(0, 256, (count, 3))
    return Arrays(images, None, {}, ("red", "blue"), maps)


def untrained(frames: Arrays, seed: int = 0) -> Random:
    return Random("", Setting(frames, CARD, seed))


def asked(frames: Arrays, **settings: Any) -> dict[tuple[str, str, str], Score]:
    scores = Detection(**settings).ask(untrained(frames), frames)
    return {(score.target, score.component, score.metric): score for score in scores}


@needs_scorers
def test_a_detector_learns_plain_rectangles_and_their_outlines() -> None:
    scores = asked(scenes(), steps=120, batch_size=4, lr=2e-3, masks=True)
    assert set(scores) == {
        (thing, kind, metric)
        for thing in ("all things", "red", "blue")
        for kind in ("box", "mask")
        for metric in ("ap", "ap50", "ap75")
    }
    for kind in ("box", "mask"):
        best = scores["all things", kind, "ap50"]
        assert best.low <= best.value <= best.high
        assert best.value > 0.8
        assert best.chance < 0.1
        assert best.value >= scores["all things", kind, "ap75"].value
        parts = [scores[thing, kind, "ap"].value for thing in ("red", "blue")]
        assert scores["all things", kind, "ap"].value == pytest.approx(np.mean(parts))
    assert best.n == best.episodes > 20
    assert len(best.resampled) == 200
    assert best.head == "Mask R-CNN"


@needs_scorers
def test_where_nothing_can_be_seen_nothing_is_found() -> None:
    """The answers are learnt from, but do not reach the test frames."""
    score = asked(scenes(100, blank=True), steps=40, batch_size=4)["all things", "box", "ap50"]
    assert score.value < 0.1


@needs_scorers
def test_chance_is_high_for_what_stays_where_it_is() -> None:
    """One pixel of light tells the frames apart; the thing never moves."""
    frames = scenes(40, blank=True)
    maps = np.zeros_like(frames.segments)
    maps[:, 4:12, 6:20] = 1
    scores = asked(Arrays(frames.images, None, {}, ("wall",), maps), steps=1)
    assert scores["wall", "box", "ap"].chance == pytest.approx(1)


@needs_scorers
def test_a_seed_repeats_every_figure_and_disturbs_no_other() -> None:
    frames, rows = scenes(24), np.arange(24)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again = (asked(frames, steps=3, batch_size=4) for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)
    probes = [Detection(steps=3, batch_size=4, masks=True, seed=seed) for seed in (0, 0, 1)]
    weights = [probe.trained(untrained(frames), frames, rows).state_dict() for probe in probes]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert any(not torch.equal(value, weights[2][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("tune", [True, False])
def test_the_encoder_that_is_asked_about_stays_as_it_is(tune: bool) -> None:
    frames = scenes(20)
    reader = untrained(frames)
    before = copy.deepcopy(reader.encoder.state_dict())
    detector = Detection(steps=3, tune=tune).trained(reader, frames, np.arange(20))
    for name, value in reader.encoder.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(weight.requires_grad for weight in reader.encoder.parameters())
    first = next(iter(detector.encoder.backbone.parameters()))
    assert torch.equal(first, next(iter(reader.encoder.backbone.parameters()))) is not tune


def test_batch_norm_keeps_its_statistics_and_a_fresh_one_gets_some() -> None:
    frames, rows = scenes(20), np.arange(20)
    encoder = Encoder.fresh(CARD, 0).eval()
    norm: Any = encoder.backbone.features[1]
    assert not norm.running_mean.any()
    _measure(encoder, frames, rows)
    known = encoder.normalised(encoder.images(frames.images))
    inside = encoder.backbone.features[0](known)
    torch.testing.assert_close(norm.running_mean, inside.mean((0, 2, 3)), atol=2e-3, rtol=1e-2)
    before = norm.running_var.clone()
    detector = trained(encoder, frames, rows, {1: 1}, 1, False, True, Schedule(3, 4, 1e-3, 0))
    after: Any = detector.encoder.backbone.features[1]
    assert torch.equal(after.running_var, before)


def test_targets_and_findings_are_in_pixels_of_the_frame() -> None:
    """Frames are neither square nor of the encoder's size."""
    maps = np.zeros((1, 24, 60, 1), np.uint8)
    maps[0, 6:18, 15:45] = 1
    detector = Detector(Encoder.fresh(CARD, 0), 1, [8.0], masks=True, tune=False)
    target = detector._target(instances(maps[0]), (24, 60))
    torch.testing.assert_close(target["boxes"], torch.tensor([[8.0, 8, 24, 24]]))
    expected = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    expected[8:24, 8:24] = 1
    assert torch.equal(target["masks"][0], expected)
    result = {
        "boxes": torch.tensor([[8.0, 8, 24, 24]]),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.5]),
        "masks": torch.ones(1, 1, 14, 14),
    }
    said = detector._found(result, (24, 60))
    np.testing.assert_allclose(said.boxes, [[15, 6, 45, 18]], rtol=1e-6)
    assert (said.masks[0] != maps[0, ..., 0].astype(bool)).mean() < 0.1


def test_a_box_is_filled_where_it_holds_the_middle_of_a_pixel() -> None:
    masks = filled(torch.tensor([[1.0, 0.0, 3.0, 2.0], [0.6, 0.6, 1.4, 1.4]]), (3, 4))
    assert masks.int().tolist() == [[[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], [[0] * 4, [0] * 4, [0] * 4]]


def test_every_frame_is_learnt_from_before_any_comes_again() -> None:
    rows = np.arange(10) * 3
    drawn = np.concatenate(list(_batches(rows, Schedule(5, 4, 1e-3, 2))))
    assert sorted(drawn[:8].tolist()) != sorted(drawn[8:16].tolist())
    counts = np.bincount(drawn, minlength=28)[rows]
    assert counts.tolist() == [2] * 10


def test_only_what_is_asked_for_is_looked_for() -> None:
    frames = scenes(6)
    probe = Detection(things=("blue",))
    assert probe.numbers(frames) == {2: 1}
    assert [item.thing for item in wanted(frames.segments[0], probe.numbers(frames))] == [1]
    with pytest.raises(InputError, match="no thing 'green': choose from red, blue"):
        Detection(things=("green",)).names(frames)


def blank_maps() -> Arrays:
    frames = scenes(40)
    return Arrays(frames.images, None, {}, ("red",), np.zeros_like(frames.segments))


@needs_scorers
@pytest.mark.parametrize(
    ("reader", "frames", "message"),
    [
        ("pixels", scenes, "'pixels' is no encoder"),
        ("blind:rotation", scenes, "has none"),
        ("random", lambda: Arrays(scenes(40).images), "does not say what its pixels show: collect with --segmentation"),
        ("random", blank_maps, "training frames show none of the things"),
    ],
)
def test_what_cannot_be_asked_is_refused(reader: str, frames: Callable[[], Arrays], message: str) -> None:
    recording = frames()
    with pytest.raises(InputError, match=message):
        Detection(steps=1).ask(named(reader, recording, CARD), recording)


def test_a_rate_beyond_all_bounds_is_said() -> None:
    frames = scenes(20)
    with pytest.raises(InputError, match="lower its rate"):
        Detection(steps=20, lr=1.0).trained(EncoderReader(_wild(), "wild"), frames, np.arange(20))


def _wild() -> Encoder:
    """An encoder whose map is no number."""
    encoder = Encoder.fresh(CARD, 0).eval()
    with torch.no_grad():
        next(iter(encoder.backbone.parameters())).fill_(float("nan"))
    return encoder


@pytest.mark.parametrize("settings", [{"steps": 0}, {"lr": 2.0}, {"enlarge": 0}, {"batch_size": 0}, {"labelled": 0}])
def test_settings_have_ranges(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="detection"):
        Detection(**settings)
