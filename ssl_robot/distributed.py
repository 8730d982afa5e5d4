"""What several processes that train together must share: rows, sums and batch statistics, gradients included.

Every process computes the loss of its own part of the batch, and the gradients are averaged over the processes, as
``DistributedDataParallel`` does. With what is here, that average is the gradient of one process with the whole batch.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def processes() -> int:
    """How many train together."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


def rank() -> int:
    """Which of them this is, counted from 0."""
    return torch.distributed.get_rank() if processes() > 1 else 0


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, in their order.

    The gradient of a row is the sum of what all processes' losses ask of it: a gather that drops the others' part
    trains on another loss than it shows.

    Args:
        rows: (b, ...), b the same everywhere.

    Returns:
        (processes * b, ...).
    """
    return rows if processes() == 1 else _Gathered.apply(rows)


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, with gradients."""
    return values if processes() == 1 else _Summed.apply(values)


def synchronised(module: nn.Module) -> nn.Module:
    """Let every batch norm in a module see the whole batch; in place, but for a module that is one itself.

    On GPUs it is torch's own, which knows no other device.
    """
    if processes() == 1:
        return module
    if any(parameter.is_cuda for parameter in module.parameters()):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return converted
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.__class__ = _Synchronised
    return module


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(processes())]
        torch.distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *asked: Tensor) -> Tensor:
        total = asked[0].contiguous()
        torch.distributed.all_reduce(total)
        return total.narrow(0, rank() * ctx.count, ctx.count)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *asked: Tensor) -> Tensor:
        total = asked[0].contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


class _Synchronised(_BatchNorm):
    """Batch norm over the processes' batches together, on any device."""

    def _check_input_dim(self, values: Tensor) -> None:
        """Rows, or rows of maps."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalised values, (b, d) or (b, d, h, w), in the type they came in."""
        if not self.training:
            return super().forward(values)
        exact = values.float()
        dims = [0, *range(2, values.ndim)]
        like = (1, -1, *[1] * (values.ndim - 2))
        count = values.numel() // values.shape[1] * processes()
        mean = summed(exact.sum(dims)) / count
        centred = exact - mean.view(like)
        variance = summed(centred.square().sum(dims)) / count
        self._remember(mean.detach(), variance.detach() * count / max(1, count - 1))
        scaled = centred * (variance + self.eps).rsqrt().view(like)
        if self.affine:
            scaled = scaled * self.weight.view(like) + self.bias.view(like)
        return scaled.to(values.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)
