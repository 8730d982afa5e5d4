"""BYOL (Grill and others 2020, https://arxiv.org/abs/2006.07733)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.heads import exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset, large, pairs
from ssl_robot.ranges import number
from ssl_robot.teacher import follow, rising, teacher_of


@dataclass(frozen=True)
class Byol(Method):
    """A view predicts what a slow copy of the network makes of the other view (Grill 2020).

    Attributes:
        hidden: Width of the hidden layers of projector and predictor (section 3.3; 4096 for ResNet-50).
        width: Of what is predicted.
        bn: Batch norm on the projector's output, as SimSiam has it: the authors have none, but frames of one scene are
            so alike that all get nearly the same embedding without.
        keep: Share of the slow copy that stays at the first step, rising to 1 (section 3.2): .996 over 1,000 epochs of
            ImageNet, .99 over 100.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 2e-3})
    paper: ClassVar[Preset] = Preset(
        recipe="byol",
        training={
            "optimizer": "lars", "lr": 0.45, "weight_decay": 1e-6, "spare": True, "batch_size": 4096, "epochs": 100,
            "warmup": 10.0, "draws": "frame",
        },
        method={"hidden": 4096, "bn": False},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(256, 2, 65_536)
    bn: bool = True
    keep: float = number(0.99, 0, 1)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Bootstrapped(self, backbone, width)


@exact
def squared(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance of unit vectors, 2 - 2 cosine, mean over the batch (equation 2)."""
    return 2 - 2 * F.cosine_similarity(prediction, target).mean()


class _Bootstrapped(Objective):
    def __init__(self, method: Byol, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone, self.keep = backbone, method.keep
        self.projector = mlp([width, method.hidden, method.width], "plain norm" if method.bn else "linear")
        self.predictor = mlp([method.width, method.hidden, method.width])
        self.teacher = teacher_of(backbone, self.projector)

    def begin(self, epoch: float, epochs: int) -> None:
        """The slow copy follows ever more slowly."""
        follow(self.teacher, self.backbone, self.projector, keep=rising(self.keep, epoch / epochs))

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """Both directions of a pair added up, as in the paper; the mean over pairs where there are more views.

        Watched is what the projector makes, as in SimSiam: where little of the other view can be foretold, predictions
        are nearly constant although embeddings are not.
        """
        features = self.through(self.backbone, views)
        embeddings = self.through(self.projector, features)
        predictions = self.through(self.predictor, embeddings)
        with torch.no_grad():
            chosen = large(views)
            targets = dict(zip(chosen, self.through(self.teacher, [views[i] for i in chosen]), strict=True))
        total = 2 * torch.stack([squared(predictions[i], targets[j]) for i, j in pairs(views)]).mean()
        return Loss(total, {"loss": total.detach()}, torch.stack(embeddings[:2]).detach(), features)
