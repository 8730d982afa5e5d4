"""What every method must keep to, whichever there are."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ssl_robot.methods
import ssl_robot.remedies
from ssl_robot import catalogue
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.methods import Loss, Method, Objective
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training, optimizer

NAMES = catalogue.names(ssl_robot.methods)
# Whose views may be smaller than the first ones: the others compare the first two, or copies of the first.
CROPPED = [name for name in NAMES if name not in ("looc", "triplet")]
TINY = {"hidden": 32, "width": 16, "bottleneck": 16, "classes": 24, "prototypes": 12, "queue": 64}
WIDTH = 16

Build = Callable[..., Objective]
every = pytest.mark.parametrize("name", NAMES)


def tiny(name: str, **changes: Any) -> Method:
    """The method with narrow heads."""
    cls = catalogue.found(ssl_robot.methods, name)
    known = {item.name for item in fields(cls)}
    method: Method = cls.made("small", {key: value for key, value in TINY.items() if key in known} | changes)
    return method


def network() -> nn.Module:
    """Convolutions with batch norm."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = [[nn.Conv2d(i, o, 3, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()] for i, o in ((3, 8), (8, WIDTH))]
        return nn.Sequential(*layers[0], *layers[1], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def shown(method: Method, b: int = 16, sides: Sequence[int] = (16, 16), seed: int = 0) -> list[Tensor]:
    """Views of noisy pictures, and those that the method wants besides: alike, but not the same."""
    generator = torch.Generator().manual_seed(seed)
    more = len(method.copies(Recipe.named("simsiam").names))
    coarse = torch.randn(b, 3, 4, 4, generator=generator)
    return [
        nn.functional.interpolate(coarse, size=(side, side)) + 0.3 * torch.randn(b, 3, side, side, generator=generator)
        for side in [*sides, *[sides[1]] * more]
    ]


def begun(objective: Objective, views: Sequence[Tensor]) -> Loss:
    """A step's loss, in the middle of a run."""
    objective.begin(5, 10)
    loss: Loss = objective(views)
    return loss


@every
def test_a_step_gives_a_number_and_what_monitors_watch(built: Build, name: str) -> None:
    method = tiny(name)
    loss = begun(built(method, WIDTH, network()), shown(method))
    assert loss.total.shape == ()
    assert bool(loss.total.isfinite())
    assert loss.parts["loss"] == loss.total.detach()
    assert not any(part.requires_grad for part in loss.parts.values())
    assert loss.embeddings.shape[:2] == (2, 16)
    assert not loss.embeddings.requires_grad
    assert all(part.shape == (16, WIDTH) and part.requires_grad for part in loss.features)


@every
def test_gradients_reach_all_that_learns_and_no_teacher(built: Build, name: str) -> None:
    method = tiny(name)
    objective = built(method, WIDTH, network())
    begun(objective, shown(method)).total.backward()
    for label, parameter in objective.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, label
        assert parameter.requires_grad != label.startswith("teacher."), label
        assert parameter.grad is None or bool(parameter.grad.isfinite().all()), label
    moving = [label for label, p in objective.backbone.named_parameters() if p.grad is not None and p.grad.any()]
    assert moving == [label for label, _ in objective.backbone.named_parameters()]


@every
def test_thirty_steps_make_the_loss_smaller(built: Build, name: str) -> None:
    """On the same pictures, as the queues and centres were at the beginning."""
    method = tiny(name)
    objective = built(method, WIDTH, network())
    views, buffers = shown(method, 32), {key: value.clone() for key, value in objective.named_buffers()}
    learner = optimizer(objective, Training(optimizer="adamw", spare=True))
    for group in learner.param_groups:
        group["lr"] = 3e-3
    losses = []
    for step in range(31):
        for key, value in objective.named_buffers():
            value.copy_(buffers[key])
        objective.begin(5 + step / 100, 10)
        loss = objective(views).total
        losses.append(float(loss.detach()))
        learner.zero_grad()
        loss.backward()
        objective.trim(5)
        learner.step()
    assert losses[-1] < losses[0] - 0.02 * abs(losses[0])


@every
def test_views_together_are_views_one_by_one_where_no_batch_norm_couples_them(built: Build, name: str) -> None:
    method = tiny(name)
    objective = built(method, WIDTH, network()).eval()
    views, state = shown(method), {key: value.clone() for key, value in objective.state_dict().items()}
    alone = objective(views).total
    objective.load_state_dict(state)
    objective.together = True
    torch.testing.assert_close(objective(views).total, alone, atol=1e-5, rtol=1e-5)


@every
def test_views_together_take_fewer_passes(built: Build, name: str) -> None:
    """One for all of a size, through the backbone or its slow copy."""
    method = tiny(name)
    objective, views = built(method, WIDTH, network()), shown(method)
    passes: list[int] = []
    for module in [objective.backbone, *[part[0] for key, part in objective.named_children() if key == "teacher"]]:
        module.register_forward_hook(lambda *_: passes.append(1))
    begun(objective, views)
    apart = len(passes)
    objective.together = True
    begun(objective, views)
    assert len(passes) - apart < apart


@every
def test_a_saved_objective_goes_on_to_the_bit(built: Build, name: str) -> None:
    """Queue, centre and slow copy included."""
    method = tiny(name)
    first, second = built(method, WIDTH, network()), built(method, WIDTH, network())
    learner = optimizer(first, Training(optimizer="adamw"))
    learner.param_groups[0]["lr"] = 1e-2
    for step in range(3):
        loss = begun(first, shown(method, seed=step)).total
        learner.zero_grad()
        loss.backward()
        learner.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    views = shown(method, seed=9)
    expected = begun(first, views)
    loss = begun(second, views)
    assert torch.equal(loss.total, expected.total)
    for key, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key
    fresh = begun(built(method, WIDTH, network()), views)
    assert not torch.equal(fresh.total, expected.total)


@every
def test_a_run_that_was_stopped_goes_on_to_the_bit(name: str, resets: FrameStore, tmp_path: Path) -> None:
    """With all remedies: everything that changes from step to step is in the checkpoint."""
    remedies = [catalogue.found(ssl_robot.remedies, item)(hidden=16) for item in catalogue.names(ssl_robot.remedies)]
    training = Training(epochs=3, batch_size=32, lr=0.1, size=16, device="cpu", precision="fp32", on_collapse="warn")
    words = (resets, np.arange(64), tiny(name), Recipe.named("simsiam"), "small")
    whole = pretrain(*words, training, tmp_path / "whole", quiet=True, remedies=remedies)
    for early in (True, False):
        stopped = replace(training, max_minutes=1e-9 if early else None)
        parts = pretrain(*words, stopped, tmp_path / "parts", quiet=True, remedies=remedies, resume=not early)
        same = [torch.equal(value, parts.state_dict()[key]) for key, value in whole.state_dict().items()]
        assert all(same) != early
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")


def figures(out: Path) -> list[dict[str, str]]:
    """What was recorded of every epoch, but for how long it took."""
    with (out / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in line.items() if key != "frames_per_s"} for line in csv.DictReader(file)]


@every
def test_three_views_work(built: Build, name: str) -> None:
    method = tiny(name)
    objective = built(method, WIDTH, network())
    loss = begun(objective, shown(method, sides=(16, 16, 16)))
    loss.total.backward()
    assert bool(loss.total.isfinite())


@pytest.mark.parametrize("name", CROPPED)
@pytest.mark.parametrize("sides", [(16, 16, 8, 8), (8, 16, 16)])
def test_small_views_work_wherever_they_stand(built: Build, name: str, sides: Sequence[int]) -> None:
    method = tiny(name)
    objective = built(method, WIDTH, network())
    loss = begun(objective, shown(method, sides=sides))
    loss.total.backward()
    assert bool(loss.total.isfinite())
    assert loss.embeddings.shape[0] == 2


@every
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_frames_that_are_all_the_same_give_numbers(built: Build, name: str, value: float) -> None:
    method = tiny(name)
    objective = built(method, WIDTH, network())
    loss = begun(objective, [torch.full_like(view, value) for view in shown(method)])
    loss.total.backward()
    assert bool(loss.total.isfinite())
    for label, parameter in objective.named_parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all()), label


@every
def test_half_precision_gives_nearly_the_same_loss(built: Build, name: str) -> None:
    method = tiny(name)
    views = shown(method, 32)
    full = begun(built(method, WIDTH, network()), views)
    with torch.autocast("cpu", torch.bfloat16):
        half = begun(built(method, WIDTH, network()), views)
    half.total.backward()
    assert half.total.dtype == torch.float32
    torch.testing.assert_close(half.total, full.total, rtol=0.02, atol=0.01)


@every
@pytest.mark.parametrize("preset", ["small", "paper"])
def test_presets_make_a_method_a_training_and_views(name: str, preset: Any) -> None:
    cls = catalogue.found(ssl_robot.methods, name)
    method, training = cls.made(preset, {}), Training.of(cls, preset, {})
    known = cls.preset(preset)
    assert all(getattr(method, key) == value for key, value in known.method.items())
    assert all(getattr(training, key) == value for key, value in known.training.items())
    assert len(Recipe.named(known.recipe).views) >= 2
    method.copies(Recipe.named(known.recipe).names)


@every
def test_all_that_learns_at_the_papers_settings_is_optimised(built: Build, name: str) -> None:
    """Without the memory for it: VICReg's heads alone would take half a gigabyte."""
    cls = catalogue.found(ssl_robot.methods, name)
    with torch.device("meta"):
        objective = built(cls.made("paper", {}), WIDTH, network())
        objective.begin(0, 100)
    learning = {id(parameter) for parameter in objective.parameters() if parameter.requires_grad}
    groups = optimizer(objective, Training.of(cls, "paper", {})).param_groups
    assert sorted(id(parameter) for group in groups for parameter in group["params"]) == sorted(learning)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("barlow_twins", "vicreg")])
def test_the_papers_settings_make_a_step(built: Build, name: str) -> None:
    method = catalogue.found(ssl_robot.methods, name).made("paper", {})
    objective = built(method, WIDTH, network())
    with torch.no_grad():
        assert bool(begun(objective, shown(method)).total.isfinite())


@every
def test_a_setting_that_it_lacks_is_refused_with_those_it_has(name: str) -> None:
    cls = catalogue.found(ssl_robot.methods, name)
    with pytest.raises(InputError, match=f"^'{name}' has no setting 'temprature': it has .*{fields(cls)[-1].name}"):
        cls.made("small", {"temprature": 1})


@every
def test_changes_go_before_the_preset(name: str) -> None:
    cls = catalogue.found(ssl_robot.methods, name)
    key = next(item.name for item in fields(cls) if item.type in (int, "int"))
    assert getattr(cls.made("paper", {key: 77}), key) == 77
    assert cls.made("paper", {key: 77}) == replace(cls.made("paper", {}), **{key: 77})


@every
def test_every_setting_is_explained_and_has_a_paper(name: str) -> None:
    """What the command's help shows."""
    module = catalogue.module(ssl_robot.methods, name)
    cls = catalogue.found(ssl_robot.methods, name)
    assert "https://" in str(module.__doc__)
    assert all(f"{item.name}: " in str(cls.__doc__) for item in fields(cls))


SLOW = [name for name in NAMES if "keep" in {item.name for item in fields(catalogue.found(ssl_robot.methods, name))}]


def test_methods_with_a_slow_copy_are_found() -> None:
    assert len(SLOW) >= 5


@pytest.mark.parametrize("name", SLOW)
def test_every_part_of_the_slow_copy_follows(built: Build, name: str) -> None:
    """The backbone's as well as the heads'."""
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, WIDTH))
    objective: Any = built(tiny(name, keep=0.75), WIDTH, backbone)
    before = [parameter.clone() for parameter in objective.teacher.parameters()]
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(float(parameter.requires_grad))
    objective.begin(0, 10)
    assert len(before) > len(list(backbone.parameters()))
    for old, new in zip(before, objective.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
