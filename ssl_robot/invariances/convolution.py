"""Surfaces and colours made anew by a random kernel (Lee 2020; RAD, Laskin 2020)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Filter, strength
from ssl_robot.random import normals, uniforms

_SHAPE = (3, 3, 3, 3)  # channels out, channels in, rows, columns
_WEIGHTS = 81
_DEVIATION = (2 / (27 + 27)) ** 0.5  # Glorot's for 27 numbers in and 27 out, as in both papers
_ORBIT = 8


@dataclass(frozen=True)
class Convolution(Filter):
    """Texture and colour, leaving edges and shapes.

    Numbers are taken relative to mid-grey and clipped to [0, 1]. The papers do not clip, or squash by a sigmoid; but a
    sigmoid changes the picture even where the kernel does not, and clipped relative to black half of it would be black.

    Attributes:
        mix: Share of the random kernel; the rest is the kernel that changes nothing.
    """

    hides: ClassVar[str] = "texture and colour"
    draws: ClassVar[int] = _WEIGHTS + 1  # normal numbers come in pairs

    mix: float = strength(1.0, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """The kernel: weights by channel out, channel in, row and column, (b, 81)."""
        drawn = normals(u)[:, :_WEIGHTS] * _DEVIATION
        return torch.lerp(self.neutral().to(drawn), drawn, self.mix)

    def neutral(self) -> Tensor:
        """One in the middle of each channel's own weights."""
        weights = torch.zeros(_SHAPE)
        weights[:, :, 1, 1] = torch.eye(3)
        return weights.flatten()

    def padded(self, images: Tensor) -> Tensor:
        """A border of one pixel, as the edge goes on."""
        return F.pad(images, [1] * 4, mode="replicate")

    def filtered(self, images: Tensor, around: Tensor, parameters: Tensor) -> Tensor:
        """Each sample's own kernel.

        Sums of shifted images, not ``conv2d``: as fast, the same for any batch, and not rounded to 10 bits by GPUs.
        """
        weights = parameters.reshape(-1, *_SHAPE)
        height, width = images.shape[2:]
        total = ((1 - weights.sum((2, 3, 4))) / 2)[:, :, None, None].repeat(1, 1, height, width)
        for channel, row, column in product(range(3), repeat=3):
            shifted = around[:, channel : channel + 1, row : row + height, column : column + width]
            total.addcmul_(shifted, weights[:, :, channel, row, column, None, None])
        return total.clamp_(0, 1)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Eight kernels, always the same: a sample, not a group."""
        for kernel in self.parameters(uniforms(0, 0, torch.arange(_ORBIT), 0, self.draws)).to(images.device):
            yield self.apply(images, kernel.expand(len(images), _WEIGHTS))
