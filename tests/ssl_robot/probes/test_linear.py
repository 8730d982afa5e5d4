import numpy as np
import pytest
import torch
from scipy import optimize

from ssl_robot.frames import Label
from ssl_robot.probes.knn import Knn
from ssl_robot.probes.linear import Linear, fitted
from ssl_robot.readers import in_batches

N = 400


class Told:
    """Reads the two numbers beside each frame, which stand in for features."""

    name, key, sees, labels = "told", "told", False, ("features",)

    def read(self, moments, layer="output"):
        return torch.from_numpy(moments.labels["features"]).float()

    def everything(self, frames, layer="output"):
        return in_batches(self, frames, layer)


def world(memory, features, kinds):
    labels = {
        "features": (Label.plain("features", features.shape[1]), features),
        "class": (Label.plain("class", 1), kinds[:, None].astype(float)),
    }
    return memory(np.random.default_rng(0).integers(0, 256, (len(kinds), 4, 4, 3), np.uint8), None, labels)


@pytest.fixture(scope="module")
def clusters(memory):
    """Three classes around three points, far apart compared with their spread."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, N)
    middles = np.array([[0.0, 4.0], [4.0, -3.0], [-4.0, -3.0]])
    return world(memory, middles[kinds] + 0.5 * rng.normal(size=(N, 2)), kinds)


@pytest.fixture(scope="module")
def noise(memory):
    rng = np.random.default_rng(1)
    return world(memory, rng.normal(size=(N, 2)), rng.choice(3, N, p=[0.6, 0.2, 0.2]))


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1.0])
def test_the_fit_is_the_optimum_that_another_optimiser_finds(penalty: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)

    def loss(flat):
        w = flat.reshape(5, 3)
        logits = x @ w[:-1] + w[-1]
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return -logs[np.arange(60), y].mean() + penalty / 2 * (w[:-1] ** 2).sum()

    theirs = optimize.minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-8}).fun
    ours = fitted(torch.from_numpy(x), torch.from_numpy(y), 3, penalty)
    assert loss(ours.numpy().ravel()) == pytest.approx(theirs, abs=1e-7)


@pytest.mark.parametrize("probe", [Linear(), Knn(k=20)])
def test_classes_that_lie_apart_are_told(clusters, probe) -> None:
    (score,) = probe.ask(Told(), clusters)
    assert (score.target, score.metric) == ("class", "accuracy")
    assert score.low > 0.97
    assert score.value > score.chance + 0.4


@pytest.mark.parametrize("probe", [Linear(), Knn(k=50)])
def test_features_that_say_nothing_are_right_as_often_as_the_commonest_class(noise, probe) -> None:
    (score,) = probe.ask(Told(), noise)
    assert score.low <= score.chance + 0.02
    assert abs(score.value - score.chance) < 0.12
    assert 0.4 < score.chance < 0.75


def test_answers_of_the_test_rows_reach_no_prediction(clusters, memory) -> None:
    from ssl_robot.splits import split

    kinds = clusters.values("class")[:, 0].astype(int)
    test = split(clusters).test
    kinds[test] = (kinds[test] + 1) % 3
    (score,) = Linear().ask(Told(), world(memory, clusters.values("features"), kinds))
    assert score.value < 0.03


def test_what_read_them_is_named(clusters) -> None:
    (linear,), (knn,) = Linear().ask(Told(), clusters), Knn(k=7, temperature=0.5).ask(Told(), clusters)
    assert linear.head.startswith("softmax regression, penalty")
    assert knn.head == "7 neighbours at temperature 0.5"
    assert {linear.layer, knn.layer} == {"output"}
