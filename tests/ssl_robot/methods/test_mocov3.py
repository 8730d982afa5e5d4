import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from lightly.models.modules.heads import MoCoProjectionHead
from lightly.models.utils import update_momentum
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_robot import backbones
from ssl_robot.methods import Objective
from ssl_robot.methods.mocov3 import Mocov3

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]


def contrasted(queries: NDArray[np.float64], keys: NDArray[np.float64], temperature: float) -> float:
    """Algorithm 1 of the paper: the cross-entropy of the right key, times twice the temperature."""
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    logits = queries @ keys.T / temperature
    own = np.diag(logits) - np.log(np.exp(logits).sum(1))
    return float(-own.mean() * 2 * temperature)


def numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().numpy()


def moved(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_loss_is_the_papers(built: Build, vectors: Vectors, temperature: float) -> None:
    """The sum of both directions."""
    objective, views = built(Mocov3(hidden=32, width=8, temperature=temperature), 16), vectors(12, 16)
    moved(objective.projector)
    q = [numbers(objective.predictor(objective.projector(view))) for view in views]
    k = [numbers(objective.teacher(view)) for view in views]
    expected = contrasted(q[0], k[1], temperature) + contrasted(q[1], k[0], temperature)
    assert float(objective(views).total.detach()) == pytest.approx(expected, abs=1e-5)


def test_gradients_are_those_of_the_papers_loss(built: Build, vectors: Vectors, same: Callable[..., None]) -> None:
    objective, views = built(Mocov3(hidden=32, width=8), 16), vectors(12, 16)
    moved(objective.projector)
    losses, criterion = [], nn.CrossEntropyLoss()
    for i in range(2):
        q = nn.functional.normalize(objective.predictor(objective.projector(views[i])), dim=1)
        with torch.no_grad():
            k = nn.functional.normalize(objective.teacher(views[1 - i]), dim=1)
        losses.append(criterion(q @ k.T / 0.2, torch.arange(12)) * 2 * 0.2)
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    same(objective(views).total, torch.stack(losses).sum(), [*views, *learning])


def test_the_slow_copy_stops_at_the_end(built: Build) -> None:
    objective = built(Mocov3(hidden=32, width=8, keep=0.5), 16)
    expected = copy.deepcopy(objective.teacher[1])
    moved(objective.projector)
    for epoch, keep in ((0, 0.5), (1, 0.75), (2, 1.0)):
        objective.begin(epoch, 2)
        update_momentum(objective.projector, expected, keep)
        for ours, theirs in zip(objective.teacher[1].parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_heads_have_the_papers_size(built: Build, count: Callable[[nn.Module], int]) -> None:
    """768-4096-4096-256 for ViT-B; lightly's last batch norm has a scale and an offset, the authors' has not."""
    objective = built(Mocov3.made("paper", {}), 768)
    by_hand = 768 * 4096 + 4096 * 4096 + 2 * 2 * 4096 + 4096 * 256
    theirs = MoCoProjectionHead(768, 4096, 256, num_layers=3, batch_norm=True)
    assert count(objective.projector) == by_hand == count(theirs) - 2 * 256
    assert count(objective.predictor) == 256 * 4096 + 2 * 4096 + 4096 * 256  # the last layer has no bias


def test_head_computes_what_lightlys_computes(built: Build, vectors: Vectors) -> None:
    ours = built(Mocov3(hidden=32, width=8, layers=3), 16).projector
    theirs = MoCoProjectionHead(16, 32, 8, num_layers=3, batch_norm=True)
    missing = theirs.layers.load_state_dict(ours.state_dict(), strict=False).missing_keys
    assert missing == ["7.weight", "7.bias"]
    view = vectors(12, 16)[0]
    torch.testing.assert_close(ours(view), theirs(view), atol=1e-6, rtol=0)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_transformers_patch_projection_stays_as_it_was_drawn(built: Build, freeze: bool) -> None:
    """And no other part of it; its predictor ends in a batch norm."""
    network = backbones.build("timm:test_vit", 0)
    objective = built(Mocov3(hidden=32, width=8, freeze_patches=freeze), backbones.width(network, 32), network)
    still = {name for name, parameter in objective.backbone.named_parameters() if not parameter.requires_grad}
    assert bool(still) == freeze
    assert all("patch_embed" in name for name in still)
    assert isinstance(objective.predictor[-1], nn.BatchNorm1d)
