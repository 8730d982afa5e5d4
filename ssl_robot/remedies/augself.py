"""AugSelf: tell how two views differ (Lee, Lee, Lee, Lee and Shin 2021, https://arxiv.org/abs/2111.09613)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.errors import InputError
from ssl_robot.heads import mlp
from ssl_robot.invariances import Invariance, Source
from ssl_robot.methods import Drawn
from ssl_robot.random import uniforms
from ssl_robot.ranges import number
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.remedies import Remedy, Task

_SAMPLES = 4096  # draws from which a parameter's scale is taken


@dataclass(frozen=True)
class Augself(Remedy):
    """Read off two views' vectors by how much their augmentations' parameters differ (Lee 2021).

    Attributes:
        weight: Of its loss: 1 on STL-10, .5 on ImageNet-100 (section 4).
        of: Which invariances' parameters; all of the recipe's, if none are named.
        hidden: Width of the head's hidden layers.
    """

    reads: ClassVar[bool] = True

    weight: float = number(1.0, 0, 1000)
    of: tuple[str, ...] = ()
    hidden: int = number(512, 1, 65_536)

    def build(self, width: int, recipe: Recipe) -> Task:
        """A head with an output for each parameter.

        Raises:
            InputError: If the recipe lacks what is asked for.
        """
        (first, _), (second, _) = recipe.views[:2]
        known = {name_of(a): (a, b) for a, b in zip(first, second, strict=True) if not isinstance(a, Source)}
        wrong = sorted(set(self.of) - set(known))
        if wrong or not known:
            raise InputError(
                f"augself.of names {', '.join(wrong) or 'nothing'}, but must name invariances that the recipe's views "
                f"draw: {', '.join(known) or 'it has none, choose another --recipe'}."
            )
        chosen = {name: pair for name, pair in known.items() if name in self.of or not self.of}
        return _Difference(chosen, width, self.hidden)


class _Difference(Task):
    """Parameters are compared on the scale of their own differences."""

    def __init__(self, chosen: dict[str, tuple[Invariance, Invariance]], width: int, hidden: int) -> None:
        super().__init__()
        self.names = tuple(chosen)
        scales = [_scale(*pair) for pair in chosen.values()]
        self.turns = [scale.shape[0] for scale in scales]
        self.register_buffer("scale", torch.cat(scales), persistent=False)
        self.head = mlp([2 * width, hidden, hidden, sum(self.turns)])

    def forward(
        self, backbone: nn.Module, views: Sequence[Tensor], features: list[Tensor], drawn: Sequence[Drawn]
    ) -> Tensor:
        """Mean squared error, in units of what it would cost to say that the views do not differ."""
        features += [backbone(view) for view in views[len(features) : 2]]
        first, second = (torch.cat([part[name] for name in self.names], 1) for part in drawn[:2])
        wanted = (first - second).to(features[0].device) / self.get_buffer("scale")
        return F.mse_loss(self.head(torch.cat(features[:2], 1)).float(), wanted)


def _scale(first: Invariance, second: Invariance) -> Tensor:
    """How far two views' parameters lie apart, root mean square, (parameters,); views may draw them differently."""
    u, half = uniforms(0, 0, torch.arange(_SAMPLES), 0, 1 + first.draws), _SAMPLES // 2
    return (first.sample(u[:half]) - second.sample(u[half:])).square().mean(0).sqrt().clamp(min=1e-6)
