"""Average precision: known answers, and the same as pycocotools by way of torchmetrics."""

import builtins
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.probing.precision import THRESHOLDS, Found, Kind, Tally, average, matched, overlaps, resamples
from ssl_robot.segments import Instance

SHAPE = (32, 40)
KINDS: tuple[Kind, ...] = ("box", "mask")
scorers = pytest.importorskip("pycocotools", reason="pip install 'ssl-robot[detection]'")


def rectangle(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def there(*boxes: tuple[int, int, int, int], thing: int = 1, crowd: bool = False) -> list[Instance]:
    return [Instance(thing, rectangle(*box), crowd) for box in boxes]


def found(*said: tuple[float, tuple[int, int, int, int]], thing: int = 1) -> Found:
    boxes = np.array([box for _, box in said], np.float64).reshape(-1, 4)
    masks = np.array([rectangle(*box) for _, box in said], np.bool_).reshape(-1, *SHAPE)
    return Found(np.full(len(said), thing), np.array([score for score, _ in said]), boxes, masks)


def scored(frames: list[tuple[Found, list[Instance]]], kinds: tuple[Kind, ...] = KINDS) -> dict[Any, Any]:
    tally = Tally(kinds)
    for frame in frames:
        tally.add(*frame)
    return {(answer.kind, answer.thing): answer for answer in tally.answers(np.arange(len(frames)))}


ONE, OTHER, FAR = (2, 2, 12, 12), (20, 10, 30, 26), (30, 0, 40, 8)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(0.9, ONE), (0.8, OTHER)], 1.0),
        ([(0.9, ONE)], 51 / 101),  # half of them found: precision 1 up to recall .5, 0 beyond
        ([(0.9, FAR), (0.8, ONE), (0.7, OTHER)], 2 / 3),  # a surer mistake first
        ([(0.9, ONE), (0.8, ONE), (0.7, OTHER)], (51 + 50 * 2 / 3) / 101),  # the second time it is a mistake
        ([(0.9, FAR)], 0.0),
        ([], 0.0),
    ],
)
def test_known_answers(said: list[tuple[float, tuple[int, int, int, int]]], expected: float) -> None:
    answers = scored([(found(*said), there(ONE, OTHER))])
    for kind in KINDS:
        np.testing.assert_allclose(answers[kind, 1].values, expected)
        np.testing.assert_allclose(answers[kind, 1].resampled, expected, err_msg="one frame, however often it is drawn")


def test_thresholds_ask_for_more_and_more_overlap() -> None:
    """9 of 12 columns, and both counted whole: .75."""
    answers = scored([(found((0.9, (0, 0, 12, 10))), there((0, 0, 9, 10)))])
    assert (THRESHOLDS <= 0.75 + 1e-9).sum() == 6
    np.testing.assert_allclose(answers["box", 1].values, [1.0] * 6 + [0.0] * 4)


def test_what_lies_in_a_crowd_counts_for_nothing() -> None:
    crowd = there((0, 0, 20, 32), crowd=True)
    said = [(0.9, ONE), (0.8, (13, 20, 18, 30)), (0.7, OTHER)]
    np.testing.assert_allclose(scored([(found(*said), crowd + there(OTHER))])["box", 1].values, 1.0)
    overlap = overlaps(found(*said), crowd + there(OTHER), "mask")
    np.testing.assert_allclose(overlap, [[1, 0], [1, 0], [0, 1]])
    hit, ignored = matched(overlap, np.array([True, False]))
    assert hit.all(0).tolist() == [False, False, True]
    assert ignored.all(0).tolist() == [True, True, False]


def random_frames(seed: int, frames: int = 12) -> list[tuple[Found, list[Instance]]]:
    """Things of three kinds, some in crowds, found shifted, twice, in wrong places and as something else."""
    rng = np.random.default_rng(seed)

    def box() -> tuple[int, int, int, int]:
        left, top = rng.integers(0, 30), rng.integers(0, 22)
        return left, top, left + int(rng.integers(3, 11)), top + int(rng.integers(3, 11))

    drawn = []
    for _ in range(frames):
        items = [
            Instance(int(rng.integers(1, 4)), rectangle(*box()), rng.random() < 0.15) for _ in range(rng.integers(0, 5))
        ]
        boxes = [item.box for item in items for _ in range(rng.integers(0, 3))] + [box() for _ in range(3)]
        shaken = np.array(boxes, np.float64) + rng.integers(-1, 2, (len(boxes), 4))
        things = [item.thing for item in items] + [1, 2, 3] * 5
        upright = np.sort(shaken.reshape(-1, 2, 2), 1).reshape(-1, 4)
        order = (upright + np.array([0, 0, 1, 1])).clip(0, [40, 32, 40, 32])
        masks = np.array([rectangle(*row.astype(int)) for row in order])
        drawn.append((Found(np.array(things[: len(boxes)]), rng.random(len(boxes)), order, masks), items))
    return drawn


@pytest.mark.parametrize("seed", range(6))
def test_matches_that_are_kept_say_what_the_reference_says(seed: int) -> None:
    """Each frame weighed once is no resampling at all."""
    tally = Tally(KINDS)
    frames = random_frames(seed)
    for frame in frames:
        tally.add(*frame)
    once = np.ones((2, len(frames)))
    place = np.array(tally._there)
    answers = tally.answers(np.arange(len(frames)))
    assert {answer.thing for answer in answers} == {0, 1, 2, 3}
    for answer in answers:
        if answer.thing:
            ours = tally._resampled(answer.kind, answer.thing, once, place)[0]
            np.testing.assert_allclose(ours, answer.values, atol=1e-6)
        else:
            parts = [other.values for other in answers if other.kind == answer.kind and other.thing]
            np.testing.assert_allclose(answer.values, np.mean(parts, 0), atol=1e-6)


def test_a_frame_that_counts_twice_is_there_twice() -> None:
    frames = random_frames(7, 6)
    one, two = Tally(("box",)), Tally(("box",))
    for i, frame in enumerate(frames):
        for _ in range(1 + i % 2):
            two.add(*frame)
        one.add(*frame)
    weights = np.array([[1, 1, 1, 1, 1, 1], [1, 2, 1, 2, 1, 2]], np.float64)
    for answer in two.answers(np.arange(9)):
        if answer.thing:
            ours = one._resampled("box", answer.thing, weights, np.array(one._there))[0]
            np.testing.assert_allclose(ours, answer.values, atol=1e-6)


def test_episodes_are_drawn_whole() -> None:
    weights = resamples(np.array([4, 4, 7, 9, 9, 9]))
    assert weights.shape == (201, 6)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_a_thing_that_was_not_drawn_has_no_precision() -> None:
    values = average(np.ones((10, 1), bool), np.ones((10, 1), bool), np.array([[1.0], [0.0]]), np.array([1.0, 0.0]))
    assert (values[0] == 1).all()
    assert np.isnan(values[1]).all()


def test_nothing_to_be_found_is_refused() -> None:
    with pytest.raises(InputError, match="show none of the things"):
        scored([(found((0.5, ONE)), [])])


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "pycocotools":
            raise ImportError("No module named 'pycocotools'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"pip install 'ssl-robot\[detection\]'"):
        Tally(("box",))
