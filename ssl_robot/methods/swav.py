"""SwAV (Caron and others 2020, https://arxiv.org/abs/2006.09882)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.distributed import gathered, processes, rank
from ssl_robot.heads import exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset, large
from ssl_robot.ranges import number
from ssl_robot.teacher import Queue


@dataclass(frozen=True)
class Swav(Method):
    """A view predicts to which prototypes the other one is assigned, all being used alike (Caron 2020).

    Attributes:
        hidden: Width of the projector's hidden layer (appendix A; 2048 for ResNet-50).
        width: Of embedding and prototypes.
        bn: Batch norm on the projector's output, which keeps the embeddings of similar frames apart; the authors have
            none.
        prototypes: How many: 3,000 on ImageNet, a few hundred on small data.
        temperature: Divides the cosines of what predicts (section 3.1).
        epsilon: How soft assignments are; .05 in the paper.
        iterations: Of Sinkhorn's algorithm (section 3.1).
        freeze: Epochs during which prototypes stay as they were drawn.
        queue: Earlier embeddings that are assigned along, for batches smaller than the prototypes are many (section
            4.1: 3,840); 0 for none.
        queue_from: Epoch from which they are.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 2e-3, "draws": "batch"})
    paper: ClassVar[Preset] = Preset(
        recipe="swav",
        training={
            "optimizer": "lars", "lr": 0.3, "weight_decay": 1e-6, "batch_size": 4096, "epochs": 100, "warmup": 10.0,
            "draws": "frame",
        },
        method={"hidden": 2048, "bn": False, "epsilon": 0.05, "prototypes": 3000, "freeze": 1.0, "queue": 0},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(128, 2, 65_536)
    bn: bool = True
    prototypes: int = number(300, 2)
    temperature: float = number(0.1, 0.001, 100)
    epsilon: float = number(0.025, 0.02, 100)
    iterations: int = number(3, 1, 100)
    freeze: float = number(0.5, 0)
    queue: int = number(512, 0)
    queue_from: float = number(2.0, 0)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Swapped(self, backbone, width)


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Assign vectors to prototypes so that every prototype gets as much, over all processes (section 3.1).

    Args:
        scores: Cosines, (n, prototypes).
        epsilon: How soft.
        iterations: How often rows and columns are balanced.

    Returns:
        Each vector's shares, (n, prototypes), which sum to 1.
    """
    shares = (scores.float() / epsilon).exp()
    shares = shares / _everywhere(shares.sum())
    n, prototypes = _everywhere(shares.new_tensor(len(shares))), shares.shape[1]
    for _ in range(iterations):
        shares = shares / (_everywhere(shares.sum(0)) * prototypes)
        shares = shares / (shares.sum(1, keepdim=True) * n)
    return shares * n


def _everywhere(total: Tensor) -> Tensor:
    if processes() > 1:
        torch.distributed.all_reduce(total)
    return total


@exact
def swapped(scores: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of another view's assignment as this view's cosines predict it (equation 2)."""
    return -(shares * (scores / temperature).log_softmax(1)).sum(1).mean()


class _Swapped(Objective):
    def __init__(self, method: Swav, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        self.projector = mlp([width, method.hidden, method.width], "plain norm" if method.bn else "linear")
        self.prototypes = nn.Linear(method.width, method.prototypes, bias=False)
        self.queue = Queue(max(1, method.queue), method.width, sets=2)
        self._epoch = 0.0

    def begin(self, epoch: float, epochs: int) -> None:
        """Prototypes have unit length."""
        self._epoch = epoch
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    def trim(self, epoch: float) -> None:
        """Prototypes do not move at first."""
        if epoch < self.method.freeze:
            self.prototypes.weight.grad = None

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """Every view predicts the assignment of every other large one."""
        features = self.through(self.backbone, views)
        z = [F.normalize(part.float(), dim=1) for part in self.through(self.projector, features)]
        scores = [self._scores(part) for part in z]
        chosen = large(views)
        shares = {i: self._assigned(place, scores[i]) for place, i in enumerate(chosen)}
        losses = [
            swapped(scores[v], shares[i], self.method.temperature) for i in chosen for v in range(len(z)) if v != i
        ]
        total = torch.stack(losses).mean()
        if self.method.queue:
            self.queue.put(torch.stack([gathered(z[i].detach()) for i in chosen[:2]]))
        return Loss(total, {"loss": total.detach()}, torch.stack(z[:2]).detach(), features)

    def _scores(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            scores: Tensor = self.prototypes(z)
        return scores

    @torch.no_grad()
    def _assigned(self, place: int, scores: Tensor) -> Tensor:
        method = self.method
        if method.queue and place < 2 and self._epoch >= method.queue_from and self.queue.full:
            along = torch.cat([scores, self._scores(self.queue.vectors[place][rank() :: processes()])])
            return sinkhorn(along, method.epsilon, method.iterations)[: len(scores)]
        return sinkhorn(scores, method.epsilon, method.iterations)
