"""VICReg (Bardes, Ponce and LeCun 2022, https://arxiv.org/abs/2105.04906)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.distributed import gathered
from ssl_robot.heads import exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset
from ssl_robot.ranges import number


@dataclass(frozen=True)
class Vicreg(Method):
    """Views agree, every channel varies, and no two channels say the same (Bardes 2022).

    Attributes:
        hidden: Width of the expander's hidden layers (section 4.2; 8192 in the paper).
        width: Of its output.
        invariance: Weight of the squared distance of two views.
        variance: Weight of the channels' standard deviations, as far as they are below 1.
        covariance: Weight of the squared covariances between channels.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 6e-3})
    paper: ClassVar[Preset] = Preset(
        recipe="byol",
        training={
            "optimizer": "lars", "lr": 0.3, "weight_decay": 1e-6, "spare": True, "batch_size": 512, "epochs": 100,
            "warmup": 10.0, "draws": "frame",
        },
        method={"hidden": 8192, "width": 8192},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    width: int = number(512, 2, 65_536)
    invariance: float = number(25.0, 0)
    variance: float = number(25.0, 0)
    covariance: float = number(1.0, 0)

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Regularised(self, backbone, width)


@exact
def apart(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of two views' embeddings (equation 5)."""
    return F.mse_loss(first, second)


@exact
def flat(z: Tensor) -> Tensor:
    """How far the channels' standard deviations lie below 1, over all processes (equation 1)."""
    return (1 - (gathered(z).var(0) + 1e-4).sqrt()).relu().mean()


@exact
def tied(z: Tensor) -> Tensor:
    """Sum of the squared covariances between channels, over their number, over all processes (equations 3 and 4)."""
    z = gathered(z)
    n, d = z.shape
    centred = z - z.mean(0)
    covariance = centred.T @ centred / (n - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / d


class _Regularised(Objective):
    def __init__(self, method: Vicreg, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        self.projector = mlp([width, method.hidden, method.hidden, method.width])

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """Invariance over all pairs; variance, halved for two views as in the authors' code, and covariance."""
        features = self.through(self.backbone, views)
        z = self.through(self.projector, features)
        parts = {
            "invariance": torch.stack([apart(*pair) for pair in combinations(z, 2)]).mean(),
            "variance": torch.stack([flat(part) for part in z]).mean(),
            "covariance": 2 * torch.stack([tied(part) for part in z]).mean(),
        }
        total = torch.stack([getattr(self.method, name) * part for name, part in parts.items()]).sum()
        record = {"loss": total.detach(), **{name: part.detach() for name, part in parts.items()}}
        return Loss(total, record, torch.stack(z[:2]).detach(), features)
