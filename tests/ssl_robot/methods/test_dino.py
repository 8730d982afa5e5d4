from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import Tensor, nn

from ssl_robot.methods import Objective
from ssl_robot.methods.dino import Dino, Head

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]
Same = Callable[..., None]

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")  # lightly's own
METHOD = Dino(hidden=32, bottleneck=8, classes=20)


def moved(objective: Objective) -> None:
    """Larger weights, which differ from the slow copy's, so that the classes do too."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))


def learning(objective: Objective) -> list[nn.Parameter]:
    return [parameter for parameter in objective.parameters() if parameter.requires_grad]


def test_losses_gradients_and_centre_are_lightlys_step_by_step(built: Build, vectors: Vectors, same: Same) -> None:
    objective = built(METHOD, 16)
    moved(objective)
    criterion = DINOLoss(20, warmup_teacher_temp_epochs=1)
    for step in range(4):
        views = vectors(12, 16, seed=step)
        student = [objective.head(view) for view in views]
        with torch.no_grad():
            teacher = [objective.teacher(view) for view in views]
        expected = criterion(teacher, student)
        same(objective(views).total, expected, [*views, *learning(objective)])
        torch.testing.assert_close(objective.centre, criterion.center[0, 0], atol=1e-6, rtol=0)
    assert float(objective.centre.abs().max()) > 0.01


def test_multi_crop_is_lightlys(built: Build, pictures: Vectors, pooled: nn.Module, same: Same) -> None:
    """The slow copy sees the large views only."""
    objective, views = built(METHOD, 12, pooled), pictures(8, [8, 8, 4, 4, 4])
    moved(objective)
    features = [pooled(view) for view in views]
    with torch.no_grad():
        teacher = [objective.teacher[1](part) for part in features[:2]]
    expected = DINOLoss(20)(teacher, [objective.head(part) for part in features])
    same(objective(views).total, expected, [*views, *learning(objective)])


def test_temperatures_and_centre_are_the_methods(built: Build, vectors: Vectors) -> None:
    method = Dino(hidden=32, bottleneck=8, classes=20, temperature=0.3, teacher_temperature=0.2, centre=0.6)
    objective, criterion = built(method, 16), DINOLoss(20, 0.2, 0.2, 1, 0.3, 0.6)
    moved(objective)
    for step in range(2):
        views = vectors(12, 16, seed=step)
        with torch.no_grad():
            teacher, student = ([network(view) for view in views] for network in (objective.teacher, objective.head))
        expected = criterion(teacher, student)
        torch.testing.assert_close(objective(views).total, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("bn", [False, True])
def test_head_computes_what_lightlys_computes(vectors: Vectors, same: Same, bn: bool) -> None:
    """Lightly's last layer is weight-normalised with length 1, ours has rows of that length."""
    ours, theirs, view = Head([16, 32, 32, 8, 20], bn), DINOProjectionHead(16, 32, 8, 20, bn), vectors(12, 16)[0]
    theirs.layers.load_state_dict(ours.mlp.state_dict())
    theirs.last_layer.weight_v.data.copy_(ours.last.weight)
    torch.testing.assert_close(ours(view), theirs(view), atol=1e-6, rtol=0)
    mix = torch.randn(12, 20, generator=torch.Generator().manual_seed(4))
    wanted = [(ours(view) * mix).sum(), (theirs(view) * mix).sum()]
    one, other = (
        torch.autograd.grad(total, [view, weight])
        for total, weight in zip(wanted, (ours.last.weight, theirs.last_layer.weight_v), strict=True)
    )
    for our, their in zip(one, other, strict=True):
        torch.testing.assert_close(our, their, atol=1e-5, rtol=1e-4)


def test_head_has_the_papers_size(count: Callable[[nn.Module], int]) -> None:
    """2048-2048-2048-256 with biases, and 65,536 directions; lightly counts their lengths, which are fixed, too."""
    method = Dino.made("paper", {})
    with torch.device("meta"):
        head = Head([2048, method.hidden, method.hidden, method.bottleneck, method.classes], method.bn)
        theirs = DINOProjectionHead(2048, 2048, 256, 65_536)
    by_hand = 2 * (2048 * 2048 + 2048) + 2048 * 256 + 256 + 256 * 65_536
    assert count(head) == by_hand == count(theirs) - 65_536


@pytest.mark.parametrize(("epoch", "moves"), [(0.4, False), (0.5, True)])
def test_the_last_layer_does_not_move_at_first(built: Build, vectors: Vectors, epoch: float, moves: bool) -> None:
    objective = built(METHOD, 16)
    objective(vectors(12, 16)).total.backward()
    objective.trim(epoch)
    assert (objective.head.last.weight.grad is not None) == moves
    assert all(parameter.grad is not None for parameter in objective.head.mlp.parameters())


@pytest.mark.parametrize("bn", [False, True])
def test_embeddings_are_watched_where_batch_norm_spreads_them(built: Build, vectors: Vectors, bn: bool) -> None:
    objective, views = built(replace(METHOD, bn=bn), 16), vectors(12, 16)
    expected = [objective.head.embed(view) if bn else view for view in views[:2]]
    torch.testing.assert_close(objective(views).embeddings, torch.stack(expected).detach(), atol=1e-6, rtol=0)
