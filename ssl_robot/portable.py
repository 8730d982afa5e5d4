"""An encoder for programs that know nothing of us: its preprocessing inside, and its papers beside the weights."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_robot import __version__
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError

EXAMPLE = (2, 97, 123, 3)  # frames that a network is traced with; no two of the numbers are alike
_SHAPES = (EXAMPLE, (1, 40, 30, 3), (3, 240, 320, 3))
_TOLERANCE = 1e-5  # of the largest feature, or of 1 where all are smaller


class Export(Protocol):
    """What writes an encoder for another program: the function ``export`` of a file in ``plugins/``."""

    def __call__(self, encoder: Encoder, path: Path) -> list[str]:
        """Write a file; returns the lines of Python that use it, ``PATH`` where its name belongs.

        Raises:
            InputError: If the program has no such network, or reads other features off the file.
        """


class Portable(nn.Module):
    """Frames to features, traceable: for frames of any number and size, and without a word about wrong ones.

    Args:
        encoder: On the CPU.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.size = encoder.card.size

    def forward(self, frames: Tensor) -> Tensor:
        """Features of frames, (b, d).

        Args:
            frames: uint8, (b, h, w, 3).
        """
        images = frames.permute(0, 3, 1, 2).float() / 255
        images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        return self.encoder.features(images)


class Maps(nn.Module):
    """An encoder where LeRobot's policies expect a ResNet cut off before its pooling.

    Args:
        encoder: In evaluation mode, in which it stays.
        trained: Whether gradients flow.
    """

    def __init__(self, encoder: Encoder, trained: bool) -> None:
        super().__init__()
        self.encoder, self.trained = encoder.requires_grad_(trained), trained

    def train(self, mode: bool = True) -> "Maps":
        """Batch norms keep the statistics that they were trained with."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The feature map by the name that LeRobot gives it.

        Args:
            images: (b, 3, h, w) in [0, 1], any size.
        """
        size = self.encoder.card.size
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            resized = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
            return {"feature_map": self.encoder.features(resized, "map")}


def still(encoder: Encoder) -> Portable:
    """The encoder as it is traced: a copy that is on the CPU, frozen, and in evaluation mode."""
    return Portable(copy.deepcopy(encoder).cpu()).eval().requires_grad_(False)


def example() -> Tensor:
    """Frames to trace with, uint8."""
    return torch.zeros(EXAMPLE, dtype=torch.uint8)


def papers(card: Card) -> dict[str, str]:
    """What an exported file says about itself, text by text.

    >>> papers(Card("small", 64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))["recipe"]
    '{}'

    Args:
        card: Of the encoder; ``card`` is all of it, as our own files keep it.
    """
    return {
        "card": json.dumps(asdict(card)),
        "recipe": json.dumps(asdict(card)["recipe"]),
        "fingerprint": str(card.origin.get("data", "")),
        "ssl_robot": __version__,
        "input": "uint8 (b, h, w, 3), RGB, any size",
        "output": "float32 (b, d)",
    }


def by_hand(card: Card) -> list[str]:
    """The lines that prepare frames for a network that does not do it itself.

    Args:
        card: Of the encoder.
    """
    size = f"({card.size}, {card.size})"
    return [
        f"images = F.interpolate(frames.permute(0, 3, 1, 2) / 255, {size}, mode='bilinear', antialias=True)",
        f"images = (images - torch.tensor({list(card.mean)}).view(3, 1, 1)) / torch.tensor({list(card.std)})"
        ".view(3, 1, 1)",
    ]


def check(encoder: Portable, route: Callable[[NDArray[np.uint8]], NDArray[np.float32]], what: str) -> None:
    """Ask another way to the features for those of some frames.

    Args:
        encoder: What they should be.
        route: Frames, uint8 (b, h, w, 3), to features, (b, d).
        what: The other way, as an error names it.

    Raises:
        InputError: If they are not the same.
    """
    draw = np.random.default_rng(0)
    for shape in _SHAPES:
        frames = draw.integers(0, 256, shape, np.uint8)
        with torch.inference_mode():
            expected = encoder(torch.from_numpy(frames)).numpy()
        error = float(np.abs(route(frames) - expected).max())
        if not error <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise InputError(
                f"{what} gives other features than the encoder (by {error:.2g}): export it in another --format."
            )


def prefixed(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with a prefix, by what comes after it; contiguous, as files want them."""
    return {name.removeprefix(prefix): value.contiguous() for name, value in weights.items() if name.startswith(prefix)}
