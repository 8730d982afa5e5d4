"""MoCo v3 (Chen, Xie and He 2021, https://arxiv.org/abs/2104.02057)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_robot.contrast import among_keys
from ssl_robot.heads import mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset, large, pairs
from ssl_robot.ranges import number
from ssl_robot.teacher import follow, rising, teacher_of


@dataclass(frozen=True)
class Mocov3(Method):
    """A view predicts its key, made by a slow copy of the network, among the keys of its batch (Chen 2021).

    Attributes:
        hidden: Width of the hidden layers of projector and predictor (section 3; 4096 in the paper).
        width: Of keys and predictions.
        layers: Of the projector: 2 for convolutions, 3 for transformers.
        keep: Share of the slow copy that stays at the first step, rising to 1.
        temperature: Divides the cosines: 1 for ResNet-50, .2 for transformers.
        freeze_patches: Leave a transformer's patch projection as it was drawn, which keeps it stable (section 4.2).
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 2e-3, "draws": "batch"})
    paper: ClassVar[Preset] = Preset(
        recipe="byol",
        training={
            "optimizer": "adamw", "lr": 1.5e-4, "weight_decay": 0.1, "batch_size": 4096, "epochs": 300, "warmup": 40.0,
            "draws": "frame",
        },
        method={"hidden": 4096, "layers": 3},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(256, 2, 65_536)
    layers: int = number(2, 1, 16)
    keep: float = number(0.99, 0, 1)
    temperature: float = number(0.2, 0.001, 100)
    freeze_patches: bool = True

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Predicting(self, backbone, width)


class _Predicting(Objective):
    def __init__(self, method: Mocov3, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone, self.method = backbone, method
        self.projector = mlp([width, *[method.hidden] * (method.layers - 1), method.width], "plain norm")
        transforms = _patches(backbone)
        self.predictor = mlp(
            [method.width, method.hidden, method.width], "plain norm" if transforms else "plain linear"
        )
        self.teacher = teacher_of(backbone, self.projector)
        for module in transforms if method.freeze_patches else []:
            module.requires_grad_(False)

    def begin(self, epoch: float, epochs: int) -> None:
        """The slow copy follows ever more slowly."""
        follow(self.teacher, self.backbone, self.projector, keep=rising(self.method.keep, epoch / epochs))

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """Both directions of a pair added up, each twice the temperature times the cross-entropy, as in their code."""
        features = self.through(self.backbone, views)
        queries = self.through(self.predictor, self.through(self.projector, features))
        with torch.no_grad():
            chosen = large(views)
            keys = dict(zip(chosen, self.through(self.teacher, [views[i] for i in chosen]), strict=True))
        losses = [among_keys(queries[i], keys[j], self.method.temperature) for i, j in pairs(views)]
        total = 2 * 2 * self.method.temperature * torch.stack(losses).mean()
        return Loss(total, {"loss": total.detach()}, torch.stack(queries[:2]).detach(), features)


def _patches(backbone: nn.Module) -> list[nn.Module]:
    """A transformer's projection of patches, under the name that timm gives it."""
    return [module for name, module in backbone.named_modules() if name.endswith("patch_embed")]
