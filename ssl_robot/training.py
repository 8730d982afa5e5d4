"""How long to train and how fast, and the optimiser that follows from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ssl_robot.errors import InputError
from ssl_robot.features import changing
from ssl_robot.frames import Frames
from ssl_robot.methods import Method, Objective

_LEAST = {
    "epochs": 1,
    "batch_size": 2,
    "size": 16,
    "lr": 0,
    "warmup": 0,
    "spared_lr": 0,
    "momentum": 0,
    "weight_decay": 0,
    "weight_decay_end": 0,
    "clip": 1e-6,
    "accumulate": 1,
    "save_minutes": 0,
}
# Median share of the pixels in which two frames differ (``features.changing``): below it, methods learn nothing.
LITTLE = 0.02
MAY_CHANGE = ("max_minutes", "save_minutes", "on_collapse")  # when a run goes on


@dataclass(frozen=True)
class Training:
    """How long and how fast.

    Attributes:
        epochs: Passes over the frames.
        batch_size: Frames that go through the network together, over all devices; fewer if there are fewer. ``auto``
            takes as many as a GPU's memory holds, at most 1,024 and an eighth of the frames; elsewhere 128.
        accumulate: Batches whose gradients are added up before a step. Batch norm sees one batch at a time: to it a
            batch is no larger.
        lr: Learning rate at 256 frames a step; scaled with their number. On a few thousand frames SimSiam needs far
            more than the .05 of ImageNet, or it never learns more than what stands where.
        optimizer: SGD; LARS (You 2017), which keeps large batches stable; or AdamW.
        momentum: Of SGD and LARS.
        weight_decay: On all parameters, as in SimSiam.
        weight_decay_end: Where it goes along a cosine; none: it stays.
        spare: Leave biases and norms out of weight decay, and of what LARS adapts.
        spared_lr: Their rate, as a share of the others'.
        clip: Largest length of each parameter's gradient, as in DINO's code; longer ones are shortened; none: as they
            are.
        warmup: Epochs over which the rate rises from 0.
        size: Height and width of the views.
        seed: Weights, order of the frames and views follow from it.
        on_collapse: Stop, or go on with a warning, when all frames get the same embedding.
        device: ``auto`` takes a GPU if there is one.
        precision: Of the network's arithmetic; ``auto`` takes bf16 where the processor multiplies it natively.
        compiled: Whether views are made by one compiled kernel; ``auto`` does so where there are so many that it saves
            more than the half minute it takes.
        network: Whether the backbone is compiled; worth it for hours on a GPU.
        together: Let the views of a size go through the network as one batch: faster, but batch norm then sees them
            together, which changes what is learnt.
        draws: Whether every frame draws its own views, or all frames of a batch share one draw for each view; ``auto``
            shares where little of the picture moves. There a frame differs from others by less than its views do from
            each other, and nothing is learnt; what is the same for a whole batch, batch norm takes away. Where a remedy
            asks what was drawn, as ``augself``, every frame draws its own.
        sample: Whether a pass shows every frame once, or draws as many so that every episode is as likely.
        weights: How much of a pass each of several recordings makes up, relative to each other; none: as they are long.
        max_minutes: End the run after so long, with what it has learnt; none: when all epochs are done.
        save_minutes: Between two checkpoints.
    """

    epochs: int = 20
    batch_size: int | Literal["auto"] = 128
    accumulate: int = 1
    lr: float = 2.0
    optimizer: Literal["sgd", "lars", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    weight_decay_end: float | None = None
    spare: bool = False
    spared_lr: float = 1.0
    clip: float | None = None
    warmup: float = 1.0
    size: int = 64
    seed: int = 0
    on_collapse: Literal["stop", "warn"] = "stop"
    device: str = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compiled: Literal["auto", "yes", "no"] = "auto"
    network: Literal["eager", "compiled"] = "eager"
    together: bool = False
    draws: Literal["auto", "frame", "batch"] = "auto"
    sample: Literal["frame", "episode"] = "frame"
    weights: tuple[float, ...] = ()
    max_minutes: float | None = None
    save_minutes: float = 5.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, int | float) and (not value >= least or math.isinf(value)):
                raise InputError(f"{name} is {value}, but must be at least {least}.")
        if self.weights and not (min(self.weights) >= 0 and 0 < sum(self.weights) < math.inf):
            raise InputError(f"weights are {self.weights}, but must be numbers from 0, not all of them 0.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}, but must be from 0 to {2**32 - 1}.")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise InputError(f"max_minutes is {self.max_minutes}, but must be above 0.")

    @classmethod
    def of(cls, method: type[Method], preset: Literal["small", "paper"], changes: Mapping[str, Any]) -> Self:
        """What a method's preset asks for, but for some changes."""
        return cls(**{**method.preset(preset).training, **changes})

    def chosen_device(self) -> torch.device:
        """The device to train on.

        Raises:
            InputError: If it is not there.
        """
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            return torch.empty(0, device=self.device).device
        except (AssertionError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            raise InputError(f"There is no device '{self.device}' ({why}): leave out --device.") from None

    def half(self, device: torch.device) -> bool:
        """Whether to compute in bf16: on a CPU without instructions for it, it would be slower."""
        if self.precision != "auto":
            return self.precision == "bf16"
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def alike(frames: Frames, rows: NDArray[np.int64], training: Training, asked: bool) -> bool:
    """Whether all frames of a batch share what is drawn for a view: never where it is asked what was, of each."""
    if training.draws == "frame" or asked:
        return False
    return training.draws == "batch" or changing(frames, rows) < LITTLE


def chances(frames: Frames, rows: NDArray[np.int64], training: Training) -> NDArray[np.float64] | None:
    """How likely each row is to be drawn, relative to each other; none where a pass shows every row once.

    Raises:
        InputError: If there are not as many weights as recordings.
    """
    if training.sample == "frame" and not training.weights:
        return None
    episodes = np.unique(frames.episodes[rows], return_inverse=True)[1]
    each = 1 / np.bincount(episodes)[episodes] if training.sample == "episode" else np.ones(len(rows))
    if training.weights:
        sources = getattr(frames, "sources", np.zeros(len(frames), np.int64))
        count = int(sources[-1]) + 1
        if count != len(training.weights):
            raise InputError(f"There are {len(training.weights)} weights for {count} recordings: give one for each.")
        whole = np.bincount(sources[rows], each, minlength=count)
        each = each * (np.array(training.weights) / np.maximum(whole, 1e-12))[sources[rows]]
    return each


def optimizer(objective: Objective, training: Training) -> torch.optim.Optimizer:
    """An optimiser for what learns, in groups of parameters whose rate decays or stays, and that are spared or not."""
    constant = {id(parameter) for parameter in objective.constant_rate()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in objective.parameters():
        if parameter.requires_grad:
            kind = id(parameter) not in constant, training.spare and parameter.ndim < 2
            groups.setdefault(kind, []).append(parameter)
    listed: list[dict[str, Any]] = [
        {"params": chosen, "decays": decays, "spared": spared, "weight_decay": 0.0 if spared else training.weight_decay}
        for (decays, spared), chosen in groups.items()
    ]
    if training.optimizer == "adamw":
        return torch.optim.AdamW(listed, lr=0.0)
    if training.optimizer == "lars":
        from timm.optim.lars import Lars  # takes longer to load than all the rest

        adapted = [{**group, "always_adapt": not group["spared"]} for group in listed]  # else only with weight decay
        return Lars(adapted, lr=0.0, momentum=training.momentum)
    return torch.optim.SGD(listed, lr=0.0, momentum=training.momentum)


def schedule(optimizer: torch.optim.Optimizer, training: Training, frames: int, step: int, steps: int) -> float:
    """Set rates and weight decay for a step: linear warm-up of all rates, after which some decay along a cosine.

    Args:
        optimizer: What is set.
        training: Rate, epochs and warm-up.
        frames: Frames of a step.
        step: Counts the steps of the run.
        steps: Of an epoch.

    Returns:
        The rate that decays.
    """
    rising, whole = training.warmup * steps, training.epochs * steps
    rate = training.lr * frames / 256 * min(1.0, (step + 1) / max(1.0, rising))
    cosine = _cosine(max(0.0, step - rising) / max(1.0, whole - rising))
    last = training.weight_decay if training.weight_decay_end is None else training.weight_decay_end
    for group in optimizer.param_groups:
        share = training.spared_lr if group["spared"] else 1.0
        group["lr"] = rate * share * (cosine if group["decays"] else 1.0)
        if not group["spared"]:
            group["weight_decay"] = last + (training.weight_decay - last) * _cosine(step / whole)
    return rate * cosine


def _cosine(done: float) -> float:
    """From 1 to 0 along half a wave."""
    return (1 + math.cos(math.pi * done)) / 2
