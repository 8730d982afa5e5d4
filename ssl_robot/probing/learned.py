"""Heads that are trained: a small network on the feature vector, and two that look where things are in a map."""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.errors import InputError
from ssl_robot.heads import mlp
from ssl_robot.probing.regression import Fit, standardised
from ssl_robot.splits import Split

Head = Literal["mlp", "attentive", "softmax"]
ON_MAPS = ("attentive", "softmax")

_DECAYS = (1e-3, 1e-1)  # weight decay; the validation rows choose
_RATE, _STEPS, _BATCH = 3e-3, 300, 128
_EVERY = 25  # steps from one look at the validation rows to the next
_AT_ONCE = 1000  # rows whose activations are held in memory
_HIDDEN, _KEYPOINTS, _QUERIES = 128, 16, 8
_FINEST = 16  # cells a side: finer maps are averaged to this


def fit(features: Tensor, targets: Tensor, split: Split, head: Head = "mlp", seed: int = 0) -> Fit:
    """Train on the training rows, choose decay and moment to stop on the validation rows, predict the test rows.

    Features and targets are standardised. Each target has its own decay and its own moment, but all are outputs of
    one network. Where no moment is better than the training mean, that is what is predicted.

    Args:
        features: (rows, d) for ``mlp``, maps of (rows, channels, h, w) for the others.
        targets: (rows, targets).
        split: Which rows are which.
        head: ``mlp`` has two hidden layers; ``attentive`` learns what to look for and reads what is there and where
            (attention pooling by eight queries over cells that know their place); ``softmax`` reads only where: the
            mean places of sixteen learnt features, each under a softmax over the cells (Levine 2016,
            https://arxiv.org/abs/1504.00702).
        seed: Repeats weights and batches.

    Raises:
        InputError: If the head looks at maps and there are none.
    """
    if head in ON_MAPS and features.ndim != 4:
        raise InputError(f"The head '{head}' looks at a feature map: ask for --layer map.")
    train, validation, test = (torch.from_numpy(rows) for rows in (split.train, split.validation, split.test))
    if not targets.shape[1]:
        return Fit(targets[test], len(train))
    x, places = _prepared(features.float(), train)
    mean, std = targets[train].mean(0), targets[train].std(0).clamp(min=1e-12)
    y = ((targets - mean) / std).float()
    best_error, best = y[validation].square().mean(0), torch.zeros(len(test), y.shape[1])  # of saying the mean
    for decay in _DECAYS:
        network = _fresh(head, x.shape[-1], places, y.shape[1], seed)
        for _ in _trained(network, x[train], y[train], decay, seed):
            error = (_outputs(network, x[validation]) - y[validation]).square().mean(0)
            better = error < best_error
            if better.any():
                best_error = torch.where(better, error, best_error)
                best[:, better] = _outputs(network, x[test])[:, better]
    return Fit(best.double() * std + mean, len(train))


def _prepared(x: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Standardised vectors; or cells of maps no finer than 16x16, standardised channel by channel, and their places.

    Returns:
        (rows, d) and nothing, or (rows, cells, channels) and (cells, 2), column and row from -1 to 1.
    """
    if x.ndim == 2:
        return standardised(x, train), torch.empty(0, 2)
    height, width = (min(side, _FINEST) for side in x.shape[2:])
    cells = F.adaptive_avg_pool2d(x, (height, width)).flatten(2).mT.contiguous()
    mean, std = cells[train].mean((0, 1)), cells[train].std((0, 1))
    rows, columns = (torch.linspace(-1, 1, side) if side > 1 else torch.zeros(1) for side in (height, width))
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), 2).flatten(0, 1)
    return (cells - mean) / std.clamp(min=float(1e-3 * std.mean() + 1e-12)), places


def _fresh(head: Head, channels: int, places: Tensor, outputs: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if head == "mlp":
            return mlp([channels, _HIDDEN, _HIDDEN, outputs], norm=False)
        return (_Attentive if head == "attentive" else _Keypoints)(channels, places, outputs)


def _trained(network: nn.Module, x: Tensor, y: Tensor, decay: float, seed: int) -> Iterator[int]:
    """Steps after which to look, the rate falling to 0 along half a cosine."""
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    drawn = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(1, _STEPS + 1):
        if len(order) < min(_BATCH, len(x)):
            order = torch.cat([order, torch.randperm(len(x), generator=drawn)])
        rows, order = order[:_BATCH], order[_BATCH:]
        optimizer.zero_grad()
        F.mse_loss(network(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
        if step % _EVERY == 0:
            yield step


@torch.no_grad()
def _outputs(network: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([network(part) for part in x.split(_AT_ONCE)])


class _Keypoints(nn.Module):
    """Cells to the mean places of learnt features, and those to numbers."""

    places: Tensor

    def __init__(self, channels: int, places: Tensor, outputs: int) -> None:
        super().__init__()
        self.find = nn.Linear(channels, _KEYPOINTS)
        self.read = mlp([2 * _KEYPOINTS, _HIDDEN, outputs], norm=False)
        self.register_buffer("places", places)

    def forward(self, cells: Tensor) -> Tensor:
        shares = self.find(cells).softmax(1)
        outputs: Tensor = self.read((shares.mT @ self.places).flatten(1))
        return outputs


class _Attentive(nn.Module):
    """Cells to what each query finds and where, and that to numbers."""

    place: Tensor

    def __init__(self, channels: int, places: Tensor, outputs: int) -> None:
        super().__init__()
        waves = [wave(torch.pi * turns * places) for turns in (0.5, 1, 2) for wave in (torch.sin, torch.cos)]
        self.register_buffer("place", torch.cat([places, *waves], 1))
        self.what = nn.Linear(channels, _QUERIES)
        self.where = nn.Linear(self.place.shape[1], _QUERIES)
        self.read = mlp([_QUERIES * (channels + self.place.shape[1]), _HIDDEN, outputs], norm=False)

    def forward(self, cells: Tensor) -> Tensor:
        shares = (self.what(cells) + self.where(self.place)).softmax(1).mT
        outputs: Tensor = self.read(torch.cat([shares @ cells, shares @ self.place], 2).flatten(1))
        return outputs
