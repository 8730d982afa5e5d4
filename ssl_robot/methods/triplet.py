"""Triplets over time (Wang and Gupta 2015, https://arxiv.org/abs/1505.00687; Sermanet 2018, https://arxiv.org/abs/1704.06888)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.distributed import gathered, rank
from ssl_robot.heads import exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset
from ssl_robot.ranges import number


@dataclass(frozen=True)
class Triplet(Method):
    """A frame is closer to one shortly after than to others, by a margin (Wang and Gupta 2015).

    The positive is the second view, which ``time`` makes a later frame; other frames of the batch are negatives, and so
    is a third view, if the recipe has one far away in time (as ``tcn``; Sermanet 2018).

    Attributes:
        hidden: Width of the projector's hidden layer.
        width: Of the embedding.
        margin: By which cosines must differ (Wang and Gupta, section 4.2).
        negatives: How many of the batch's frames, the closest ones, are pushed away once that begins.
        hard_from: Epoch from which it does; before, all of them are, on average as by random choice. In most runs
            never: the closest frames of one scene are nearly the same, and pushing those away makes all embeddings
            alike.
    """

    small: ClassVar[Preset] = Preset(recipe="time", training={"optimizer": "adamw", "lr": 2e-3})
    paper: ClassVar[Preset] = Preset(
        recipe="time",
        training={
            "lr": 0.0025, "batch_size": 100, "epochs": 100, "warmup": 0.0, "weight_decay": 5e-4, "draws": "frame",
        },
        method={"hidden": 4096, "width": 1024, "hard_from": 10.0},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(128, 2, 65_536)
    margin: float = number(0.5, 0, 2)
    negatives: int = number(4, 1)
    hard_from: float = number(1000.0, 0)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Ranked(self, backbone, width)


@exact
def ranked(anchor: Tensor, positive: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """How far positives are from being closer than negatives by the margin, by cosine (equations 1 and 2).

    Args:
        anchor: (b, d).
        positive: (b, d).
        negatives: (b, k, d), some for each anchor.
        margin: In cosine.

    Returns:
        A scalar, the mean over all triplets.
    """
    near = F.cosine_similarity(anchor, positive)
    far = F.cosine_similarity(anchor[:, None], negatives, dim=2)
    return (far - near[:, None] + margin).relu().mean()


@exact
def ranked_in_batch(anchor: Tensor, positive: Tensor, negatives: float, margin: float) -> Tensor:
    """The same with the positives of other frames as negatives, over all processes.

    Args:
        anchor: (b, d).
        positive: (b, d), row i of the same frame as row i of the anchors.
        negatives: How many of the closest; 0 for all.
        margin: In cosine.

    Returns:
        A scalar.
    """
    cosines = F.normalize(anchor, dim=1) @ F.normalize(gathered(positive), dim=1).T
    own = torch.arange(len(anchor), device=anchor.device)[:, None] + rank() * len(anchor)
    near = cosines.gather(1, own)
    itself = torch.zeros_like(cosines, dtype=torch.bool).scatter_(1, own, True)
    others = cosines.masked_fill(itself, -torch.inf)
    count = min(int(negatives) or others.shape[1], others.shape[1] - 1)
    return (others.topk(count, 1).values - near + margin).relu().mean()


class _Ranked(Objective):
    def __init__(self, method: Triplet, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        self.projector = mlp([width, method.hidden, method.width])
        self._negatives = 0

    def begin(self, epoch: float, epochs: int) -> None:
        """Negatives become hard."""
        self._negatives = self.method.negatives if epoch >= self.method.hard_from else 0

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """Of the batch's negatives and, where there is a third view, of that."""
        features = self.through(self.backbone, views)
        z = self.through(self.projector, features)
        total = ranked_in_batch(z[0], z[1], self._negatives, self.method.margin)
        if len(z) > 2:
            total = (total + ranked(z[0], z[1], torch.stack(z[2:], 1), self.method.margin)) / 2
        return Loss(total, {"loss": total.detach()}, torch.stack(z[:2]).detach(), features)
