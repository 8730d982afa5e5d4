"""One file per objective: each holds one frozen dataclass of hyper-parameters named like the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import permutations
from typing import Any, ClassVar, Literal, NamedTuple, Self

from torch import Tensor, nn

from ssl_robot.errors import InputError
from ssl_robot.heads import through
from ssl_robot.ranges import check

Drawn = Mapping[str, Tensor]  # what each invariance drew for a view, (b, parameters) each


class Loss(NamedTuple):
    """What a step minimises.

    Attributes:
        total: Scalar.
        parts: Its named parts and, as ``loss``, the total, detached, for the record.
        embeddings: Of the first two views, which the monitors watch, (2, b, d), detached.
        features: The backbone's vectors of the first views, with gradients, (b, width) each.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    embeddings: Tensor
    features: Sequence[Tensor]


class Objective(nn.Module):
    """A backbone with a method's heads.

    Attributes:
        together: Whether views of one size go through a network as one batch, which batch norm notices.
    """

    backbone: nn.Module
    together: bool = False

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The loss of a batch.

        Args:
            views: (b, 3, h, w) each.
            drawn: What made each of them.
        """
        raise NotImplementedError

    def begin(self, epoch: float, epochs: int) -> None:
        """What is done before a step, as to let a teacher follow.

        Args:
            epoch: How many are done, with the part of the present one.
            epochs: Of the run.
        """

    def trim(self, epoch: float) -> None:
        """Drop gradients of what does not learn yet, before the optimiser's step."""

    def constant_rate(self) -> list[nn.Parameter]:
        """Parameters whose learning rate does not decay."""
        return []

    def through(self, module: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        """What a network makes of several views."""
        return through(module, inputs, self.together)


@dataclass(frozen=True)
class Preset:
    """Settings that were found, or published, together.

    Attributes:
        recipe: Name of the views.
        training: Fields of ``Training`` that are not as usual.
        method: Hyper-parameters that are not the file's defaults.
    """

    recipe: str = "simsiam"
    training: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """Hyper-parameters of an objective; their defaults suit thousands of frames, not ImageNet.

    Attributes:
        small: What learns within minutes on thousands of frames.
        paper: What its authors published.

    Raises:
        InputError: If a hyper-parameter is out of its range.
    """

    small: ClassVar[Preset]
    paper: ClassVar[Preset]

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def preset(cls, name: Literal["small", "paper"]) -> Preset:
        """Settings by name."""
        return cls.paper if name == "paper" else cls.small

    @classmethod
    def made(cls, preset: Literal["small", "paper"], changes: Mapping[str, Any]) -> Self:
        """The method as a preset has it, but for some changes.

        Raises:
            InputError: If it has no such hyper-parameter, or one is out of its range.
        """
        known = [item.name for item in fields(cls)]
        wrong = sorted(set(changes) - set(known))
        if wrong:
            name = cls.__module__.rpartition(".")[2]
            raise InputError(f"'{name}' has no setting '{wrong[0]}': it has {', '.join(known)}.")
        return replace(cls(), **{**cls.preset(preset).method, **changes})

    def copies(self, recipe: Sequence[str]) -> Sequence[Sequence[str]]:
        """For each view that is wanted beside the recipe's: of which invariances it repeats what the first view drew.

        Args:
            recipe: Names of the invariances.
        """
        return ()

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        raise NotImplementedError


def pairs(views: Sequence[Tensor], symmetric: bool = True) -> list[tuple[int, int]]:
    """Which view learns from which: every one from every other large one, or each even one from the next.

    >>> import torch
    >>> large, small = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4)
    >>> pairs([large, large, small])
    [(0, 1), (1, 0), (2, 0), (2, 1)]
    >>> pairs([large] * 4, symmetric=False)
    [(0, 1), (2, 3)]

    Args:
        views: (b, 3, h, w) each; where some are smaller (multi-crop), none learns from them.
        symmetric: Whether both of a pair learn.

    Raises:
        InputError: If there are none.
    """
    chosen = large(views)
    if symmetric:
        found = [(i, j) for i, j in permutations(range(len(views)), 2) if j in chosen]
    else:
        found = list(zip(chosen[::2], chosen[1::2], strict=False))
    if not found:
        raise InputError("The method compares views of the full size: give the recipe at least two of them.")
    return found


def large(views: Sequence[Tensor]) -> list[int]:
    """Places of the views that are as large as the largest."""
    most = max(view.shape[-1] for view in views)
    return [i for i, view in enumerate(views) if view.shape[-1] == most]
