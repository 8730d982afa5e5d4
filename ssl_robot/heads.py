"""What methods put on top of a backbone, and what they do with it alike."""

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Last = Literal["linear", "plain linear", "norm", "plain norm"]


def mlp(
    widths: Sequence[int], last: Last = "linear", norm: bool = True, activation: Callable[[], nn.Module] | None = None
) -> nn.Sequential:
    """Linear layers, each but the last followed by batch norm and ReLU. What batch norm follows has no bias.

    >>> [type(layer).__name__ for layer in mlp([8, 16, 4])]
    ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']

    Args:
        widths: Of the input, the hidden layers and the output.
        last: What ends it: a linear layer, one without bias, batch norm, or batch norm without scale and offset.
        norm: Whether hidden layers have batch norm.
        activation: Other than ReLU.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not norm))
        layers += [nn.BatchNorm1d(outputs)] if norm else []
        layers.append(activation() if activation is not None else nn.ReLU(inplace=True))
    layers.append(nn.Linear(widths[-2], widths[-1], bias=last == "linear"))
    if last in ("norm", "plain norm"):
        layers.append(nn.BatchNorm1d(widths[-1], affine=last == "norm"))
    return nn.Sequential(*layers)


def through(module: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], together: bool) -> list[Tensor]:
    """What a module makes of several batches.

    Args:
        module: A backbone or head.
        inputs: Batches.
        together: Let neighbours of one shape go through as one batch: faster, but batch norm then sees them together.
    """
    if not together:
        return [module(values) for values in inputs]
    outputs: list[Tensor] = []
    while len(outputs) < len(inputs):
        first = inputs[len(outputs)]
        alike = [first]
        for values in inputs[len(outputs) + 1 :]:
            if values.shape != first.shape:
                break
            alike.append(values)
        outputs += module(torch.cat(alike)).split(len(first))
    return outputs


def exact(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute a loss in full precision: near the optimum, cosines differ by less than half precision can say."""

    @wraps(function)
    def full(*values: Tensor | float) -> Tensor:
        device = next(value.device.type for value in values if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*[value.float() if isinstance(value, Tensor) else value for value in values])

    return full
