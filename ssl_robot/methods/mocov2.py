"""MoCo v2 (Chen, Fan, Girshick and He 2020, https://arxiv.org/abs/2003.04297; He 2020, https://arxiv.org/abs/1911.05722)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.contrast import among_earlier
from ssl_robot.distributed import gathered
from ssl_robot.heads import mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset, pairs
from ssl_robot.ranges import number
from ssl_robot.teacher import Queue, follow, teacher_of


@dataclass(frozen=True)
class Mocov2(Method):
    """A view finds its key, made by a slow copy of the network, among the keys of earlier batches (He 2020).

    Attributes:
        hidden: Width of the projector's hidden layer (MoCo v2, section 3; 2048 for ResNet-50).
        bn: Batch norm in the projector's hidden layer, as LooC's heads need it on frames of one scene; the authors have
            none.
        width: Of its output.
        queue: How many earlier keys; 65,536 for a million pictures, here at most a good part of the frames.
        keep: Share of the slow copy that stays at each step; .999 over ImageNet's many steps.
        temperature: Divides the cosines.
        symmetric: Whether both views ask, as in SimSiam's comparison, or the first one only.
        splits: Parts in which a batch goes through the slow copy, so that batch norm, which sees all of it for the
            queries, cannot give the answer away; stands in for shuffling between GPUs (He 2020, section 3.3). A part
            has at least two frames: small batches go through in fewer parts.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 1e-3, "draws": "batch"})
    paper: ClassVar[Preset] = Preset(
        recipe="mocov2",
        training={"lr": 0.03, "batch_size": 256, "epochs": 200, "warmup": 0.0, "draws": "frame"},
        method={"hidden": 2048, "bn": False, "queue": 65_536, "keep": 0.999, "symmetric": False, "splits": 8},
    )

    hidden: int = number(512, 1, 65_536)
    bn: bool = True
    width: int = number(128, 2, 65_536)
    queue: int = number(2048, 1)
    keep: float = number(0.99, 0, 1)
    temperature: float = number(0.2, 0.001, 100)
    symmetric: bool = True
    splits: int = number(1, 1, 1024)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Queued(self, backbone, width)


class _Queued(Objective):
    def __init__(self, method: Mocov2, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        self.projector = mlp([width, method.hidden, method.width], norm=method.bn)
        self.teacher = teacher_of(backbone, self.projector)
        self.queue = Queue(method.queue, method.width)

    def begin(self, epoch: float, epochs: int) -> None:
        """The slow copy follows before it makes keys."""
        follow(self.teacher, self.backbone, self.projector, keep=self.method.keep)

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The mean over the pairs; the keys join the queue afterwards."""
        chosen = pairs(views, self.method.symmetric)
        asking, asked = sorted({i for i, _ in chosen}), sorted({j for _, j in chosen})
        features = self.through(self.backbone, [views[i] for i in asking])
        queries = dict(zip(asking, self.through(self.projector, features), strict=True))
        keys = {j: self._keys(views[j]) for j in asked}
        earlier = self.queue.vectors[0].clone()
        losses = [among_earlier(queries[i], keys[j], earlier, self.method.temperature) for i, j in chosen]
        total = torch.stack(losses).mean()
        for j in asked:
            self.queue.put(gathered(keys[j])[None])
        first, second = chosen[0]
        seen = torch.stack([queries[first].float().detach(), keys[second]])
        of_first = [part for place, (i, part) in enumerate(zip(asking, features, strict=True)) if i == place]
        return Loss(total, {"loss": total.detach()}, seen, of_first)

    @torch.no_grad()
    def _keys(self, view: Tensor) -> Tensor:
        """Of unit length, (b, width); each part of the batch has its own batch statistics."""
        parts = view.tensor_split(min(self.method.splits, max(1, len(view) // 2)))
        keys = torch.cat([self.teacher(part) for part in parts])
        return F.normalize(keys.float(), dim=1)
