from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ssl_robot.heads import Last, exact, mlp, through


@pytest.mark.parametrize(
    ("last", "norm", "expected"),
    [
        ("linear", True, ["Linear", "BatchNorm1d", "ReLU", "Linear"]),
        ("norm", True, ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]),
        ("plain norm", True, ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]),
        ("linear", False, ["Linear", "ReLU", "Linear"]),
    ],
)
def test_layers_are_those_asked_for(last: Last, norm: bool, expected: list[str]) -> None:
    head = mlp([6, 5, 4], last, norm)
    assert [type(layer).__name__ for layer in head] == expected
    if last != "linear":
        assert head[-1].affine == (last == "norm")


@given(widths=st.lists(st.integers(1, 20), min_size=2, max_size=5), norm=st.booleans())
def test_layers_follow_the_widths_and_biases_the_norms(widths: list[int], norm: bool) -> None:
    linear = [layer for layer in mlp(widths, norm=norm) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(widths))
    assert [layer.bias is None for layer in linear] == [norm] * (len(widths) - 2) + [False]


def test_another_activation_takes_the_place_of_relu() -> None:
    kinds = [type(layer) for layer in mlp([4, 4, 4, 4], norm=False, activation=nn.GELU)]
    assert kinds == [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]


class _Noted(nn.Module):
    """The mean of each row, and a note of how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, values: Tensor) -> Tensor:
        self.seen.append(tuple(values.shape))
        return values.mean(tuple(range(1, values.ndim)), keepdim=True)


@pytest.mark.parametrize(
    ("together", "seen"),
    [(False, [(2, 8), (2, 8), (2, 4), (2, 8), (2, 8)]), (True, [(4, 8), (2, 4), (4, 8)])],
)
def test_neighbours_of_a_size_go_through_together(together: bool, seen: list[tuple[int, int]]) -> None:
    """What comes out is in the order of what goes in."""
    module, inputs = _Noted(), [torch.randn(2, d) for d in (8, 8, 4, 8, 8)]
    outputs = through(module, inputs, together)
    assert module.seen == seen
    for output, values in zip(outputs, inputs, strict=True):
        torch.testing.assert_close(output, values.mean(1, keepdim=True))


def test_batch_norm_sees_together_what_goes_through_together() -> None:
    norm, first = nn.BatchNorm1d(3), torch.randn(16, 3)
    second = first * 3 + 2
    alone, both = (through(norm, [first, second], together) for together in (False, True))
    torch.testing.assert_close(alone[0], alone[1], atol=1e-4, rtol=1e-4)
    assert float((both[0] - both[1]).detach().abs().mean()) > 0.5
    torch.testing.assert_close(torch.cat(both).mean(0).detach(), torch.zeros(3), atol=1e-5, rtol=0)


def test_exact_losses_are_computed_in_full_precision() -> None:
    """Whatever goes on around them, and of halves too."""

    @exact
    def product(a: Tensor, b: Tensor, scale: float) -> Tensor:
        return scale * (a @ b.T)

    a, b = torch.randn(4, 64), torch.randn(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ b.T).dtype == torch.bfloat16
        full = product(a, b, 2.0)
        halves = product(a.bfloat16(), b.bfloat16(), 2.0)
    assert full.dtype == halves.dtype == torch.float32
    assert torch.equal(full, 2 * (a @ b.T))
    assert torch.equal(halves, 2 * (a.bfloat16().float() @ b.bfloat16().float().T))
