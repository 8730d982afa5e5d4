"""What reads numbers off frames: an encoder, or what stands beside one in a report."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.encoder import Encoder, Layer
from ssl_robot.frames import Frames, Seen

_BATCH = 64


class Reader(Protocol):
    """Features of moments, however they come about."""

    @property
    def name(self) -> str:
        """What a report calls it."""

    @property
    def key(self) -> str:
        """A text that changes when its features do."""

    @property
    def sees(self) -> bool:
        """Whether it looks at frames; what does not can act without any being drawn."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it looks at beside the frames; none for what only sees."""

    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """Features: (b, d) for the output, (b, c, h, w) for the map; without gradients.

        Raises:
            InputError: If it has no such layer.
        """

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """Features of each frame of a recording, in order."""


class EncoderReader:
    """An encoder as it is.

    Args:
        encoder: Frozen.
        name: What a report calls it.
    """

    sees = True
    labels: tuple[str, ...] = ()

    def __init__(self, encoder: Encoder, name: str) -> None:
        self.encoder, self.name = encoder, name

    @property
    def key(self) -> str:
        """Hash of the weights and of how frames are prepared."""
        digest = hashlib.sha256(repr(self.encoder.card).encode())
        for name, value in self.encoder.backbone.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.inference_mode()
    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """The encoder's features."""
        features: Tensor = self.encoder(moments.frames, layer)
        return features.clone()

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """Features of each frame."""
        return in_batches(self, frames, layer)


def in_batches(reader: Reader, frames: Frames, layer: Layer = "output") -> Tensor:
    """What a reader that looks at one moment at a time makes of each frame of a recording."""
    return torch.cat(list(pieces(reader, frames, layer)))


def pieces(reader: Reader, frames: Frames, layer: Layer = "output") -> Iterator[Tensor]:
    """The same, some frames after the others, so that memory is bounded."""
    columns = {name: frames.values(name) for name in reader.labels}
    for rows in np.array_split(np.arange(len(frames)), range(_BATCH, len(frames), _BATCH)):
        yield reader.read(_moments(reader, frames, rows, columns), layer)


def _moments(
    reader: Reader, frames: Frames, rows: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]]
) -> Seen:
    """What a reader looks at, and nothing that it does not."""
    shown = frames.take(rows) if reader.sees else np.zeros((len(rows), 0, 0, 3), np.uint8)
    return Seen(shown, {name: values[rows] for name, values in columns.items()})
