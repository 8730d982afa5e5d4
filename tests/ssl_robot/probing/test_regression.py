import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.probing.regression import fit
from ssl_robot.splits import Split

HEADS = ("ridge", "kernel")
PENALTIES = [10.0**power for power in range(-6, 2)]


def divided(rows: int) -> Split:
    order = np.random.default_rng(5).permutation(rows)
    train, validation, test = (np.sort(part) for part in np.split(order, [rows // 2, rows * 3 // 4]))
    return Split(train, validation, test)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def r2(predicted: Tensor, truth: Tensor) -> float:
    return float(1 - (predicted - truth).square().sum() / (truth - truth.mean(0)).square().sum())


def ridge(x: NDArray[np.float64], y: NDArray[np.float64], split: Split) -> NDArray[np.float64]:
    """The normal equations, for one target, with an intercept and the penalty that the validation rows prefer."""
    mean, std = x[split.train].mean(0), x[split.train].std(0, ddof=1)
    x, centre = (x - mean) / std, y[split.train].mean()
    n, d = x[split.train].shape
    best, best_error = np.zeros(0), np.inf
    for penalty in PENALTIES:
        a = x[split.train].T @ x[split.train] + penalty * n * np.sqrt(d) * np.eye(d)
        weights = np.linalg.solve(a, x[split.train].T @ (y[split.train] - centre))
        error = np.square(x[split.validation] @ weights + centre - y[split.validation]).mean()
        if error < best_error:
            best, best_error = x[split.test] @ weights + centre, error
    return best


@pytest.mark.parametrize("d", [5, 150], ids=["more rows than features", "more features than rows"])
def test_ridge_solves_the_normal_equations(d: int) -> None:
    """Each target as if it were alone, with a penalty of its own."""
    split, x = divided(120), normal(120, d) * 3 + 1
    noise = normal(120, 3, seed=1) * torch.tensor([0.1, 2.0, 50.0])
    y = x[:, :3] @ normal(3, 3, seed=2) + noise + torch.tensor([100.0, 0.0, -5.0])
    predicted = fit(x, y, split, "ridge").predicted
    for column in range(3):
        expected = ridge(x.numpy(), y[:, column].numpy(), split)
        np.testing.assert_allclose(predicted[:, column], expected, rtol=1e-6, atol=1e-6)


def test_kernel_reads_what_ridge_cannot() -> None:
    split, x = divided(600), normal(600, 2)
    y = (x[:, :1] * 2).sin() * x[:, 1:].square()
    assert r2(fit(x, y, split, "ridge").predicted, y[split.test]) < 0.2
    assert r2(fit(x, y, split, "kernel").predicted, y[split.test]) > 0.9


@pytest.mark.parametrize("head", HEADS)
def test_features_that_say_nothing_give_chance(head: str) -> None:
    split = divided(200)
    y = normal(200, 2, seed=1) * 7 + 3
    assert abs(r2(fit(normal(200, 30), y, split, head).predicted, y[split.test])) < 0.15


@pytest.mark.parametrize("head", HEADS)
def test_constant_features_predict_the_training_mean(head: str) -> None:
    split, y = divided(80), normal(80, 2, seed=1)
    predicted = fit(torch.full((80, 6), 3.3), y, split, head).predicted
    torch.testing.assert_close(predicted, y[split.train].mean(0).expand_as(predicted), atol=1e-6, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_a_constant_feature_among_others_does_no_harm(head: str) -> None:
    split, x = divided(200), normal(200, 3)
    y = x @ normal(3, 1, seed=2)
    wider = torch.cat([x, torch.full((200, 1), 1e6)], 1)
    assert r2(fit(wider, y, split, head).predicted, y[split.test]) > 0.95


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_constant_targets_are_predicted(head: str, value: float) -> None:
    split = divided(80)
    targets = torch.cat([torch.full((80, 1), value, dtype=torch.float64), normal(80, 1, seed=1)], 1)
    predicted = fit(normal(80, 6), targets, split, head).predicted
    torch.testing.assert_close(predicted[:, 0], targets[split.test, 0], atol=1e-9, rtol=1e-9)
    assert torch.isfinite(predicted).all()


@pytest.mark.parametrize("head", HEADS)
def test_the_answers_of_the_test_rows_are_never_used(head: str) -> None:
    split, x, y = divided(200), normal(200, 4), normal(200, 2, seed=1)
    expected = fit(x, y, split, head).predicted
    y[split.test] = normal(len(split.test), 2, seed=9) * 1e6
    assert torch.equal(fit(x, y, split, head).predicted, expected)


@pytest.mark.parametrize("head", HEADS)
def test_the_scale_of_a_feature_does_not_matter(head: str) -> None:
    """Within what standardising takes for noise."""
    split, x = divided(200), normal(200, 4)
    y = x.square() @ normal(4, 2, seed=1)
    scaled = x * torch.tensor([1.0, 5.0, 20.0, 100.0]) + torch.tensor([0.0, 3.0, -50.0, 7.0])
    torch.testing.assert_close(fit(scaled, y, split, head).predicted, fit(x, y, split, head).predicted)


def test_many_training_rows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed form is cubic in them; rows from all over are kept, or the second half would be lost."""
    monkeypatch.setattr("ssl_robot.probing.regression._MOST_ROWS", 60)
    split, x = Split(np.arange(800), np.arange(800, 850), np.arange(850, 900)), normal(900, 2)
    x[:400, 1] = 0
    y = x[:, 1:] * 3 + 1
    result = fit(x, y, split, "ridge")
    assert result.rows == 60
    assert r2(result.predicted, y[split.test]) > 0.99
