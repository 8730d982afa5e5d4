import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import NTXentLoss
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.contrast import among_earlier, among_keys, nt_xent


def rows(b: int, d: int, seed: int) -> Tensor:
    return torch.randn(b, d, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def unit(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.detach().double().numpy()
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


@given(b=st.integers(2, 20), d=st.integers(2, 16), temperature=st.floats(0.05, 2), seed=st.integers(0, 1000))
def test_nt_xent_is_lightlys(b: int, d: int, temperature: float, seed: int) -> None:
    first, second = rows(b, d, seed), rows(b, d, seed + 1)
    losses = [nt_xent(first, second, temperature), NTXentLoss(temperature)(first, second)]
    torch.testing.assert_close(*losses, atol=2e-6, rtol=1e-6)
    ours, theirs = (torch.autograd.grad(loss, [first, second]) for loss in losses)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, atol=1e-5, rtol=1e-4)


def test_nt_xent_is_half_of_what_the_authors_code_adds_up() -> None:
    """Their two halves, a to b and b to a, each have a mean of their own."""
    a, b = (unit(rows(6, 8, seed)) for seed in (0, 1))
    halves = []
    for one, other in ((a, b), (b, a)):
        scores = np.concatenate([one @ other.T, one @ one.T - 1e9 * np.eye(6)], 1) / 0.5
        halves.append(np.mean(np.log(np.exp(scores).sum(1)) - np.diag(scores)))
    assert float(nt_xent(rows(6, 8, 0), rows(6, 8, 1), 0.5).detach()) == pytest.approx(sum(halves) / 2, abs=1e-6)


def test_nt_xent_knows_no_order_of_frames_or_views() -> None:
    first, second, order = rows(9, 8, 0), rows(9, 8, 1), torch.randperm(9, generator=torch.Generator().manual_seed(2))
    loss = nt_xent(first, second, 0.2)
    torch.testing.assert_close(nt_xent(first[order], second[order], 0.2), loss)
    torch.testing.assert_close(nt_xent(second, first, 0.2), loss)


def test_among_keys_is_the_share_of_the_own_key() -> None:
    q, k = unit(rows(7, 5, 0)), unit(rows(7, 5, 1))
    expected = np.mean([np.log(np.exp(k @ q[i] / 0.3).sum()) - q[i] @ k[i] / 0.3 for i in range(7)])
    assert float(among_keys(rows(7, 5, 0), rows(7, 5, 1), 0.3).detach()) == pytest.approx(expected, abs=1e-6)


def test_among_earlier_is_lightlys_memory_bank() -> None:
    queries, keys = rows(7, 5, 0), rows(7, 5, 1)
    criterion = NTXentLoss(0.3, memory_bank_size=(20, 5))
    losses = [among_earlier(queries, keys, criterion.memory_bank.bank.clone(), 0.3), criterion(queries, keys)]
    torch.testing.assert_close(*losses, atol=1e-6, rtol=0)
    ours, theirs = (torch.autograd.grad(loss, queries) for loss in losses)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_further_keys_of_a_frame_are_negatives() -> None:
    """As if they were among the earlier ones, each for its own frame."""
    queries, keys, earlier = rows(4, 5, 0), rows(4, 3 * 5, 1).view(4, 3, 5), torch.from_numpy(unit(rows(6, 5, 2)))
    q, k, n = unit(queries), unit(keys), earlier.numpy()
    scores = [np.concatenate([k[i] @ q[i], n @ q[i]]) / 0.2 for i in range(4)]
    expected = np.mean([np.log(np.exp(score).sum()) - score[0] for score in scores])
    assert float(among_earlier(queries, keys, earlier, 0.2).detach()) == pytest.approx(expected, abs=1e-6)
