"""SimSiam (Chen and He 2021, https://arxiv.org/abs/2011.10566)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.methods import Loss, Method, Objective


@dataclass(frozen=True)
class Simsiam(Method):
    """Two views predict each other; what is predicted gets no gradient.

    Attributes:
        width: Of the projector's hidden layers and output; the paper's 2048 suits ResNet-50.
        layers: Of the projector: 2 for small images, 3 for ImageNet.
        stop_gradient: Without it the embeddings collapse to one point.
    """

    width: int = 512
    layers: int = 2
    stop_gradient: bool = True

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Siamese(self, backbone, width)


class _Siamese(Objective):
    def __init__(self, method: Simsiam, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.stop_gradient = method.stop_gradient
        self.backbone = backbone
        self.projector = _projector(width, method.width, method.layers)
        bottleneck = method.width // 4
        self.predictor = nn.Sequential(*_block(method.width, bottleneck), nn.Linear(bottleneck, method.width))

    def forward(self, views: Sequence[Tensor]) -> Loss:
        """Minus the mean cosine of predictions and targets, in [-1, 1]; each view has its own batch statistics.

        Every view predicts every other one; where some are smaller (multi-crop), only the large ones are predicted.
        """
        embeddings = [self.projector(self.backbone(view)) for view in views]
        predictions = [self.predictor(embedding) for embedding in embeddings]
        largest = max(view.shape[-1] for view in views)
        large = [i for i, view in enumerate(views) if view.shape[-1] == largest]
        pairs = [(i, j) for j in large for i in range(len(views)) if i != j]
        total = torch.stack([self._distance(predictions[i], embeddings[j]) for i, j in pairs]).mean()
        return Loss(total, {"loss": total.detach()}, torch.stack(embeddings[:2]).detach())

    def _distance(self, prediction: Tensor, target: Tensor) -> Tensor:
        if self.stop_gradient:
            target = target.detach()
        # in full precision: near the optimum a cosine differs from 1 by less than half precision can say
        return -F.cosine_similarity(prediction.float(), target.float()).mean()

    def constant_rate(self) -> list[nn.Parameter]:
        """The predictor must keep adapting: its rate does not decay (paper, section 4.2)."""
        return list(self.predictor.parameters())


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]


def _projector(inputs: int, width: int, layers: int) -> nn.Sequential:
    """Linear layers with batch norm; the last has no ReLU, and no scale and offset of its own."""
    widths = [inputs] + [width] * layers
    blocks = [layer for pair in pairwise(widths) for layer in _block(*pair)]
    return nn.Sequential(*blocks[:-2], nn.BatchNorm1d(width, affine=False))
