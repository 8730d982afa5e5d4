"""DINO (Caron and others 2021, https://arxiv.org/abs/2104.14294)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.distributed import processes
from ssl_robot.heads import exact, mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset, large, pairs
from ssl_robot.ranges import number
from ssl_robot.teacher import follow, rising, teacher_of


@dataclass(frozen=True)
class Dino(Method):
    """A view predicts the soft class that a slow copy of the network gives to another view (Caron 2021).

    Attributes:
        hidden: Width of the head's hidden layers (section 3.1; 2048 in the paper).
        bottleneck: Width before the classes.
        classes: How many: 65,536 on ImageNet, a thousand on small data.
        keep: Share of the slow copy that stays at the first step, rising to 1.
        temperature: Of the student's softmax.
        teacher_temperature: Of the slow copy's: lower, so that its classes are sharper.
        centre: Share of the running mean of the slow copy's outputs that stays; taken off, it keeps one class from
            winning everywhere (section 3.1).
        freeze: Epochs during which the last layer stays as it was drawn.
        bn: Batch norm in the head's hidden layers: not in the paper. Without it the scores of a few thousand frames of
            one scene are nearly the same, and the classes become uniform.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 6e-3, "draws": "batch"})
    paper: ClassVar[Preset] = Preset(
        recipe="dino",
        training={
            "optimizer": "adamw", "lr": 5e-4, "weight_decay": 0.04, "weight_decay_end": 0.4, "spare": True,
            "batch_size": 1024, "epochs": 100, "warmup": 10.0, "clip": 3.0, "draws": "frame",
        },
        method={"hidden": 2048, "classes": 65_536, "keep": 0.996, "freeze": 1.0, "bn": False},
    )  # fmt: skip

    hidden: int = number(512, 1, 65_536)
    bottleneck: int = number(256, 2, 65_536)
    classes: int = number(1024, 2)
    keep: float = number(0.99, 0, 1)
    temperature: float = number(0.1, 0.001, 100)
    teacher_temperature: float = number(0.04, 0.001, 100)
    centre: float = number(0.9, 0, 1)
    freeze: float = number(0.5, 0)
    bn: bool = True

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _Distilled(self, backbone, width)


@exact
def distilled(student: Tensor, teacher: Tensor, centre: Tensor, warm: float, cold: float) -> Tensor:
    """Cross-entropy of the teacher's centred, sharpened softmax as the student's sees it (equation 1).

    Args:
        student: Class scores, (b, classes).
        teacher: Those of another view, (b, classes).
        centre: What is taken off the teacher's, (classes,).
        warm: Temperature of the student.
        cold: Temperature of the teacher.
    """
    wanted = ((teacher - centre) / cold).softmax(1)
    return -(wanted * (student / warm).log_softmax(1)).sum(1).mean()


class Head(nn.Module):
    """Three layers, unit length, and class scores by directions of unit length (section 3.1).

    Args:
        widths: Of input, hidden layers, bottleneck and classes.
        norm: Whether hidden layers have batch norm.
    """

    def __init__(self, widths: Sequence[int], norm: bool) -> None:
        super().__init__()
        *before, classes = widths
        self.mlp = mlp(before, norm=norm, activation=nn.GELU)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.last = nn.Linear(before[-1], classes, bias=False)

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings of unit length, (b, bottleneck)."""
        return F.normalize(self.mlp(features), dim=1, eps=1e-6)

    def classes(self, embeddings: Tensor) -> Tensor:
        """Class scores, cosines, (b, classes)."""
        return F.linear(embeddings, F.normalize(self.last.weight, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Class scores, (b, classes)."""
        return self.classes(self.embed(features))


class _Distilled(Objective):
    centre: Tensor

    def __init__(self, method: Dino, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        self.head = Head([width, method.hidden, method.hidden, method.bottleneck, method.classes], method.bn)
        self.teacher = teacher_of(backbone, self.head)
        self.register_buffer("centre", torch.zeros(method.classes))

    def begin(self, epoch: float, epochs: int) -> None:
        """The slow copy follows ever more slowly."""
        follow(self.teacher, self.backbone, self.head, keep=rising(self.method.keep, epoch / epochs))

    def trim(self, epoch: float) -> None:
        """The last layer does not move at first."""
        if epoch < self.method.freeze:
            self.head.last.weight.grad = None

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """Every view predicts what the slow copy makes of every other large one."""
        method, chosen = self.method, large(views)
        features = self.through(self.backbone, views)
        embeddings = self.through(self.head.embed, features)
        student = self.through(self.head.classes, embeddings)
        with torch.no_grad():
            outputs = self.through(self.teacher, [views[i] for i in chosen])
        teacher, centre = dict(zip(chosen, outputs, strict=True)), self.centre.clone()
        warm, cold = method.temperature, method.teacher_temperature
        total = torch.stack([distilled(student[i], teacher[j], centre, warm, cold) for i, j in pairs(views)]).mean()
        self._recentre(torch.stack(outputs).float().mean((0, 1)))
        # without batch norm the embeddings lie close to each other until they are trained for long
        seen = torch.stack((embeddings if method.bn else features)[:2]).detach()
        return Loss(total, {"loss": total.detach()}, seen, features)

    @torch.no_grad()
    def _recentre(self, mean: Tensor) -> None:
        if processes() > 1:
            torch.distributed.all_reduce(mean)
        self.centre.lerp_(mean / processes(), 1 - self.method.centre)
