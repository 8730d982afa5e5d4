import pytest
import torch
from lightly.utils.benchmarking.knn import knn_predict

from ssl_robot.probes.knn import classify


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (10, 0.1), (50, 0.5), (200, 0.07)])
def test_votes_are_lightlys(k: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(k)
    bank, queries = torch.randn(300, 16, generator=generator), torch.randn(70, 16, generator=generator)
    classes = torch.randint(0, 10, (300,), generator=generator)
    unit = torch.nn.functional.normalize
    expected = knn_predict(unit(queries, dim=1), unit(bank, dim=1).T, classes, 10, knn_k=k, knn_t=temperature)[:, 0]
    assert torch.equal(classify(bank, classes, queries, k, temperature), expected)


def test_lengths_of_vectors_do_not_matter() -> None:
    """Silently Euclidean neighbours are what others got wrong."""
    generator = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(100, 8, generator=generator), torch.randn(50, 8, generator=generator)
    classes, lengths = torch.arange(100) % 4, 10 ** torch.randn(100, 1, generator=generator)
    assert torch.equal(classify(bank * lengths, classes, queries * 3, 5), classify(bank, classes, queries, 5))


def test_fewer_frames_than_neighbours_are_all_asked() -> None:
    bank, classes = torch.eye(3), torch.tensor([2, 0, 1])
    assert classify(bank, classes, bank).tolist() == [2, 0, 1]


@pytest.mark.parametrize("temperature", [0.1, 0.01, 0.001])
def test_votes_are_counted_at_any_temperature(temperature: float) -> None:
    """Classes apart are told: exp(1 / .001) is beyond any number."""
    classes = torch.arange(50) % 5
    bank = torch.eye(5)[classes] + 0.01
    assert torch.equal(classify(bank, classes, bank, 20, temperature), classes)
