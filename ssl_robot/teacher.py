"""A copy of a network that follows it slowly: the target of MoCo, BYOL and DINO."""

import copy
import math

import torch
from torch import Tensor, nn


def teacher_of(*parts: nn.Module) -> nn.Sequential:
    """A copy that no gradient reaches.

    Args:
        parts: Modules that follow each other, as backbone and projector.
    """
    return nn.Sequential(*copy.deepcopy(parts)).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, *parts: nn.Module, keep: float) -> None:
    """Move the teacher's parameters a little towards the student's; batch statistics are its own.

    Args:
        teacher: What ``teacher_of`` these parts made.
        parts: The student's modules.
        keep: Share of the teacher that stays, in [0, 1].
    """
    goal = [parameter.data for part in parts for parameter in part.parameters()]
    torch._foreach_lerp_([parameter.data for parameter in teacher.parameters()], goal, 1 - keep)


def rising(first: float, done: float) -> float:
    """A share that rises to 1 along a cosine (BYOL, Grill 2020, section 3.2).

    >>> [round(rising(0.99, share), 4) for share in (0, 0.5, 1)]
    [0.99, 0.995, 1.0]

    Args:
        first: Where it begins.
        done: Share of the run that is over.
    """
    return 1 - (1 - first) * (math.cos(math.pi * min(1.0, done)) + 1) / 2


class Queue(nn.Module):
    """The last vectors of earlier batches, of unit length; those of all processes (MoCo, He 2020).

    Args:
        size: How many.
        width: Their length.
        sets: Queues side by side, as one for each head.
    """

    vectors: Tensor
    oldest: Tensor
    held: Tensor

    def __init__(self, size: int, width: int, sets: int = 1) -> None:
        super().__init__()
        self.register_buffer("vectors", nn.functional.normalize(torch.randn(sets, size, width), dim=2))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))
        self._full = False

    @property
    def full(self) -> bool:
        """Whether all that it holds has been put there."""
        self._full = self._full or int(self.held) >= self.vectors.shape[1]  # a device is asked until it says yes
        return self._full

    @torch.no_grad()
    def put(self, vectors: Tensor) -> None:
        """Let these take the place of the oldest.

        Args:
            vectors: (sets, n, width), of unit length.
        """
        size = self.vectors.shape[1]
        newest = vectors[:, -size:].to(self.vectors.dtype)
        count = newest.shape[1]
        places = (self.oldest + torch.arange(count, device=newest.device)) % size
        self.vectors[:, places] = newest
        self.oldest.copy_((self.oldest + count) % size)
        self.held.add_(count).clamp_(max=size)
