"""An encoder in training: everything that changes from step to step."""

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ssl_robot import backbones, capacity, checkpoints, interrupts, projection
from ssl_robot.distributed import synchronised
from ssl_robot.encoder import FILE, Encoder
from ssl_robot.errors import InputError
from ssl_robot.feed import Fed, fed
from ssl_robot.frames import Frames
from ssl_robot.heap import keep_freed
from ssl_robot.loader import Loader, Where
from ssl_robot.methods import Loss, Method, Objective
from ssl_robot.monitors import collapsed, guessed, rank, vitals
from ssl_robot.online import Watch, Watched
from ssl_robot.plots import curve
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.records import CURVE, Clock, Records, peak_memory, write_summary
from ssl_robot.remedies import Remedied, Remedy
from ssl_robot.training import Training, alike, chances, optimizer, schedule
from ssl_robot.views import View, Views

_COMPILE_PIXELS = 2e9  # of views: on a core compiling takes some 20 seconds and then saves some 20 ns for each
_PATIENCE = 2  # epochs below the collapse threshold before a run is stopped
_LARGEST = 1024  # frames of an automatic batch: SimSiam and its like gain nothing beyond
_ASKED = 10  # times in a run that the labels are read online


class CollapseError(InputError):
    """Every frame gets the same embedding; the message says what to change."""


class Run:
    """All that changes while an encoder is trained.

    Args:
        frames: The collection.
        rows: Which of its frames.
        method: The objective.
        remedies: Further tasks beside it.
        encoder: What is trained; its card says which recipe.
        training: How long and how fast.
        others: The same moments through other cameras.
        watch: What is asked of the encoder now and then; the frames' labels, if nothing is given.

    Attributes:
        first: Whether this is the first of several processes, which alone writes and speaks.
        batch: Frames of a batch, over all processes.
        steps: Of an epoch.
        history: The figures of the epochs that are done.
    """

    def __init__(
        self,
        frames: Frames,
        rows: NDArray[np.int64],
        method: Method,
        remedies: Sequence[Remedy],
        encoder: Encoder,
        training: Training,
        others: Sequence[Frames],
        watch: Watch | None,
    ) -> None:
        self.training = training
        device = training.chosen_device()
        if device.type == "cpu":
            keep_freed()
        self.fabric = _fabric(device, training.half(device))
        device = self.fabric.device
        self.first = self.fabric.global_rank == 0
        recipe = Recipe.from_dict(encoder.card.recipe)
        likely = chances(frames, rows, training)
        self.source = Loader(frames, rows, training.size, device, training.seed, others=others, chances=likely)
        copies = method.copies(recipe.names)
        wanted = recipe.having_views(len(copies))
        compiled = _pays(training, wanted, len(rows))
        shared = alike(frames, rows, training, any(item.reads for item in remedies))
        self.views = Views(wanted, training.size, training.seed, compiled, copies=copies, alike=shared)
        self.watch = (watch or Watched.of(frames, rows, training.half(device))) if self.first else None
        for view in range(len(self.views)):
            backbones.width(encoder.backbone, self.views.size_of(view))  # refuses what is too small for it
        self.encoder = encoder.to(device)
        self.inner = _built(method, remedies, self.encoder, training)
        self.batch, self.steps = self._cut(len(rows))
        self.objective, self.optimizer = self.fabric.setup(
            self.inner.to(memory_format=torch.channels_last), optimizer(self.inner, training)
        )
        self.epoch = self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []
        self.clock = Clock()
        self.began = self.saved = time.monotonic()
        self.earlier = 0.0  # seconds that the run took before it was gone on with

    def _cut(self, rows: int) -> tuple[int, int]:
        """Frames of a batch, over all processes, and steps of an epoch.

        Raises:
            InputError: If batches cannot be shared equally, or there are fewer than a step needs.
        """
        training, processes = self.training, self.fabric.world_size
        if training.batch_size == "auto":
            most = min(_LARGEST, max(2 * processes, rows // 8)) // processes
            here = capacity.of_device(self.inner, self.views, training.half(self.fabric.device), most)
            wanted = int(self.fabric.broadcast(here)) * processes
        else:
            wanted = training.batch_size
        batch = min(wanted, rows // training.accumulate // processes * processes)
        if rows < 2 * processes * training.accumulate:
            raise InputError(
                f"{rows:,} frames are too few for {training.accumulate} batches a step in {processes} processes: lower "
                "--accumulate."
            )
        if batch % processes or batch < 2 * processes:
            raise InputError(
                f"A batch of {batch} frames cannot be shared by {processes} processes: make --batch-size a multiple of "
                "their number, and at least twice it."
            )
        return batch, rows // batch // training.accumulate

    @property
    def done(self) -> int:
        """Steps that were made."""
        return self.epoch * self.steps + self.step

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes; the order of the frames and all views follow from seed and step."""
        return {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "batch": (self.batch, self.steps),
            "sums": self.sums,
            "history": self.history,
            "seconds": self._seconds(),
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on from there."""
        if state is None:
            return
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.batch, self.steps = state["batch"]  # an automatic one could be another today
        self.sums, self.history = state["sums"], state["history"]
        self.earlier = state.get("seconds", 0.0)  # earlier checkpoints do not know it

    def train(self, out: Path | None, records: Records, stop: interrupts.Stop, bar: "tqdm[Any]") -> None:
        """All the steps that are left, with what has to be done between them."""
        while self.epoch < self.training.epochs:
            began, first = time.monotonic(), self.step
            for _ in self._epoch():
                bar.update(self.batch * self.training.accumulate)
                if stop.signal is not None:
                    self._save(out)
                    stop.leave()
                if self._late():
                    self._save(out)
                    return
                if time.monotonic() - self.saved >= 60 * self.training.save_minutes:
                    self._save(out)
            frames = (self.steps - first) * self.batch * self.training.accumulate
            self._end_epoch(records, frames / (time.monotonic() - began))
            bar.set_postfix({name: f"{self.history[-1][name]:.3g}" for name in ("loss", "spread", "rank")})

    def _late(self) -> bool:
        most = self.training.max_minutes
        if most is None:
            return False
        late = time.monotonic() - self.began >= 60 * most
        return bool(self.fabric.broadcast(late)) if self.fabric.world_size > 1 else late

    def _seconds(self) -> float:
        """How long the run has taken, over all its parts."""
        return self.earlier + time.monotonic() - self.began

    def _save(self, out: Path | None) -> None:
        self._check_finite()
        if out is not None:
            checkpoints.save(out, self.state())
        self.saved = time.monotonic()

    def _epoch(self) -> Iterator[None]:
        """The steps of an epoch that are left."""
        first, share = self.step * self.training.accumulate, (self.fabric.global_rank, self.fabric.world_size)
        source = self.source.batches(self.epoch, self.batch, self._where(), first, share)
        number, finish = self._number() + first, self.encoder.normalised
        with closing(fed(source, self.fabric.device, self.views, number, finish, self.clock)) as batches:
            yield from self._steps(batches)

    def _steps(self, batches: Iterator[Fed]) -> Iterator[None]:
        training, accumulate = self.training, self.training.accumulate
        for step in range(self.step, self.steps):
            schedule(self.optimizer, training, self.batch * accumulate, self.epoch * self.steps + step, self.steps)
            done = self.epoch + step / self.steps
            with self.clock.part("forward"):
                self.inner.begin(done, training.epochs)
            for i in range(accumulate):
                seen = next(batches).views
                with self.fabric.no_backward_sync(self.objective, enabled=i + 1 < accumulate):
                    loss = self._backward(seen)
            with self.clock.part("backward"):
                norm = _shortened(self.objective, training.clip)
                self.inner.trim(done)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            with self.clock.part("monitors"):
                self._note({**vitals(loss.embeddings), **loss.parts, "gradient": norm})
                if step + 1 == self.steps:  # once an epoch: it takes as long as a step
                    self.sums["rank"] = rank(loss.embeddings[0]).double() * self.steps
            self.step = step + 1
            yield

    def _where(self) -> Where | None:
        first = self._number()
        return (lambda place, number: self.views.where(place, first + number)) if self.views.moves else None

    def _number(self) -> int:
        """Counts the batches: that of the epoch's first."""
        return self.epoch * self.steps * self.training.accumulate

    def _backward(self, seen: list[View]) -> Loss:
        """Gradients of one batch, from its views as the network takes them."""
        with self.clock.part("forward"):
            loss: Loss = self.objective([view.images for view in seen], [view.parameters for view in seen])
        with self.clock.part("backward"):
            self.fabric.backward(loss.total / self.training.accumulate)
        return loss

    def _note(self, figures: Mapping[str, Tensor]) -> None:
        """Add a step's figures to the epoch's: those of one batch swing too far."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double()
        if self.fabric.device.type == "cpu":  # elsewhere asking would make the device wait
            self._check_finite()

    def _check_finite(self) -> None:
        """Stop before a checkpoint could be written over a good one.

        Raises:
            InputError: If the loss is no number.
        """
        if "loss" in self.sums and not math.isfinite(float(self.sums["loss"])):
            raise InputError(
                f"The loss is no number any more in epoch {self.epoch + 1}: lower --lr (it is {self.training.lr}); the "
                "last checkpoint is from before."
            )

    def _end_epoch(self, records: Records, speed: float) -> None:
        self._check_finite()
        sums: Any = self.fabric.all_reduce(torch.stack(list(self.sums.values())))  # all processes decide alike
        means = dict(zip(self.sums, (sums / self.steps).tolist(), strict=True))
        values = {"epoch": self.epoch, **means, "lr": float(self.optimizer.param_groups[0]["lr"])}
        often = max(1, self.training.epochs // _ASKED)
        if self.watch is not None and (self.epoch % often == 0 or self.epoch + 1 == self.training.epochs):
            with self.clock.part("monitors"):
                values |= self.watch(self.encoder)
        values["frames_per_s"] = speed
        with self.clock.part("monitors"):
            records.write(values)
        self.history = records.epochs
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        _watch(self.history, self.training)
        if self.epoch == self.training.epochs:
            self._tell_guess()

    def _tell_guess(self) -> None:
        """Say so where frames are not told apart: no loss tells, and what is saved looks like any other encoder."""
        matched, among = self.history[-1]["matched"], self.batch // self.fabric.world_size
        if self.fabric.is_global_zero and guessed(matched, among, self.steps * self.batch):
            remedy = "" if self.views.alike else "give --draws batch, "
            tqdm.write(
                f"After {self.epoch} epochs the embeddings tell frames apart no better than guessing: a frame's other "
                f"view is found among {among} in {matched:.1%} of cases. The encoder may hold little more than random "
                f"weights do: {remedy}train for more --epochs, add --remedies augself, change --lr, or take --method "
                "simclr.",
                file=sys.stderr,
            )

    def finished(self, out: Path | None, records: Records) -> Encoder:
        """The encoder, frozen and on the CPU; in the run directory with a curve and a summary.

        Its weights lie in memory as ``load`` lays them, no longer as training did: features of the two would otherwise
        differ in their last digits.
        """
        encoder = Encoder.fresh(self.encoder.card, seed=0)
        encoder.load_state_dict(self.encoder.state_dict())
        encoder.eval().requires_grad_(False)
        if out is not None:
            encoder.save(out / FILE)
            projection.save(getattr(self.inner, "objective", self.inner), out)  # a remedy wraps the method's
            if records.epochs:
                (out / CURVE).write_bytes(curve(records.epochs))
            write_summary(out, self._summary())
            if self.epoch >= self.training.epochs:
                checkpoints.clear(out)
        return encoder

    def _summary(self) -> dict[str, Any]:
        device = self.fabric.device
        memory = {"processor": peak_memory()}
        if device.type == "cuda":
            memory["device"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
        return {
            "steps": self.done,
            "batch": self.batch,
            "finished": self.epoch >= self.training.epochs,
            "parameters": sum(parameter.numel() for parameter in self.encoder.parameters()),
            "device": str(device),
            "bf16": self.training.half(device),
            "compiled views": self.views.compiled,
            "draws": "batch" if self.views.alike else "frame",
            "way of reading": self.source.way,
            "processes": self.fabric.world_size,
            "minutes": self._seconds() / 60,
            "time": self.clock.shares(),
            "peak memory, MB": memory,
            "last epoch": self.history[-1] if self.history else {},
        }


def _fabric(device: torch.device, half: bool) -> Fabric:
    """One process, or those that ``torchrun`` has started."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it has to say is in the summary
    kind: Any = device.type
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if half else "32-true"
    if not torch.distributed.is_torchelastic_launched():
        devices = [device.index or 0] if device.type == "cuda" else 1
        return Fabric(accelerator=kind, devices=devices, precision=precision)
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    fabric = Fabric(accelerator=kind, strategy="ddp", devices=here, num_nodes=everywhere // here, precision=precision)
    fabric.launch()
    return fabric


def _pays(training: Training, recipe: Recipe, rows: int) -> bool:
    """Whether so many pixels are to be made that compiling is worth it."""
    if training.compiled != "auto":
        return training.compiled == "yes"
    pixels = sum((share * training.size) ** 2 for _, share in recipe.views) * rows * training.epochs
    return bool(recipe.invariances) and pixels > _COMPILE_PIXELS


def _built(method: Method, remedies: Sequence[Remedy], encoder: Encoder, training: Training) -> Objective:
    """The objective, with weights that only the seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        objective = method.build(encoder.backbone, encoder.width)
        if remedies:
            recipe = Recipe.from_dict(encoder.card.recipe)
            tasks = {name_of(item): item.build(encoder.width, recipe) for item in remedies}
            objective = Remedied(objective, tasks, {name_of(item): item.weight for item in remedies})
    objective.together = training.together
    synchronised(objective)
    if training.network == "compiled":
        encoder.backbone.compile()
    return objective.to(encoder.device).train()


def _shortened(objective: nn.Module, most: float | None) -> Tensor:
    """Length of the gradient over all parameters, before each one's is cut to what is allowed."""
    norm = nn.utils.get_total_norm([p.grad for p in objective.parameters() if p.grad is not None])
    if most is not None:
        for parameter in objective.parameters():
            nn.utils.clip_grad_norm_(parameter, most)
    return norm


def _watch(epochs: list[dict[str, float]], training: Training) -> None:
    """Stop a run that is beyond help, with the likely causes."""
    if len(epochs) >= _PATIENCE and all(collapsed(epoch) for epoch in epochs[-_PATIENCE:]):
        last = epochs[-1]
        message = (
            f"Collapse: after {len(epochs)} epochs all frames get nearly the same embedding or its opposite (spread "
            f"{last['spread']:.2f}, directions {last['directions']:.2f}): change --lr or --optimizer, raise "
            "--batch-size, keep what holds the method up (stop_gradient, bn), or check that the frames differ "
            "('ssl-robot info --sheet')."
        )
        if training.on_collapse == "stop":
            raise CollapseError(message)
        tqdm.write(message, file=sys.stderr)
