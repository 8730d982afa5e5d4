"""Frames, a method and a recipe make an encoder."""

import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ssl_robot.config import plain, surroundings, write_yaml
from ssl_robot.encoder import FILE, Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.features import statistics
from ssl_robot.frames import Frames
from ssl_robot.loader import Loader, Where
from ssl_robot.methods import Loss, Method, Objective
from ssl_robot.monitors import COLLAPSED, COLLINEAR, directions, spread
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views

_COMPILE_PIXELS = 2e9  # of views: on a core compiling takes some 20 seconds and then saves some 20 ns for each
_PATIENCE = 2  # epochs below the collapse threshold before a run is stopped


@dataclass(frozen=True)
class Training:
    """How long and how fast.

    Attributes:
        epochs: Passes over the frames.
        batch_size: Frames per step; fewer if there are fewer.
        lr: Learning rate at batch 256; scaled with the batch. On a few thousand frames SimSiam needs far more than the
            .05 of ImageNet, or it never learns more than what stands where.
        momentum: Of SGD.
        weight_decay: On all parameters, as in SimSiam.
        warmup: Epochs over which the rate rises from 0.
        size: Height and width of the views.
        seed: Weights, order of the frames and views follow from it.
        on_collapse: Stop, or go on with a warning, when all frames get the same embedding.
        device: ``auto`` takes a GPU if there is one.
        precision: Of the network's arithmetic; ``auto`` takes bf16 where the processor multiplies it natively.
        compiled: Whether views are made by one compiled kernel; ``auto`` does so where there are so many that it saves
            more than the half minute it takes.
    """

    epochs: int = 20
    batch_size: int = 128
    lr: float = 2.0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 1.0
    size: int = 64
    seed: int = 0
    on_collapse: Literal["stop", "warn"] = "stop"
    device: str = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compiled: Literal["auto", "yes", "no"] = "auto"

    def __post_init__(self) -> None:
        smallest = {"epochs": 1, "batch_size": 2, "size": 16, "lr": 0, "warmup": 0, "momentum": 0, "weight_decay": 0}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, but must be at least {least}.")


@dataclass(frozen=True)
class Epoch:
    """A pass over the frames: loss and rate at its last step, means over its steps; a line of ``metrics.csv``."""

    epoch: int
    loss: float
    spread: float
    directions: float
    lr: float
    frames_per_s: float


class CollapseError(InputError):
    """Every frame gets the same embedding; the message says what to change."""


def pretrain(
    frames: Frames,
    rows: NDArray[np.int64],
    method: Method,
    recipe: Recipe,
    backbone: str,
    training: Training,
    out: Path | None = None,
    quiet: bool = False,
    others: Sequence[Frames] = (),
) -> Encoder:
    """Train an encoder on some rows of a collection.

    Args:
        frames: The collection.
        rows: Which of its frames; the rest is never read.
        method: The objective.
        recipe: The views.
        backbone: Name of the network.
        training: How long and how fast.
        out: Run directory for configuration, metrics and encoder.
        quiet: No progress bar.
        others: The same moments through other cameras, for recipes with ``camera``.

    Returns:
        The encoder, frozen.

    Raises:
        CollapseError: If all embeddings become the same and ``on_collapse`` is ``stop``.
        InputError: If there are too few frames, they cannot show what the recipe asks for, or the loss stops being a
            number.
    """
    _check(frames, rows, recipe, others)
    device = torch.device(_device(training.device))
    source = Loader(frames, rows, training.size, device, training.seed, others=others)
    views = Views(recipe, training.size, training.seed, compiled=_pays(training, recipe, len(rows)))
    card = Card(backbone, training.size, *statistics(frames, rows), recipe.as_dict(), _origin(frames, method, training))
    encoder = Encoder.fresh(card, training.seed).to(device)
    objective = _objective(method, encoder, training.seed).to(device)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        chosen = {"device": str(device), "bf16": _half(training.precision, device), "compiled views": views.compiled}
        write_yaml(out / "config.yaml", {**plain(card), "chosen": chosen, "surroundings": surroundings()})
    with _Record(out) as record, tqdm(total=training.epochs * len(rows), unit="frame", disable=quiet) as bar:
        for epoch in _epochs(objective, encoder, source, views, training, bar):
            record.write(epoch)
            _watch(record.epochs, training)
    encoder = encoder.eval().requires_grad_(False).cpu()
    if out is not None:
        encoder.save(out / FILE)
    return encoder


def _check(frames: Frames, rows: NDArray[np.int64], recipe: Recipe, others: Sequence[Frames]) -> None:
    if len(rows) < 8:
        raise InputError(f"{len(rows)} frames are too few to pre-train on: record hundreds, better thousands.")
    if len(recipe.views) < 2:
        raise InputError("One view has nothing to agree with: give the recipe's views at least two.")
    if "camera" in recipe.names and not others:
        raise InputError("The recipe has 'camera', but there is only one: record several, or add --without camera.")
    if "time" in recipe.names and len(np.unique(frames.episodes[rows])) == len(rows):
        raise InputError("The recipe has 'time', but every episode is one frame long: add --without time.")


def _pays(training: Training, recipe: Recipe, rows: int) -> bool:
    """Whether so many pixels are to be made that compiling is worth it."""
    if training.compiled != "auto":
        return training.compiled == "yes"
    pixels = sum((share * training.size) ** 2 for _, share in recipe.views) * rows * training.epochs
    return bool(recipe.invariances) and pixels > _COMPILE_PIXELS


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"There is no device '{name}' ({str(error).splitlines()[0]}): leave out --device.") from None
    return name


def _origin(frames: Frames, method: Method, training: Training) -> dict[str, Any]:
    name = type(method).__module__.rpartition(".")[2]
    return {"method": name, name: plain(method), "training": plain(training), "data": frames.fingerprint}


def _objective(method: Method, encoder: Encoder, seed: int) -> Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        objective = method.build(encoder.backbone, encoder.width)
    return objective.train().to(memory_format=torch.channels_last)


def _epochs(
    objective: Objective, encoder: Encoder, source: Loader, views: Views, training: Training, bar: "tqdm[Any]"
) -> Iterator[Epoch]:
    batch = min(training.batch_size, len(source))
    steps = len(source) // batch
    rate = training.lr * batch / 256
    optimizer = _optimizer(objective, training)
    half = _half(training.precision, device_of(encoder))

    def where(first: int) -> Where | None:
        return (lambda place, number: views.where(place, first + number)) if views.moves else None

    for epoch in range(training.epochs):
        began = time.perf_counter()
        signs: list[Tensor] = []
        for step, (places, shown) in enumerate(source.batches(epoch, batch, where(epoch * steps)), epoch * steps):
            _schedule(optimizer, rate, step, steps, training)
            seen = [views(shown[view % len(shown)], places, step, view).images for view in range(len(views))]
            loss = _step(objective, optimizer, [encoder.normalised(images) for images in seen], half)
            signs.append(torch.stack([spread(loss.embeddings), directions(loss.embeddings)]))
            bar.update(batch)
        seconds = time.perf_counter() - began
        spreads, ways = torch.stack(signs).mean(0).tolist()  # of all steps: those of one batch swing too far
        values = Epoch(
            epoch,
            float(loss.parts["loss"]),
            spreads,
            ways,
            _rate(optimizer),
            steps * batch / seconds,
        )
        bar.set_postfix(loss=f"{values.loss:.3f}", spread=f"{values.spread:.2f}")
        yield values


def device_of(encoder: Encoder) -> torch.device:
    """The device an encoder lives on."""
    return next(encoder.parameters()).device


def _optimizer(objective: Objective, training: Training) -> torch.optim.SGD:
    constant = objective.constant_rate()
    held = {id(parameter) for parameter in constant}
    decaying = [parameter for parameter in objective.parameters() if id(parameter) not in held]
    groups = [{"params": decaying, "decays": True}, {"params": constant, "decays": False}]
    return torch.optim.SGD(groups, lr=0.0, momentum=training.momentum, weight_decay=training.weight_decay)


def _schedule(optimizer: torch.optim.SGD, rate: float, step: int, steps: int, training: Training) -> None:
    """Linear warm-up for every group, then a cosine for those that decay."""
    warm = min(1.0, (step + 1) / max(1.0, training.warmup * steps))
    cosine = (1 + math.cos(math.pi * step / (training.epochs * steps))) / 2
    for group in optimizer.param_groups:
        group["lr"] = rate * warm * (cosine if group["decays"] else 1.0)


def _rate(optimizer: torch.optim.SGD) -> float:
    return float(optimizer.param_groups[0]["lr"])


def _half(precision: str, device: torch.device) -> bool:
    """Whether to compute in bf16: on a CPU without instructions for it, it would be slower."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _step(objective: Objective, optimizer: torch.optim.SGD, views: list[Tensor], half: bool) -> Loss:
    with torch.autocast(views[0].device.type, torch.bfloat16, enabled=half):
        loss: Loss = objective([view.contiguous(memory_format=torch.channels_last) for view in views])
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    optimizer.step()
    return loss


class _Record:
    """Lines of ``metrics.csv``, on disk as they come."""

    def __init__(self, out: Path | None) -> None:
        self.epochs: list[Epoch] = []
        self._file = None if out is None else (out / "metrics.csv").open("w", newline="")

    def write(self, epoch: Epoch) -> None:
        """Keep one epoch's figures."""
        self.epochs.append(epoch)
        if self._file is not None:
            writer = csv.writer(self._file)
            if len(self.epochs) == 1:
                writer.writerow(vars(epoch))
            writer.writerow(vars(epoch).values())
            self._file.flush()

    def __enter__(self) -> "_Record":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _collapsed(epoch: Epoch) -> bool:
    return epoch.spread < COLLAPSED or epoch.directions < COLLINEAR


def _watch(epochs: list[Epoch], training: Training) -> None:
    """Stop a run that is beyond help, with the likely causes."""
    if not math.isfinite(epochs[-1].loss):
        raise InputError(f"The loss is {epochs[-1].loss} in epoch {len(epochs)}: lower --lr (it is {training.lr}).")
    if len(epochs) >= _PATIENCE and all(_collapsed(epoch) for epoch in epochs[-_PATIENCE:]):
        message = (
            f"Collapse: after {len(epochs)} epochs all frames get nearly the same embedding or its opposite (spread "
            f"{epochs[-1].spread:.2f}, directions {epochs[-1].directions:.2f}): raise --batch-size, change --lr, "
            "keep the method's stop_gradient, or check that the frames differ ('ssl-robot info --sheet')."
        )
        if training.on_collapse == "stop":
            raise CollapseError(message)
        tqdm.write(message)
