"""Learning to act from demonstrations: behaviour cloning on what a reader makes of a few moments."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_robot.arena import Places
from ssl_robot.encoder import Encoder, Layer
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Seen
from ssl_robot.probing.moments import felt_by, flat
from ssl_robot.readers import Reader
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views

RATE = 1e-3  # of every published learner here
_LEAST = 1e-6  # of a standard deviation: an action that never changes is learnt as it is


@dataclass(frozen=True)
class Learner:
    """How a policy is fitted.

    Attributes:
        widths: Of the hidden layers, after batch norm on the input.
        batch_size: Moments of a step.
        history: Moments that are looked at together: the last one, and how it came about.
        updates: Steps; 0: as many as the epochs make.
        epochs: Passes over the demonstrations.
        decays: Whether the rate falls to 0 along half a wave.
    """

    widths: tuple[int, ...]
    batch_size: int
    history: int = 1
    updates: int = 0
    epochs: int = 0
    decays: bool = False

    def steps(self, rows: int) -> int:
        """Steps for so many moments."""
        return self.updates or self.epochs * max(1, rows // min(self.batch_size, rows))


# R3M: Nair 2022, https://arxiv.org/abs/2203.12601; CortexBench: Majumdar 2023, https://arxiv.org/abs/2303.18240.
LEARNERS: Mapping[str, Learner] = {
    "quick": Learner((256, 256), 128, updates=2000, decays=True),
    "r3m": Learner((256, 256), 32, updates=20_000),
    "cortexbench": Learner((256, 256, 256), 256, history=3, epochs=100),
}


class Network(nn.Module):
    """From features to an action.

    Args:
        inputs: Numbers that come in.
        actions: What was done, (rows, actions): the network works on them standardised.
        widths: Of the hidden layers.
    """

    def __init__(self, inputs: int, actions: Tensor, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(inputs)]
        for before, after in zip((inputs, *widths), widths, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], actions.shape[1]))
        self.mean, self.std = actions.mean(0), actions.std(0, correction=0).clamp(min=_LEAST)

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardised actions, (b, actions)."""
        standard: Tensor = self.layers(inputs)
        return standard

    def actions(self, inputs: Tensor) -> Tensor:
        """Actions, (b, actions)."""
        given: Tensor = self(inputs) * self.std + self.mean
        return given


@dataclass(frozen=True)
class Lesson:
    """Demonstrations as a learner takes them.

    Attributes:
        rows: Places of the moments in the recording, (n,).
        past: For each of them the rows of its history, the oldest first, (n, history); before an episode's beginning
            its first row stands.
        own: What the robot knows of itself at each moment, (n, k).
        actions: What was done, (n, actions).
    """

    rows: NDArray[np.int64]
    past: NDArray[np.int64]
    own: Tensor
    actions: Tensor


def lesson(frames: Frames, rows: NDArray[np.int64], own: Places, history: int) -> Lesson:
    """Some moments of a recording with what was done.

    Raises:
        InputError: If there are no actions, a number is not known, or what the robot knows of itself is not there.
    """
    if "actions" not in frames.label_names:
        raise InputError("The recording has no actions, so there is nothing to clone: give demonstrations.")
    done = torch.from_numpy(frames.values("actions")[rows]).float()
    felt = felt_by({name: frames.values(name)[rows] for name in own}, own, len(rows))
    if not done.isfinite().all() or not felt.isfinite().all():
        raise InputError("Actions or proprioception are not known in some rows: leave out what is not with --proprio.")
    first = np.searchsorted(frames.episodes, frames.episodes[rows])
    past = np.maximum(rows[:, None] - np.arange(history - 1, -1, -1), first[:, None])
    return Lesson(rows, past, felt, done)


def fused(moments: Tensor, own: Tensor) -> Tensor:
    """A history as one vector: what changed from each moment to the next, the last one, what the robot feels.

    Args:
        moments: (b, history, d), the oldest first.
        own: (b, k).
    """
    return torch.cat([moments.diff(dim=1).flatten(1), moments[:, -1], own], 1)


def cloned(reader: Reader, frames: Frames, taught: Lesson, learner: Learner, layer: Layer, seed: int) -> Network:
    """A policy on top of frozen features, which are computed once.

    Args:
        reader: What is looked through.
        frames: The recording.
        taught: Its moments.
        learner: How.
        layer: Of the reader.
        seed: Of weights and order.
    """
    everything = flat(reader.everything(frames, layer)).cpu()

    def moments(batch: Tensor, step: int) -> Tensor:
        return everything[torch.from_numpy(taught.past[batch.numpy()])]

    network = _fresh(everything.shape[1], taught, learner, seed)
    _fit(moments, network, taught, learner, [{"params": network.parameters()}], seed)
    return network


def cloned_through(
    encoder: Encoder, frames: Frames, taught: Lesson, learner: Learner, layer: Layer, rate: float, seed: int
) -> Network:
    """A policy and its encoder, trained together on randomly shifted frames; the encoder is changed.

    Args:
        encoder: Learns too.
        frames: The recording.
        taught: Its moments.
        learner: How.
        layer: Of the encoder.
        rate: The encoder's learning rate.
        seed: Of weights, order and shifts.
    """
    views = Views(Recipe.named("shift"), encoder.card.size, seed)

    def moments(batch: Tensor, step: int) -> Tensor:
        past = taught.past[batch.numpy()]
        # all moments of a history move alike: a shift depends on the sample's number, which is theirs together
        shown = [
            views(torch.from_numpy(frames.take(rows)).to(encoder.device), batch, step, 0).images for rows in past.T
        ]
        features = flat(encoder.features(torch.cat(shown), layer))
        b, d = len(batch), features.shape[1]
        return features.reshape(-1, b, d).transpose(0, 1).cpu()

    with torch.no_grad():
        width = flat(encoder(frames.take(taught.rows[:1]), layer)).shape[1]
    network = _fresh(width, taught, learner, seed)
    encoder.requires_grad_(True).train()
    groups: list[dict[str, object]] = [{"params": network.parameters()}, {"params": encoder.parameters(), "lr": rate}]
    _fit(moments, network, taught, learner, groups, seed)
    encoder.eval().requires_grad_(False)
    return network


def _fresh(width: int, taught: Lesson, learner: Learner, seed: int) -> Network:
    inputs = width * learner.history + taught.own.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(inputs, taught.actions, learner.widths)


def _fit(
    moments: Callable[[Tensor, int], Tensor],
    network: Network,
    taught: Lesson,
    learner: Learner,
    groups: list[dict[str, object]],
    seed: int,
) -> None:
    """Mean squared error of the standardised actions, by Adam; the last weights are kept."""
    optimizer = torch.optim.Adam(groups, lr=RATE, fused=True)
    wanted, steps = (taught.actions - network.mean) / network.std, learner.steps(len(taught.rows))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if learner.decays else None
    network.train()
    for step, batch in zip(range(steps), _batches(len(taught.rows), learner.batch_size, seed), strict=False):
        loss = F.mse_loss(network(fused(moments(batch, step), taught.own[batch])), wanted[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
    network.eval()


def _batches(rows: int, size: int, seed: int) -> Iterator[Tensor]:
    """Rows in random order, again and again; what is left at the end of a pass is left out."""
    random, size = torch.Generator().manual_seed(seed), min(size, rows)
    while True:
        yield from torch.randperm(rows, generator=random)[: rows // size * size].split(size)


class Clone:
    """A cloned policy at work in several copies of a world: an ``Actor``.

    Args:
        reader: What it looks through.
        network: What it does about it.
        layer: Of the reader.
        history: Moments that are looked at together; at an episode's beginning the first one stands for those before.
        own: What the robot knows of itself.
    """

    def __init__(self, reader: Reader, network: Network, layer: Layer, history: int, own: Places) -> None:
        self._reader, self._network, self._layer, self._history, self._own = reader, network, layer, history, own
        self._past: list[Tensor] = []

    def begin(self, seeds: Sequence[int]) -> None:
        """Forget what was."""
        self._past = []

    @torch.inference_mode()
    def act(self, seen: Seen) -> NDArray[np.floating]:
        """An action for each copy."""
        now = flat(self._reader.read(seen, self._layer)).cpu()
        self._past = [*(self._past or [now] * self._history)[1:], now]
        own = felt_by(seen.labels, self._own, len(now))
        actions: NDArray[np.floating] = self._network.actions(fused(torch.stack(self._past, 1), own)).numpy()
        return actions
