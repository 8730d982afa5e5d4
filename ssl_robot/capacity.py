"""How large a batch a device's memory holds."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ssl_robot.methods import Objective
from ssl_robot.views import Views

USUAL = 128  # where memory is no limit
_TRIED = 16, 32  # batches from which the rest is foreseen
_SHARE = 0.85  # of the memory that is free: what a step takes varies, and others may want some


def largest(used: Callable[[int], float], free: float, most: int) -> int:
    """The largest power of two that fits, foreseen from two small batches: memory grows in proportion.

    >>> largest(lambda batch: 100 + 2 * batch, free=1000, most=4096)
    256

    Args:
        used: Memory that a step takes, in bytes, for a number of frames.
        free: Memory that there is.
        most: No more frames than this, however many fit.
    """
    less, more = (used(batch) for batch in _TRIED)
    each = max(1e-9, (more - less) / (_TRIED[1] - _TRIED[0]))
    fitting = _TRIED[0] + (_SHARE * free - less) / each
    return 1 << (max(2, int(min(fitting, most))).bit_length() - 1)


def of_device(objective: Objective, views: Views, half: bool, most: int) -> int:
    """The largest batch for an objective on its device; ``USUAL`` on a CPU, where time runs out before memory does.

    Args:
        objective: What is trained; a copy of it makes the steps.
        views: What makes its views; here they are noise.
        half: Whether it computes in bf16.
        most: No more frames than this.
    """
    device = next(objective.parameters()).device
    if device.type != "cuda":
        return min(USUAL, most)
    tried = copy.deepcopy(objective)

    def used(batch: int) -> float:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        drawn = [views.draw(torch.arange(batch), 0, view) for view in range(len(views))]
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            total = tried([_noise(batch, views.size_of(view), device) for view in range(len(views))], drawn).total
        total.backward()
        tried.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_allocated(device) - before

    used(_TRIED[0])  # the first step takes what is kept for later ones
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return largest(used, free, most)


def _noise(batch: int, size: int, device: torch.device) -> Tensor:
    return torch.rand(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
