"""Barlow Twins (Zbontar, Jing, Misra, LeCun and Deny 2021, https://arxiv.org/abs/2103.03230)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_robot.distributed import processes, summed
from ssl_robot.heads import exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset
from ssl_robot.ranges import number


@dataclass(frozen=True)
class BarlowTwins(Method):
    """Each channel agrees between the views, and with no other channel (Zbontar 2021).

    Attributes:
        hidden: Width of the projector's hidden layers (section 2.2; 8192 in the paper).
        width: Of its output.
        redundancy: Weight of the correlations between different channels (section 2.1; .0051 in the paper).
        scale: Of the whole loss, tens of times that of other methods; 1 in the paper, where LARS adapts weights to any
            scale and biases have a small rate of their own.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 2e-3, "draws": "batch"})
    paper: ClassVar[Preset] = Preset(
        recipe="byol",
        training={
            "optimizer": "lars", "lr": 0.2, "weight_decay": 1e-6, "spare": True, "spared_lr": 0.024, "batch_size": 2048,
            "epochs": 300, "warmup": 10.0, "draws": "frame",
        },
        method={"hidden": 8192, "width": 8192, "redundancy": 0.0051, "scale": 1.0},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(512, 2, 65_536)
    redundancy: float = number(0.005, 0)
    scale: float = number(0.025, 0.000_001)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Twins(self, backbone, width)


@exact
def twins(first: Tensor, second: Tensor, redundancy: float) -> Tensor:
    """How far the views' correlation matrix is from the identity, over all processes (equation 1).

    Args:
        first: (b, d).
        second: (b, d), row i of the same frame as row i of the first.
        redundancy: Weight of what is off the diagonal.

    Returns:
        A scalar.
    """
    a, b = (_standardised(z) for z in (first, second))
    correlation = summed(a.T @ b) / (len(a) * processes())
    diagonal = correlation.diagonal()
    other = correlation.square().sum() - diagonal.square().sum()
    return (diagonal - 1).square().sum() + redundancy * other


def _standardised(z: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 of each channel, over all processes."""
    n = len(z) * processes()
    centred = z - summed(z.sum(0)) / n
    return centred * (summed(centred.square().sum(0)) / n + 1e-5).rsqrt()


class _Twins(Objective):
    def __init__(self, method: BarlowTwins, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        self.projector = mlp([width, method.hidden, method.hidden, method.width])

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The mean over all pairs of views."""
        features = self.through(self.backbone, views)
        z = self.through(self.projector, features)
        losses = [twins(*pair, self.method.redundancy) for pair in combinations(z, 2)]
        total = self.method.scale * torch.stack(losses).mean()
        return Loss(total, {"loss": total.detach()}, torch.stack(z[:2]).detach(), features)
