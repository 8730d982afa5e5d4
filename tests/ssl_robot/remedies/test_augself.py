from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_robot.errors import InputError
from ssl_robot.methods import Drawn
from ssl_robot.recipes import Recipe, names
from ssl_robot.remedies import Task
from ssl_robot.remedies.augself import Augself
from ssl_robot.views import Views

# Views of which only the second is ever turned, always by the same: turned against not turned, 45 degrees at most.
ONE_SIDED: dict[str, Any] = {"rotation": {"p": 0.0, "degrees": 45}, "views": [{}, {"rotation": {"p": 1.0}}]}
ALWAYS: dict[str, Any] = {"flip": {"p": 0.0}, "views": [{}, {"flip": {"p": 1.0}}]}


def drawn(recipe: Recipe, count: int = 2000) -> list[Drawn]:
    """What a batch of the first step's views is made of."""
    views = Views(recipe, 16, seed=3)
    return [views.draw(torch.arange(count), 0, view) for view in range(2)]


def differences(task: Task, parts: Sequence[Drawn]) -> Tensor:
    """Of all parameters that the task asks for, side by side."""
    first, second = (torch.cat([part[name] for name in task.names], 1) for part in parts)
    return first - second


class Says(nn.Module):
    """A head that knows its answer."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, features: Tensor) -> Tensor:
        return self.answer


def cost(task: Task, parts: Sequence[Drawn], answer: Tensor) -> float:
    features = [torch.zeros(len(answer), 8) for _ in range(2)]
    task.head = Says(answer)
    return float(task(nn.Identity(), features, features, parts))


RECIPES: list[Any] = [*(name for name in names() if name != "none"), ONE_SIDED, ALWAYS]


def made(recipe: Any) -> Recipe:
    return Recipe.named(recipe) if isinstance(recipe, str) else Recipe.from_dict(recipe)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_what_is_asked_for_is_the_difference_of_what_was_drawn(recipe: Any) -> None:
    """First view less second, each parameter on a scale of its own."""
    task, parts = Augself().build(8, made(recipe)), drawn(made(recipe))
    wanted = differences(task, parts)
    scale = wanted.square().mean(0).sqrt()
    assert bool((scale > 0).all())
    assert cost(task, parts, wanted / scale) < 0.01
    assert cost(task, parts, -wanted / scale) == pytest.approx(4, abs=0.3)
    assert cost(task, parts, wanted / task.get_buffer("scale")) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_to_say_that_nothing_differs_costs_one(recipe: Any) -> None:
    """In every parameter, also where the two views draw it differently: none drowns the others."""
    task, parts = Augself().build(8, made(recipe)), drawn(made(recipe))
    costs = (differences(task, parts) / task.get_buffer("scale")).square().mean(0)
    torch.testing.assert_close(costs, torch.ones_like(costs), atol=0.15, rtol=0)
    assert cost(task, parts, torch.zeros(2000, len(costs))) == pytest.approx(1, abs=0.1)


def test_a_parameter_that_never_differs_costs_nothing() -> None:
    recipe = Recipe.from_dict({"crop": {}, "flip": {"p": 0.0}})
    task, parts = Augself(of=("flip",)).build(8, recipe), drawn(recipe)
    assert cost(task, parts, torch.zeros(2000, 1)) == 0


def test_time_is_not_asked_for() -> None:
    """It says which frame is shown, not how."""
    assert "time" in Recipe.named("time").names
    assert "time" not in Augself().build(8, Recipe.named("time")).names


def test_only_what_is_named_is_asked_for() -> None:
    recipe = Recipe.named("simsiam")
    task, parts = Augself(of=("hue", "crop")).build(8, recipe), drawn(recipe)
    assert task.names == ("crop", "hue")
    assert differences(task, parts).shape[1] == 4 + 1 == task.head[-1].out_features


@pytest.mark.parametrize("of", [("rotation",), ("hue", "rotation"), ("time",)])
def test_what_the_views_do_not_draw_is_refused(of: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=rf"names {of[-1]}, but must name .*: crop, flip"):
        Augself(of=of).build(8, Recipe.named("time"))


def test_views_that_draw_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="it has none, choose another --recipe"):
        Augself().build(8, Recipe.named("none"))


def counted(calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def backbone(view: Tensor) -> Tensor:
        calls.append(view)
        return view.mean((2, 3))

    return backbone


@pytest.mark.parametrize("there", [0, 1, 2, 3])
def test_features_are_computed_only_where_the_method_made_none(there: int) -> None:
    recipe = Recipe.named("crop")
    task, parts, calls = Augself().build(3, recipe), drawn(recipe, 16), list[Tensor]()
    views = [torch.randn(16, 3, 8, 8) for _ in range(3)]
    backbone: Any = counted(calls)
    features = [view.mean((2, 3)) for view in views[:there]]
    loss = task(backbone, views, list(features), parts)
    assert [any(view is call for call in calls) for view in views] == [there < 1, there < 2, False]
    torch.testing.assert_close(task(backbone, views, [view.mean((2, 3)) for view in views[:2]], parts), loss)


def test_gradients_reach_the_head_and_both_views() -> None:
    recipe = Recipe.named("simsiam")
    task, parts = Augself(hidden=32).build(8, recipe), drawn(recipe, 16)
    features = [torch.randn(16, 8, requires_grad=True) for _ in range(2)]
    task(nn.Identity(), [], list(features), parts).backward()
    for values in [*features, *task.parameters()]:
        assert values.grad is not None
        assert bool(values.grad.any())
