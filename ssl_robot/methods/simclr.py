"""SimCLR (Chen, Kornblith, Norouzi and Hinton 2020, https://arxiv.org/abs/2002.05709)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_robot.contrast import nt_xent
from ssl_robot.heads import mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset
from ssl_robot.ranges import number


@dataclass(frozen=True)
class Simclr(Method):
    """Each view finds its partner among all other views of the batch (Chen 2020).

    Attributes:
        hidden: Width of the projector's hidden layer (appendix B.9; 2048 for ResNet-50).
        width: Of its output.
        temperature: Divides the cosines: .1 on ImageNet, .5 on CIFAR (appendix B.9).
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 6e-3})
    paper: ClassVar[Preset] = Preset(
        recipe="simclr",
        training={
            "optimizer": "lars", "lr": 0.3, "weight_decay": 1e-4, "spare": True, "batch_size": 4096, "epochs": 100,
            "warmup": 10.0, "draws": "frame",
        },
        method={"hidden": 2048, "temperature": 0.1},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(128, 2, 65_536)
    temperature: float = number(0.2, 0.001, 100)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Contrastive(self, backbone, width)


class _Contrastive(Objective):
    def __init__(self, method: Simclr, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone, self.temperature = backbone, method.temperature
        self.projector = mlp([width, method.hidden, method.width], "norm")

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The mean over all pairs of views."""
        features = self.through(self.backbone, views)
        z = self.through(self.projector, features)
        total = torch.stack([nt_xent(*pair, self.temperature) for pair in combinations(z, 2)]).mean()
        return Loss(total, {"loss": total.detach()}, torch.stack(z[:2]).detach(), features)
