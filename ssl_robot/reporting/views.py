"""Example views: what an encoder that is invariant cannot tell apart."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import matplotlib.image
import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.frames import Frames
from ssl_robot.invariances import Source
from ssl_robot.recipes import Recipe

_SHOWN = 6


@dataclass(frozen=True)
class Example:
    """A frame under one invariance's own transformations.

    Attributes:
        name: The invariance.
        hides: What it hides, in words.
        pictures: (h, w, 3) in [0, 1]; only the frame, where it would show another one.
    """

    name: str
    hides: str
    pictures: Sequence[NDArray[np.float32]]

    @property
    def links(self) -> list[str]:
        """The pictures as a page holds them."""
        return [_link(picture) for picture in self.pictures]


def examples(frames: Frames, asked: Recipe) -> list[Example]:
    """The frame in the middle of a recording under each invariance; those that show other frames are left out."""
    frame = frames.take(np.array([len(frames) // 2]))
    image = torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255
    kept = zip(asked.names, asked.invariances, strict=True)
    return [
        Example(name, item.hides, [view[0].permute(1, 2, 0).numpy().clip(0, 1) for view in _evenly(item, image)])
        for name, item in kept
        if not isinstance(item, Source)
    ]


def _evenly(item: object, image: torch.Tensor) -> list[torch.Tensor]:
    """A few of an invariance's transformations, from all over its range."""
    orbit = list(islice(item.orbit(image), 64))  # type: ignore[attr-defined]
    places = np.linspace(0, len(orbit), min(_SHOWN, len(orbit)), endpoint=False).astype(int)
    return [orbit[i] for i in places]


def _link(picture: NDArray[np.float32]) -> str:
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, picture, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
