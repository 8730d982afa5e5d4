import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import ssl_robot.methods
from ssl_robot import backbones, catalogue
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.features import changing
from ssl_robot.methods import Objective
from ssl_robot.methods.barlow_twins import BarlowTwins
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.methods.vicreg import Vicreg
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself
from ssl_robot.remedies.essl import Essl
from ssl_robot.training import Training, alike, optimizer, schedule

METHODS = pytest.mark.parametrize("method", catalogue.names(ssl_robot.methods))
KINDS = pytest.mark.parametrize("kind", ["sgd", "lars", "adamw"])


def objective(predictor_lr: Any = "constant") -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = backbones.build("small", 0)
        return Simsiam(width=32, predictor_lr=predictor_lr).build(network, 128)


def pushed(made: Objective) -> None:
    """Give every parameter a gradient."""
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def names(made: Objective, group: dict[str, Any]) -> set[str]:
    chosen = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in made.named_parameters() if id(parameter) in chosen}


@KINDS
@pytest.mark.parametrize("spare", [True, False])
def test_groups_are_what_decays_and_what_is_spared(kind: Any, spare: bool) -> None:
    made = objective()
    groups = optimizer(made, Training(optimizer=kind, spare=spare, weight_decay=0.1)).param_groups
    assert len(groups) == (4 if spare else 2)
    for group in groups:
        for name in names(made, group):
            assert group["decays"] != name.startswith("predictor."), name
            assert group["spared"] == (spare and dict(made.named_parameters())[name].ndim < 2), name
        assert group["weight_decay"] == (0 if group["spared"] else 0.1)
    together = [name for group in groups for name in names(made, group)]
    assert sorted(together) == sorted(dict(made.named_parameters()))


@KINDS
def test_what_does_not_learn_is_in_no_group(kind: Any) -> None:
    made = objective()
    made.predictor.requires_grad_(False)
    groups = optimizer(made, Training(optimizer=kind)).param_groups
    assert not any(name.startswith("predictor.") for group in groups for name in names(made, group))


def stepped(made: Objective, training: Training, lr: float) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Each parameter before and after a step, with its gradient."""
    learner = optimizer(made, training)
    for group in learner.param_groups:
        group["lr"] = lr
    pushed(made)
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    learner.step()
    return {
        name: (before[name], parameter.detach(), parameter.grad)
        for name, parameter in made.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("decay", [1e-4, 0.0])
def test_lars_steps_by_a_share_of_each_weights_length(decay: float) -> None:
    """You 2017, equation 6, with trust .001: w - lr .001 |w| / (|g| + decay |w|) (g + decay w); also without decay."""
    training = Training(optimizer="lars", weight_decay=decay, spare=True, momentum=0.9)
    for name, (before, after, gradient) in stepped(objective(), training, 0.7).items():
        if before.ndim < 2:
            expected = before - 0.7 * gradient
        else:
            local = 0.001 * before.norm() / (gradient.norm() + decay * before.norm())
            expected = before - 0.7 * local * (gradient + decay * before)
        torch.testing.assert_close(after, expected, atol=1e-6, rtol=1e-5, msg=name)


def test_lars_adapts_all_where_nothing_is_spared() -> None:
    """SwAV's: norms and biases too. What has no length yet moves by its gradient."""
    training = Training(optimizer="lars", weight_decay=1e-6)
    for name, (before, after, gradient) in stepped(objective(), training, 0.7).items():
        local = 0.001 * before.norm() / (gradient.norm() + 1e-6 * before.norm()) if before.norm() > 0 else 1.0
        torch.testing.assert_close(after, before - 0.7 * local * (gradient + 1e-6 * before), msg=name)


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    """First step: the rate in each direction, plus the decayed share, of what is not spared."""
    training = Training(optimizer="adamw", weight_decay=0.3, spare=True)
    for name, (before, after, gradient) in stepped(objective(), training, 0.01).items():
        shrunk = before * (1 - 0.01 * 0.3) if before.ndim >= 2 else before
        expected = shrunk - 0.01 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(after, expected, atol=1e-6, rtol=1e-5, msg=name)


@KINDS
def test_weight_decay_goes_to_its_end_along_a_cosine(kind: Any) -> None:
    """DINO: .04 to .4; spared groups stay at none."""
    training = Training(optimizer=kind, weight_decay=0.04, weight_decay_end=0.4, spare=True, epochs=10)
    learner, seen = optimizer(objective(), training), []
    for step in range(40):
        schedule(learner, training, 128, step, 4)
        assert {group["weight_decay"] for group in learner.param_groups if group["spared"]} == {0.0}
        [decay] = {group["weight_decay"] for group in learner.param_groups if not group["spared"]}
        seen.append(decay)
    expected = [0.4 - 0.36 * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    assert seen == pytest.approx(expected)
    assert seen[0] == pytest.approx(0.04)


def test_weight_decay_stays_where_no_end_is_given() -> None:
    training = Training(weight_decay=0.04, epochs=10)
    learner = optimizer(objective(), training)
    schedule(learner, training, 128, 30, 4)
    assert {group["weight_decay"] for group in learner.param_groups} == {0.04}


@pytest.mark.parametrize(("predictor_lr", "constant"), [("constant", True), ("cosine", False)])
def test_rates_warm_up_and_then_decay(predictor_lr: str, constant: bool) -> None:
    training = Training(lr=0.8, warmup=2.5, epochs=10)
    learner = optimizer(objective(predictor_lr), training)
    for step in range(40):
        returned = schedule(learner, training, 512, step, 4)
        warm = min(1, (step + 1) / 10)
        cosine = (1 + math.cos(math.pi * max(0, step - 10) / 30)) / 2  # begins when the warm-up ends
        rates = {group["decays"]: group["lr"] for group in learner.param_groups}
        assert rates[True] == pytest.approx(0.8 * 2 * warm * cosine)
        assert returned == rates[True]
        assert (False in rates) == constant
        if constant:
            assert rates[False] == pytest.approx(0.8 * 2 * warm)


def test_without_warm_up_the_first_step_has_the_whole_rate() -> None:
    training = Training(lr=0.05, warmup=0)
    learner = optimizer(objective(), training)
    assert schedule(learner, training, 256, 0, 4) == pytest.approx(0.05)


@pytest.mark.parametrize(("clip", "expected"), [(0.05, 0.05), (None, None), (1e6, None)])
def test_clipping_shortens_the_gradient_of_a_step(
    resets: FrameStore, monkeypatch: pytest.MonkeyPatch, clip: float | None, expected: float | None
) -> None:
    """Each parameter's to the length that is allowed; shorter ones stay. What is recorded is from before."""
    lengths: list[float] = []  # of the longest parameter's
    made = torch.optim.SGD.step

    def noted(self: torch.optim.SGD, *words: Any) -> Any:
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        lengths.append(max(float(grad.norm()) for grad in grads))
        return made(self, *words)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    training = Training(epochs=1, batch_size=16, size=16, device="cpu", precision="fp32", clip=clip, lr=0.0, warmup=0.0)
    pretrain(resets, np.arange(64), Simsiam(width=32), Recipe.named("simsiam"), "small", training, quiet=True)
    assert len(lengths) == 4
    if expected is None:
        assert min(lengths) > 0.06
    else:
        assert lengths == pytest.approx([expected] * 4, rel=1e-4)


def test_more_batches_a_step_than_there_are_frames_is_refused(memory: Any) -> None:
    frames = memory(np.zeros((20, 16, 16, 3), np.uint8))
    training = Training(1, 8, size=16, device="cpu", compiled="no", accumulate=11)
    with pytest.raises(InputError, match=r"20 frames are too few for 11 batches a step.*lower --accumulate"):
        pretrain(frames, np.arange(20), Simsiam(width=8), Recipe.named("none"), "small", training, quiet=True)


def test_what_is_published_together_is_set_together() -> None:
    """Barlow Twins: slow biases took the place of a small scale. VICReg: 100 epochs go with 512 pictures at .3."""
    twins = BarlowTwins.paper
    assert twins.training["lr"] * twins.training["spared_lr"] == pytest.approx(0.0048)
    assert (BarlowTwins.made("paper", {}).scale, BarlowTwins.made("paper", {}).redundancy) == (1.0, 0.0051)
    assert [Vicreg.paper.training[name] for name in ("epochs", "batch_size", "lr")] == [100, 512, 0.3]


@METHODS
def test_what_is_published_draws_for_every_frame(method: str) -> None:
    """The setting of this project's own is none of the papers'."""
    found: Any = catalogue.found(ssl_robot.methods, method)
    assert Training.of(found, "paper", {}).draws == "frame"


def moving(side: int, count: int = 60, colour: int = 200) -> NDArray[np.uint8]:
    """A square that goes once from left to right before gray."""
    images = np.full((count, 40, 40, 3), 90, np.uint8)
    for number, place in enumerate(np.linspace(0, 40 - side, count).round().astype(int)):
        images[number, 20 : 20 + side, place : place + side] = colour
    return images


@pytest.mark.parametrize(("side", "colour"), [(4, 200), (8, 106), (8, 105)])
def test_what_changes_is_where_the_square_was_and_where_it_is(memory: Any, side: int, colour: int) -> None:
    """Of frames half a recording apart it lies at two places; 15 levels are too few to be a change."""
    frames = memory(moving(side, colour=colour))
    expected = 2 * side**2 / 1600 if colour > 105 else 0
    assert changing(frames, np.arange(60)) == pytest.approx(expected)


def test_a_camera_that_moves_changes_everything(memory: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 20, 20, 3), np.uint8)
    assert changing(memory(noise), np.arange(50)) > 0.9
    still = np.broadcast_to(noise[:1], noise.shape).copy()
    assert changing(memory(still), np.arange(50)) == 0


def test_only_rows_that_are_learnt_from_are_compared(memory: Any) -> None:
    images = moving(4)
    images[::2] = 0
    assert changing(memory(images), np.arange(1, 60, 2)) == pytest.approx(2 * 16 / 1600)


@pytest.mark.parametrize(
    ("draws", "side", "asked", "expected"),
    [
        ("auto", 2, False, True),
        ("auto", 8, False, False),
        ("batch", 8, False, True),
        ("frame", 2, False, False),
        ("auto", 2, True, False),
        ("batch", 2, True, False),
    ],
)
def test_draws_are_shared_where_little_moves(memory: Any, draws: Any, side: int, asked: bool, expected: bool) -> None:
    assert alike(memory(moving(side)), np.arange(60), Training(draws=draws), asked) == expected


def test_a_remedy_that_asks_what_was_drawn_keeps_draws_apart(memory: Any, tmp_path: Path) -> None:
    """Where little moves, E-SSL shares draws as its method does, AugSelf does not."""
    training = Training(1, 16, size=16, device="cpu", precision="fp32", on_collapse="warn")
    for remedies, expected in (([Essl()], "batch"), ([Essl(), Augself()], "frame")):
        out, method = tmp_path / expected, Simsiam(width=8)
        frames, recipe = memory(moving(2)), Recipe.named("crop")
        pretrain(frames, np.arange(60), method, recipe, "small", training, out, quiet=True, remedies=remedies)
        assert json.loads((out / "summary.json").read_text())["draws"] == expected
