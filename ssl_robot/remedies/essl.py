"""E-SSL: tell which way up a view is (Dangovski and others 2022, https://arxiv.org/abs/2111.00899)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.distributed import processes, rank
from ssl_robot.errors import InputError
from ssl_robot.heads import mlp
from ssl_robot.methods import Drawn
from ssl_robot.ranges import number
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.remedies import Remedy, Task

_MOST = 45  # degrees by which a view may have been turned before


@dataclass(frozen=True)
class Essl(Remedy):
    """Read off a view's vector by how many quarter turns it was turned (Dangovski 2022).

    Every view is turned once, each way as often, where the paper turns every one four times: the same loss on average
    for a quarter of the work.

    Attributes:
        weight: Of its loss: .4 on CIFAR, .08 on ImageNet (appendix).
        hidden: Width of the head's hidden layers.
    """

    weight: float = number(0.4, 0, 1000)
    hidden: int = number(512, 1, 65_536)

    def build(self, width: int, recipe: Recipe) -> Task:
        """A head with an output for each orientation.

        Raises:
            InputError: If the views have been turned too far for the question to have an answer.
        """
        for item in recipe.invariances:
            if name_of(item) == "quarter_turn" or getattr(item, "degrees", 0) > _MOST:
                raise InputError(
                    f"essl asks which way up a view is, which '{name_of(item)}' leaves open: add --without "
                    f"{name_of(item)}, or turn by {_MOST} degrees at most."
                )
        return _WhichWayUp(width, self.hidden)


class _WhichWayUp(Task):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.head = mlp([width, hidden, hidden, 4])

    def forward(
        self, backbone: nn.Module, views: Sequence[Tensor], features: list[Tensor], drawn: Sequence[Drawn]
    ) -> Tensor:
        """Cross-entropy of the four orientations; a batch is in random order, so that its rows may take turns."""
        view = views[0]
        turns = (torch.arange(len(view)) * processes() + rank()) % 4  # of a row among those of all processes
        turned = torch.cat([view[turns == turn].rot90(turn, (2, 3)) for turn in range(4)])
        wanted = turns.sort(stable=True).values.to(view.device)
        scores = self.head(backbone(turned.contiguous(memory_format=torch.channels_last)))
        return F.cross_entropy(scores.float(), wanted)
