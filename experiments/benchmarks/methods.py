"""What a step of each method costs, beside the passes through networks that it cannot do without."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import ssl_robot.methods
from ssl_robot import backbones, catalogue
from ssl_robot.experiments.benchmarks.timing import Timed, alternated
from ssl_robot.heap import keep_freed
from ssl_robot.methods import Objective
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training, optimizer

BASE = "simsiam"


@dataclass(frozen=True)
class Plan:
    """What is timed.

    Attributes:
        size: Height and width of the views.
        batch: Frames of a step.
        backbone: The network.
        rounds: How often each method makes a step.
        threads: Of PyTorch.
    """

    size: int = 64
    batch: int = 128
    backbone: str = "small"
    rounds: int = 15
    threads: int = 1


@dataclass
class _Call:
    """One pass through a part of an objective, to be made again.

    Attributes:
        module: The part.
        values: What went in.
        learns: Whether gradients came back.
    """

    module: nn.Module
    values: Tensor
    learns: bool


def run(plan: Plan) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of one table."""
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    keep_freed()
    try:
        candidates: dict[str, Callable[[int], int]] = {}
        for name in catalogue.names(ssl_robot.methods):
            step, passes = _candidates(name, plan)
            candidates |= {name: step, _passes(name): passes}
        rows = {row.name: row for row in alternated(candidates, BASE, plan.rounds, "methods")}
    finally:
        torch.set_num_threads(before)
    title = f"a step of '{plan.backbone}' at {plan.size} px, batches of {plan.batch}, {plan.threads} thread(s)"
    kept = [row for name, row in rows.items() if _passes(name) in rows]
    noted = [replace(row, note=f"{row.median_s / rows[_passes(row.name)].median_s:.2f} of its passes") for row in kept]
    return [(title, BASE, noted)]


def _passes(name: str) -> str:
    return f"{name}, its passes"


def _candidates(name: str, plan: Plan) -> tuple[Callable[[int], int], Callable[[int], int]]:
    """A whole step, and the same passes through the same networks with nothing around them."""
    method: Any = catalogue.found(ssl_robot.methods, name)()
    recipe, training = Recipe.named(method.small.recipe), Training.of(type(method), "small", {})
    backbone = backbones.build(plan.backbone, 0)
    objective: Objective = method.build(backbone, backbones.width(backbone, plan.size)).train()
    objective = objective.to(memory_format=torch.channels_last)
    count = len(recipe.views) + len(method.copies(recipe.names))
    views = [_images(plan) for _ in range(count)]
    half, steps = training.half(torch.device("cpu")), optimizer(objective, training)

    def step(turn: int) -> int:
        objective.begin(turn, plan.rounds)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total = objective(views).total
        total.backward()
        objective.trim(turn)
        steps.step()
        steps.zero_grad(set_to_none=True)
        return plan.batch

    calls = _recorded(objective, lambda: step(0))

    def passes(turn: int) -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            for call in calls:
                _again(call)
        steps.zero_grad(set_to_none=True)
        return plan.batch

    return step, passes


def _images(plan: Plan) -> Tensor:
    return torch.rand(plan.batch, 3, plan.size, plan.size).contiguous(memory_format=torch.channels_last)


def _recorded(objective: nn.Module, step: Callable[[], object]) -> list[_Call]:
    """The calls of backbones and heads in a step: of parts that are called as a whole."""
    calls: list[_Call] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        learns = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in module.parameters())
        calls.append(_Call(module, inputs[0].detach().requires_grad_(inputs[0].requires_grad), learns))

    handles = [part.register_forward_pre_hook(note) for part in _parts(objective)]
    step()
    for handle in handles:
        handle.remove()
    return calls


def _parts(objective: nn.Module) -> list[nn.Module]:
    """Children that are networks; lists of them are opened."""
    found: list[nn.Module] = []
    for name, child in objective.named_children():
        lists = isinstance(child, nn.ModuleList) or any(isinstance(part, nn.ModuleList) for part in child.children())
        found += _parts(child) if name != "backbone" and lists else [child]
    return found


def _again(call: _Call) -> None:
    if not call.learns:
        with torch.no_grad():
            call.module(call.values)
        return
    call.values.grad = None
    output = call.module(call.values)
    output.backward(torch.ones_like(output))
