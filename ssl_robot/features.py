"""What an encoder has to know of a collection before it is trained, and an encoder that is not."""

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.encoder import Card, Encoder
from ssl_robot.frames import Frames

_SAMPLE = 2000
_PAIRS = 128
_LEVELS = 15  # of 255: more than noise and compression change


def statistics(
    frames: Frames, rows: NDArray[np.int64]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel of at most 2,000 of the rows' frames in [0, 1]."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)
    pixel = torch.from_numpy(frames.take(rows[places])).flatten(0, 2).float() / 255
    mean, std = (part.tolist() for part in (pixel.mean(0), pixel.std(0).clamp(min=0.01)))
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def changing(frames: Frames, rows: NDArray[np.int64]) -> float:
    """Share of its pixels in which a frame differs from another one, far away in the recording, from 0 to 1.

    The median of 128 pairs: a few per cent where a fixed camera sees something move, half where the camera moves.
    """
    places = np.linspace(0, len(rows) - 1, min(len(rows) // 2, _PAIRS) * 2).astype(np.int64)
    pairs = (frames.take(rows[pair]).astype(np.int16) for pair in places.reshape(2, -1).T)  # frames may be large
    return float(np.median([(np.abs(first - second).max(2) > _LEVELS).mean() for first, second in pairs]))


def random_encoder(like: Card, seed: int = 0, backbone: str | None = None) -> Encoder:
    """An encoder that has learnt nothing, with the preprocessing of another."""
    card = Card(backbone or like.backbone, like.size, like.mean, like.std, origin={"method": "random", "seed": seed})
    return Encoder.fresh(card, seed).eval().requires_grad_(False)
