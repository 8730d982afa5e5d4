import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.frames import Label
from ssl_robot.probing.examination import Examination, Table, _within, elsewhere
from ssl_robot.splits import split

BODY = Label("poses/block", ("x", "z", "qw", "qx", "qy", "qz"), ("m", "m", "", "", "", ""), (False,) * 6)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=20), st.integers(0, 99))
def test_every_row_gets_the_answer_of_another_episode_as_far_into_it(lengths: list[int], seed: int) -> None:
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    rows = elsewhere(episodes, seed)
    assert (episodes[rows] != episodes).all()
    for episode, length in enumerate(lengths):
        found = rows[episodes == episode]
        other = np.unique(episodes[found])
        assert len(other) == 1
        assert (np.diff(found) >= 0).all()
        if lengths[other[0]] == length:
            assert found.tolist() == np.flatnonzero(episodes == other[0]).tolist()
    assert sorted(set(episodes[rows])) == list(range(len(lengths)))  # each is somebody's


def test_seeds_exchange_otherwise() -> None:
    episodes = np.arange(50)
    assert (elsewhere(episodes, 0) == elsewhere(episodes, 0)).all()
    assert (elsewhere(episodes, 0) != elsewhere(episodes, 1)).any()


def test_how_alike_the_rows_of_an_episode_are() -> None:
    random = np.random.default_rng(0)
    episodes = np.repeat(np.arange(200), 10)
    own, noise = random.normal(size=(200, 1))[episodes], random.normal(size=(2000, 1))
    assert _within(own, episodes) == pytest.approx(1)
    assert _within(noise, episodes) == pytest.approx(0, abs=0.05)
    assert _within(own + noise, episodes) == pytest.approx(0.5, abs=0.08)  # half of the variance lies between
    assert _within(own[:200], np.arange(200)) == 0  # independent resets say nothing about it


def test_what_does_not_vary_is_still(memory) -> None:
    """A block that slides on a table and never turns."""
    rows = np.column_stack([np.linspace(0, 1, 40), np.full(40, 0.02), np.tile([-1.0, 0, 0, 0], (40, 1))])
    rows[::2, 2] = 1  # the same rotation
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 3), np.uint8)
    frames = memory(images, None, {BODY.name: (BODY, rows)})
    table = Table.of(BODY, frames)
    assert [quantity.name for quantity in table.moving] == ["x"]
    assert [(name, unit) for name, unit, _ in table.still] == [("z", "m"), ("rotation", "deg")]
    assert [value for _, _, value in table.still] == pytest.approx([0.02, 0])


def test_what_varies_only_while_learning_is_not_called_constant(memory) -> None:
    """It has an error in its unit, and no R2 to speak of."""
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 3), np.uint8)
    values = np.linspace(0, 1, 40)[:, None].copy()
    label = Label.plain("a", 1)
    parts = split(memory(images))
    values[parts.test] = 0.5
    frames = memory(images, None, {"a": (label, values)})
    table = Table.of(label, frames)
    assert not table.still
    r2, error = Examination.of(frames, parts).lines(table, table.columns[torch.from_numpy(parts.test)] + 0.1)
    assert r2.values[0] == 0
    assert error.values[0] == pytest.approx(0.1)


def test_r2_of_a_rotation_is_that_of_all_its_numbers_together(memory) -> None:
    random = np.random.default_rng(0)
    quaternions = random.normal(size=(60, 4))
    rows = np.column_stack([np.zeros((60, 2)), quaternions])
    frames = memory(random.integers(0, 256, (60, 2, 2, 3), np.uint8), None, {BODY.name: (BODY, rows)})
    parts = split(frames)
    table, exam = Table.of(BODY, frames), Examination.of(frames, parts)
    truth = table.columns[torch.from_numpy(parts.test)]
    guessed = truth + 0.1 * torch.from_numpy(random.normal(size=truth.shape))
    r2, error = exam.lines(table, guessed)
    expected = 1 - (guessed - truth).square().sum() / (truth - truth.mean(0)).square().sum()
    assert r2.values[0] == pytest.approx(float(expected))
    assert (r2.component, r2.metric, error.component, error.metric, error.unit) == (
        "rotation", "r2", "rotation", "error", "deg",
    )  # fmt: skip
    assert 3 < error.values[0] < 20


def test_resampled_scores_are_those_of_rows_that_count_several_times(memory) -> None:
    random = np.random.default_rng(0)
    label, values = Label.plain("a", 1), random.normal(size=(60, 1))
    frames = memory(random.integers(0, 256, (60, 2, 2, 3), np.uint8), [2] * 30, {"a": (label, values)})
    parts = split(frames)
    table, exam = Table.of(label, frames), Examination.of(frames, parts)
    truth = table.columns[torch.from_numpy(parts.test)]
    guessed = truth + 0.3 * torch.from_numpy(random.normal(size=truth.shape))
    r2, error = exam.lines(table, guessed)
    for line in (1, 2, 77):
        times = exam.weights[line].astype(int)
        assert times.sum() == len(parts.test)
        y, p = (np.repeat(x.numpy()[:, 0], times) for x in (truth, guessed))
        assert r2.values[line] == pytest.approx(1 - np.square(p - y).sum() / np.square(y - y.mean()).sum())
        assert error.values[line] == pytest.approx(np.abs(p - y).mean())


def test_sessions_are_resampled_whole(memory) -> None:
    """All rows of a session count equally often, whichever of its three episodes they are of."""
    images = np.random.default_rng(0).integers(0, 256, (120, 2, 2, 3), np.uint8)
    frames, sessions = memory(images, [2] * 60), np.repeat(np.arange(20), 3)
    parts = split(frames, sessions=sessions)
    exam = Examination.of(frames, parts, sessions)
    of_row = sessions[frames.episodes[parts.test]]
    assert len(np.unique(of_row)) >= 3
    for session in np.unique(of_row):
        assert (np.ptp(exam.weights[:, of_row == session], axis=1) == 0).all()
    assert (np.ptp(exam.weights, axis=1) > 0).mean() > 0.5
    assert exam.tested == 3 * len(np.unique(of_row))
