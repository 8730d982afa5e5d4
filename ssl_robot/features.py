"""Features of every frame of a collection, from an encoder or from what stands in for one."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.encoder import Card, Encoder, Layer
from ssl_robot.frames import Frames
from ssl_robot.invariances import Invariance

_BATCH = 64
_SAMPLE = 2000
_CELLS = 4  # a side: maps are read coarsely, so that heads for map and vector are of like size
_PIXELS = 32  # raw pixels are read at this size, as a linear model would


def encoded(encoder: Encoder, frames: Frames, layer: Layer = "output") -> Tensor:
    """The encoder's features, (frames, d); maps are averaged to 4x4 cells and flattened."""

    def read(images: Tensor) -> Tensor:
        features: Tensor = encoder(images, layer)
        return features if layer == "output" else F.adaptive_avg_pool2d(features, _CELLS).flatten(1)

    return _gathered(frames, read)


def pixels(frames: Frames) -> Tensor:
    """Raw pixels at 32x32, (frames, 3072): the baseline every encoder must beat."""

    def shrink(images: Tensor) -> Tensor:
        small = F.interpolate(images.permute(0, 3, 1, 2).float() / 255, (_PIXELS, _PIXELS), mode="area")
        return small.flatten(1)

    return _gathered(frames, shrink)


def blind(encoder: Encoder, frames: Frames, invariance: Invariance) -> Tensor:
    """Features averaged over an invariance's own transformations: what an exactly invariant encoder could still read.

    Args:
        encoder: Usually a random one: no training is needed.
        frames: The collection.
        invariance: What the features become blind to.

    Returns:
        (frames, d).
    """

    def average(images: Tensor) -> Tensor:
        total, count = torch.zeros(()), 0
        for moved in invariance.orbit(encoder.images(images)):
            total, count = total + encoder.features(moved), count + 1
        return total / count

    return _gathered(frames, average)


def statistics(
    frames: Frames, rows: NDArray[np.int64]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel of at most 2,000 of the rows' frames in [0, 1]."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)
    pixel = torch.from_numpy(frames.take(rows[places])).flatten(0, 2).float() / 255
    mean, std = (part.tolist() for part in (pixel.mean(0), pixel.std(0).clamp(min=0.01)))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def random_encoder(like: Card, seed: int = 0, backbone: str | None = None) -> Encoder:
    """An encoder that has learnt nothing, with the preprocessing of another."""
    card = Card(backbone or like.backbone, like.size, like.mean, like.std, origin={"method": "random", "seed": seed})
    return Encoder.fresh(card, seed).eval().requires_grad_(False)


def _batches(frames: Frames) -> Iterator[Tensor]:
    for start in range(0, len(frames), _BATCH):
        yield torch.from_numpy(frames.take(np.arange(start, min(start + _BATCH, len(frames)))))


@torch.inference_mode()
def _gathered(frames: Frames, features: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([features(batch) for batch in _batches(frames)]).clone()
