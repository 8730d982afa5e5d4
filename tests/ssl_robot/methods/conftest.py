"""What the methods' tests share: heads on vectors, repeatable inputs, and when two computations are the same."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from ssl_robot.methods import Method, Objective

ATOL = 1e-6


def _built(method: Method, width: int, backbone: nn.Module | None = None) -> Objective:
    """An objective with repeatable weights; without a backbone, on vectors that are handed on as they are."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return method.build(nn.Identity() if backbone is None else backbone, width)


@pytest.fixture(scope="session")
def built() -> Callable[..., Objective]:
    return _built


def _vectors(b: int, d: int, views: int = 2, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(b, d, generator=generator, requires_grad=True) for _ in range(views)]


@pytest.fixture(scope="session")
def vectors() -> Callable[..., list[Tensor]]:
    return _vectors


def _pictures(b: int, sides: Sequence[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(b, 3, side, side, generator=generator, requires_grad=True) for side in sides]


@pytest.fixture(scope="session")
def pictures() -> Callable[..., list[Tensor]]:
    return _pictures


@pytest.fixture
def pooled() -> nn.Module:
    """A backbone without weights: a picture of any size as 12 numbers."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())


def _same(ours: Tensor, theirs: Tensor, wanted: Sequence[Tensor], atol: float = ATOL) -> None:
    """Two losses and their gradients."""
    torch.testing.assert_close(ours, theirs.reshape(ours.shape), atol=atol, rtol=1e-6)
    gradients = [torch.autograd.grad(total.sum(), wanted, retain_graph=True) for total in (ours, theirs)]
    for our, their in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their, atol=atol, rtol=1e-4)


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    return _same


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="session")
def count() -> Callable[[nn.Module], int]:
    return _count
