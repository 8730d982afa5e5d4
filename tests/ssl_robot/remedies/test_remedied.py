"""A method with further tasks beside it."""

from collections.abc import Sequence
from dataclasses import fields

import pytest
import torch
from torch import Tensor, nn

import ssl_robot.remedies
from ssl_robot import catalogue
from ssl_robot.methods import Drawn, Loss, Method, Objective
from ssl_robot.methods.dino import Dino
from ssl_robot.methods.mocov2 import Mocov2
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.methods.swav import Swav
from ssl_robot.recipes import Recipe
from ssl_robot.remedies import Remedied, Task
from ssl_robot.training import Training, optimizer
from ssl_robot.views import Views

NAMES = catalogue.names(ssl_robot.remedies)
METHODS = [
    Simsiam(width=16),
    Mocov2(hidden=16, width=8, queue=32, symmetric=False),
    Dino(hidden=16, bottleneck=8, classes=12),
]


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def both(method: Method, weights: dict[str, float] | None = None) -> tuple[Objective, Remedied]:
    """A method alone, and the same one with every remedy."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        alone = method.build(network(), 8)
        torch.manual_seed(0)
        objective = method.build(network(), 8)
        recipe = Recipe.named("simsiam")
        made = {name: catalogue.found(ssl_robot.remedies, name)(hidden=16) for name in NAMES}
        tasks = {name: item.build(8, recipe) for name, item in made.items()}
    return alone, Remedied(objective, tasks, weights or {name: item.weight for name, item in made.items()})


def shown(b: int = 16) -> tuple[list[Tensor], list[Drawn]]:
    views = Views(Recipe.named("simsiam"), 16, 0)
    frames = torch.randint(0, 256, (b, 20, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    made = [views(frames, torch.arange(b), 0, view) for view in range(2)]
    return [view.images for view in made], [view.parameters for view in made]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_the_loss_is_the_methods_and_the_weighed_tasks(method: Method) -> None:
    alone, remedied = both(method, {name: 0.3 + i for i, name in enumerate(NAMES)})
    views, drawn = shown()
    base, loss = alone(views, drawn), remedied(views, drawn)
    tasks = {name: float(loss.parts[name]) for name in NAMES}
    assert all(value > 0 for value in tasks.values())
    expected = float(base.total.detach()) + sum((0.3 + i) * tasks[name] for i, name in enumerate(NAMES))
    assert float(loss.total.detach()) == pytest.approx(expected, abs=1e-5)
    assert loss.parts["loss"] == loss.total.detach()
    torch.testing.assert_close(loss.embeddings, base.embeddings)


def test_gradients_are_the_methods_where_tasks_weigh_nothing() -> None:
    alone, remedied = both(METHODS[0], dict.fromkeys(NAMES, 0.0))
    views, drawn = shown()
    alone(views, drawn).total.backward()
    remedied(views, drawn).total.backward()
    for expected, parameter in zip(alone.parameters(), remedied.objective.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


def test_a_one_sided_methods_second_view_is_seen_once_for_the_task() -> None:
    """MoCo v2 has features of the first view only; AugSelf needs the second's, and E-SSL a turned first one."""
    _, remedied = both(METHODS[1])
    passes: list[Tensor] = []
    remedied.backbone.register_forward_hook(lambda _, given, __: passes.append(given[0]))
    views, drawn = shown()
    remedied(views, drawn)
    assert len(passes) == 3
    assert [any(view is given for given in passes) for view in views] == [True, True]


def test_what_happens_around_a_step_is_the_methods() -> None:
    called: list[tuple[str, float]] = []

    class Noting(Objective):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Linear(2, 2)

        def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
            assert self.together
            return Loss(views[0].sum(), {}, views[0], [])

        def begin(self, epoch: float, epochs: int) -> None:
            called.append(("begin", epoch / epochs))

        def trim(self, epoch: float) -> None:
            called.append(("trim", epoch))

        def constant_rate(self) -> list[nn.Parameter]:
            return [self.backbone.bias]

    inner = Noting()
    remedied = Remedied(inner, {}, {})
    remedied.together = True
    remedied.begin(1, 4)
    remedied.trim(2)
    remedied([torch.ones(1)])
    assert called == [("begin", 0.25), ("trim", 2)]
    assert remedied.constant_rate() == [inner.backbone.bias]
    assert remedied.backbone is inner.backbone


@pytest.mark.parametrize("method", [*METHODS, Swav(hidden=16, width=8, prototypes=6)], ids=lambda m: type(m).__name__)
def test_every_weight_is_there_once(method: Method) -> None:
    """For the optimiser, and in what is saved."""
    alone, remedied = both(method)
    tasks = sum(parameter.numel() for task in remedied.tasks.values() for parameter in task.parameters())
    count = [sum(parameter.numel() for parameter in part.parameters()) for part in (alone, remedied)]
    assert count[1] == count[0] + tasks
    state = remedied.state_dict()
    places = [value.data_ptr() for value in state.values() if value.numel()]
    assert len(set(places)) == len(places)
    assert {name.partition(".")[0] for name in state} == {"objective", "tasks"}
    groups = optimizer(remedied, Training()).param_groups
    chosen = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(chosen) == sorted(id(parameter) for parameter in remedied.parameters() if parameter.requires_grad)


def test_the_tasks_rate_decays_like_the_backbones() -> None:
    _, remedied = both(METHODS[0])
    constant = [group for group in optimizer(remedied, Training()).param_groups if not group["decays"]]
    expected = {id(parameter) for parameter in remedied.objective.predictor.parameters()}
    assert {id(parameter) for group in constant for parameter in group["params"]} == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_remedy_has_a_weight_and_explains_its_settings(name: str) -> None:
    cls = catalogue.found(ssl_robot.remedies, name)
    assert "weight" in {item.name for item in fields(cls)}
    assert all(f"{item.name}: " in str(cls.__doc__) for item in fields(cls))
    assert "https://" in str(catalogue.module(ssl_robot.remedies, name).__doc__)
    assert isinstance(cls().build(8, Recipe.named("simsiam")), Task)
