"""Behaviour cloning in plain PyTorch, from the features of a recording.

    ssl-robot collect Reacher-v5 --out demos.h5 --frames 5000 --size 84 --explorer expert
    python -m ssl_robot.experiments.examples.clone_pytorch demos.h5 --encoder runs/reacher

Features are computed once; what is trained is a small network on top of them. Put together, they go from frames to
actions, and no code of the library is needed around them but the encoder itself.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from tyro.conf import Positional

import ssl_robot
from ssl_robot.datasets.store import FrameStore


@dataclass(frozen=True)
class Example:
    """Clone what a recording shows.

    Attributes:
        data: Recording of demonstrations.
        encoder: A run, a file, or a hub id.
        epochs: Passes over the demonstrations.
        batch: Moments of a step.
        held_out: Share of episodes, the last ones, that the error is measured on.
        seed: Of weights and order.
    """

    data: Positional[Path]
    encoder: str = "runs/reacher"
    epochs: int = 50
    batch: int = 128
    held_out: float = 0.2
    seed: int = 0


def main(example: Example) -> tuple[nn.Module, float]:
    """The policy, from uint8 frames of any size to actions, and the share of held-out actions that it explains."""
    torch.manual_seed(example.seed)
    encoder = ssl_robot.load(example.encoder)
    frames = FrameStore(example.data)
    rows = np.array_split(np.arange(len(frames)), max(1, len(frames) // 256))
    features = torch.cat([encoder(frames.take(part)) for part in rows])
    actions = torch.from_numpy(frames.values("actions")).float()
    train = torch.from_numpy(frames.episodes < (1 - example.held_out) * (frames.episodes[-1] + 1))

    d, a = features.shape[1], actions.shape[1]
    head = nn.Sequential(nn.BatchNorm1d(d), nn.Linear(d, 256), nn.ReLU(), nn.Linear(256, a))
    fit(head, features[train], actions[train], example)
    share = explained(head.eval()(features[~train]), actions[~train])
    print(f"R2 of {int((~train).sum())} held-out actions: {share:.2f}")
    return nn.Sequential(encoder, head), share


def fit(head: nn.Module, features: Tensor, actions: Tensor, example: Example) -> None:
    """Mean squared error, by Adam."""
    optimizer = torch.optim.Adam(head.parameters(), 1e-3)
    for _ in range(example.epochs):
        for batch in torch.randperm(len(features)).split(example.batch):
            if len(batch) > 1:  # batch norm compares
                loss = nn.functional.mse_loss(head(features[batch]), actions[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def explained(guessed: Tensor, actions: Tensor) -> float:
    """R2 over all components together: 1 for what is right, 0 for what is no better than the mean."""
    return float(1 - (guessed - actions).square().sum() / (actions - actions.mean(0)).square().sum())


if __name__ == "__main__":
    main(tyro.cli(Example))
