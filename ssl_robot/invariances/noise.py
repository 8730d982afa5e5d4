"""The grain of a camera in the dark."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ssl_robot.invariances import Filter, strength
from ssl_robot.random import normals

_SEEDS = 2**24  # all whole numbers below are exact in float32
_MIX_1 = -2048144789  # 0x85EBCA6B as a signed 32-bit number
_MIX_2 = -1028477387  # 0xC2B2AE35


@dataclass(frozen=True)
class Noise(Filter):
    """Faint and fine differences.

    Attributes:
        deviation: Largest standard deviation, where black is 0 and white is 1; each view has its own.
    """

    hides: ClassVar[str] = "faint detail"
    draws: ClassVar[int] = 2

    deviation: float = strength(0.05, 0, 1)

    def parameters(self, u: Tensor) -> Tensor:
        """Standard deviation, and a whole number that the grain is made from, (b, 2)."""
        return torch.stack([u[:, 0] * self.deviation, (u[:, 1] * _SEEDS).floor()], 1)

    def neutral(self) -> Tensor:
        """No noise."""
        return torch.zeros(2)

    def filtered(self, images: Tensor, around: Tensor, parameters: Tensor) -> Tensor:
        """Normal noise in every channel of every pixel, clipped; the same for the same number."""
        deviation, seed = parameters.unbind(1)
        count = math.prod(images.shape[1:])
        grain = normals(_uniforms(seed, count + count % 2))[:, :count].reshape(images.shape)
        return torch.addcmul(images, grain, deviation[:, None, None, None]).clamp(0, 1)

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """Five deviations, each with a grain of its own: a sample, not a group."""
        for seed, step in enumerate(torch.linspace(0, 1, 5).tolist()):
            drawn = torch.tensor([[step * self.deviation, float(seed)]], device=images.device)
            yield self.apply(images, drawn.expand(len(images), 2))


def _uniforms(seed: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1) from a hash of the seed and each number's place, (b, count).

    32 bits are enough for pixels, and ten times as fast as the 64 of ``ssl_robot.random``.
    """
    places = _mix(torch.arange(count, device=seed.device, dtype=torch.int32))
    bits = _mix(places ^ _mix(seed.int() + 1)[:, None])
    return _shift(bits, 8).float() / 2**24


def _mix(state: Tensor) -> Tensor:
    """The finaliser of MurmurHash3 (Appleby 2011)."""
    state = (state ^ _shift(state, 16)) * _MIX_1
    state = (state ^ _shift(state, 13)) * _MIX_2
    return state ^ _shift(state, 16)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical shift right: torch's own keeps the sign."""
    return (state >> bits) & ((1 << (32 - bits)) - 1)
