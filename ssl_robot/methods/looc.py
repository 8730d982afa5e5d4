"""LooC, leave one out (Xiao, Wang, Efros and Darrell 2021, https://arxiv.org/abs/2008.05659)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.contrast import among_earlier
from ssl_robot.distributed import gathered
from ssl_robot.errors import InputError
from ssl_robot.heads import mlp
from ssl_robot.methods import Drawn, Loss, Method, Objective, Preset
from ssl_robot.ranges import number
from ssl_robot.teacher import Queue, follow, teacher_of


@dataclass(frozen=True)
class Looc(Method):
    """MoCo with a space for each invariance in which just that one is not asked for (Xiao 2021).

    Attributes:
        spaces: Invariances of the recipe that get a space; joined by +, several get one together, as hue+saturation.
        hidden: Width of the projectors' hidden layers.
        bn: Batch norm in the projector's hidden layer: the authors have none, but frames of one scene are so alike that
            little is learnt without.
        width: Of each space.
        queue: How many earlier keys each space has.
        keep: Share of the slow copy that stays at each step.
        temperature: Divides the cosines.
    """

    small: ClassVar[Preset] = Preset(training={"optimizer": "adamw", "lr": 1e-3, "draws": "batch"})
    paper: ClassVar[Preset] = Preset(
        recipe="mocov2",
        training={"lr": 0.03, "batch_size": 256, "epochs": 500, "warmup": 0.0, "draws": "frame"},
        method={
            "hidden": 2048,
            "bn": False,
            "queue": 16_384,
            "keep": 0.999,
            "spaces": ("brightness+contrast+saturation+hue",),
        },
    )

    spaces: tuple[str, ...] = ("flip", "hue")
    hidden: int = number(512, 1, 65_536)
    bn: bool = True
    width: int = number(128, 2, 65_536)
    queue: int = number(2048, 1)
    keep: float = number(0.99, 0, 1)
    temperature: float = number(0.2, 0.001, 100)

    def copies(self, recipe: Sequence[str]) -> Sequence[Sequence[str]]:
        """One view more for each space.

        Raises:
            InputError: If the recipe lacks an invariance that is to have a space.
        """
        wanted = [tuple(space.split("+")) for space in self.spaces]
        known = [name for name in recipe if name not in ("time", "camera")]
        for name in [name for names in wanted for name in names]:
            if name not in known:
                raise InputError(
                    f"looc.spaces names '{name}', but must name what the recipe's views draw, other than time and "
                    f"camera: {', '.join(known) or 'it has nothing of that kind, choose another --recipe'}."
                )
        return wanted

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        return _LeftOut(self, backbone, width)


class _LeftOut(Objective):
    def __init__(self, method: Looc, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.method, self.backbone = method, backbone
        count = 1 + len(method.spaces)
        self.projectors = nn.ModuleList(mlp([width, method.hidden, method.width], norm=method.bn) for _ in range(count))
        self.teacher = teacher_of(backbone, self.projectors)
        self.queue = Queue(method.queue, method.width, count)

    def begin(self, epoch: float, epochs: int) -> None:
        """The slow copy follows before it makes keys."""
        follow(self.teacher, self.backbone, self.projectors, keep=self.method.keep)

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The mean over the spaces.

        The first view asks. In the first space, which is invariant to everything, the second view is its key. In each
        other one it is the view that repeats what the space is about, and the frame's other keys, in which that was
        drawn anew, are no better than other frames.
        """
        spaces = len(self.projectors)
        features = self.backbone(views[0])
        queries = [projector(features) for projector in self.projectors]
        keys = self._keys([views[1], *views[-(spaces - 1) :]] if spaces > 1 else [views[1]])
        earlier = self.queue.vectors.clone()
        losses = [among_earlier(queries[0], keys[0][:, 0], earlier[0], self.method.temperature)]
        for i in range(1, spaces):
            own = torch.cat([keys[i][:, i : i + 1], keys[i][:, :i], keys[i][:, i + 1 :]], 1)
            losses.append(among_earlier(queries[i], own, earlier[i], self.method.temperature))
        self.queue.put(torch.stack([gathered(key[:, i].contiguous()) for i, key in enumerate(keys)]))
        total = torch.stack(losses).mean()
        record = {"loss": total.detach(), "invariant": losses[0].detach()}
        seen = torch.stack([queries[0].float().detach(), keys[0][:, 0]])
        return Loss(total, record, seen, [features])

    @torch.no_grad()
    def _keys(self, views: Sequence[Tensor]) -> list[Tensor]:
        """For each space, what it makes of every view, of unit length, (b, views, width)."""
        backbone, projectors = self.teacher
        features = self.through(backbone, views)
        return [
            F.normalize(torch.stack([projector(part) for part in features], 1).float(), dim=2)
            for projector in projectors.children()
        ]
