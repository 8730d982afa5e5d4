"""SimSiam (Chen and He 2021, https://arxiv.org/abs/2011.10566)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.heads import Last, exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset, pairs
from ssl_robot.ranges import number


@dataclass(frozen=True)
class Simsiam(Method):
    """Two views predict each other; what is predicted gets no gradient (Chen and He 2021).

    Attributes:
        width: Of the projector's layers, and so of the embedding; the paper's 2048 suits ResNet-50.
        layers: Of the projector: 2 for small images, 3 for ImageNet.
        stop_gradient: Without it the embeddings collapse (section 4.1).
        predictor: A small network, none (collapses), or one that stays as it was drawn (learns nothing; section 4.2).
        predictor_lr: Whether the predictor's rate decays like the others' or stays, which is a little better.
        symmetric: Whether both views predict, or the first one only (section 4.6).
        similarity: Cosine, or cross-entropy of softmaxes over the channels (section 4.5).
        bn: Batch norm in the heads: none, in hidden layers, also on the projector's output (default), or also on the
            predictor's (section 4.4), which is unstable on ImageNet and steadier on a few thousand frames of one scene.
    """

    small: ClassVar[Preset] = Preset(training={"lr": 1.0}, method={"bn": "all"})
    paper: ClassVar[Preset] = Preset(
        training={"lr": 0.05, "batch_size": 512, "epochs": 100, "warmup": 0.0, "draws": "frame"},
        method={"width": 2048, "layers": 3},
    )

    width: int = number(512, 4, 65_536)
    layers: int = number(2, 1, 16)
    stop_gradient: bool = True
    predictor: Literal["mlp", "none", "fixed"] = "mlp"
    predictor_lr: Literal["constant", "cosine"] = "constant"
    symmetric: bool = True
    similarity: Literal["cosine", "cross_entropy"] = "cosine"
    bn: Literal["none", "hidden", "default", "all"] = "default"

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Siamese(self, backbone, width)


@exact
def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine, in [-1, 1]."""
    return -F.cosine_similarity(prediction, target).mean()


@exact
def cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Of the target's softmax over its channels, as seen by the prediction's."""
    return -(target.softmax(1) * prediction.log_softmax(1)).sum(1).mean()


class _Siamese(Objective):
    def __init__(self, method: Simsiam, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        d, norm = method.width, method.bn != "none"
        last: Last = "plain norm" if method.bn in ("default", "all") else "linear"
        self.projector = mlp([width, *[d] * method.layers], last, norm)
        self.predictor: nn.Module = nn.Identity()
        if method.predictor != "none":
            self.predictor = mlp([d, d // 4, d], "norm" if method.bn == "all" else "linear", norm)
        self.predictor.requires_grad_(method.predictor != "fixed")
        self.distance = cosine if method.similarity == "cosine" else cross_entropy

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The mean distance of predictions and targets; every view has its own batch statistics.

        Every view predicts every other one; where some are smaller (multi-crop), only the large ones are predicted.
        """
        features = self.through(self.backbone, views)
        embeddings = self.through(self.projector, features)
        predictions = self.through(self.predictor, embeddings)
        targets = [z.detach() for z in embeddings] if self.method.stop_gradient else embeddings
        chosen = pairs(views, self.method.symmetric)
        total = torch.stack([self.distance(predictions[i], targets[j]) for i, j in chosen]).mean()
        return Loss(total, {"loss": total.detach()}, torch.stack(embeddings[:2]).detach(), features)

    def constant_rate(self) -> list[nn.Parameter]:
        """The predictor must keep adapting: its rate does not decay (section 4.2)."""
        return list(self.predictor.parameters()) if self.method.predictor_lr == "constant" else []
