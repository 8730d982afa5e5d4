"""One file per objective: each holds one frozen dataclass of hyper-parameters named like the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn


class Loss(NamedTuple):
    """What a step minimises.

    Attributes:
        total: Scalar.
        parts: Its named parts and, as ``loss``, the total, detached, for the record.
        embeddings: Of the first two views, which the monitors watch, (2, b, d), detached.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    embeddings: Tensor


class Objective(nn.Module):
    """A backbone with a method's heads."""

    backbone: nn.Module

    def forward(self, views: Sequence[Tensor]) -> Loss:
        """The loss of a batch's views, each (b, 3, h, w)."""
        raise NotImplementedError

    def constant_rate(self) -> list[nn.Parameter]:
        """Parameters whose learning rate does not decay."""
        return []


@dataclass(frozen=True)
class Method:
    """Hyper-parameters of an objective."""

    def build(self, backbone: nn.Module, width: int) -> Objective:
        """The objective on top of a backbone whose vectors have this width."""
        raise NotImplementedError
