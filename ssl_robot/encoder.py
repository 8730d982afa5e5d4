"""What pre-training leaves behind: frames in, features out, with everything needed to use it inside."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ssl_robot import backbones, layers
from ssl_robot.errors import InputError

FILE = "encoder.safetensors"
Layer = str  # output, map, or layers of the backbone by name
Images = Tensor | NDArray[np.uint8]


@dataclass(frozen=True)
class Card:
    """What an encoder must know to be used, kept beside its weights.

    Attributes:
        backbone: Name of the network.
        size: Height and width to which frames are resized.
        mean: Per channel, of frames in [0, 1].
        std: Per channel.
        recipe: The views it was trained on; empty if it was not.
        origin: How it came about: method, data fingerprint, seed, versions.
    """

    backbone: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    recipe: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


class Encoder(nn.Module):
    """Frames of any size to features; resizing and normalisation are inside.

    Args:
        backbone: The network.
        card: What it needs to be used.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, backbone: backbones.Backbone, card: Card) -> None:
        super().__init__()
        self.backbone = backbone
        self.card = card
        self.register_buffer("_mean", torch.tensor(card.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(card.std).view(3, 1, 1), persistent=False)

    @classmethod
    def fresh(cls, card: Card, seed: int) -> "Encoder":
        """An encoder with random weights."""
        return cls(backbones.build(card.backbone, seed), card)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._mean.device

    @property
    def width(self) -> int:
        """Length of the feature vector."""
        return backbones.width(self.backbone, self.card.size)

    def normalised(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (b, 3, h, w), on the scale the backbone was trained on."""
        scaled: Tensor = (images - self._mean) / self._std
        return scaled

    def images(self, frames: Images) -> Tensor:
        """Frames as (b, 3, size, size) in [0, 1] on the encoder's device.

        Args:
            frames: uint8, (b, h, w, 3) or (b, 3, h, w), NumPy or torch.

        Raises:
            InputError: If they are of another type or shape.
        """
        if isinstance(frames, np.ndarray):
            frames = torch.from_numpy(np.ascontiguousarray(frames))
        if frames.dtype != torch.uint8 or frames.ndim != 4 or 3 not in (frames.shape[1], frames.shape[3]):
            raise InputError(
                f"Frames must be uint8 of shape (b, h, w, 3) or (b, 3, h, w), not {frames.dtype} of "
                f"{tuple(frames.shape)}: give them as the camera took them, not scaled."
            )
        if frames.shape[3] == 3:
            frames = frames.permute(0, 3, 1, 2)
        images = frames.to(self._mean.device).float() / 255
        if images.shape[2:] != (self.card.size, self.card.size):
            images = F.interpolate(images, (self.card.size, self.card.size), mode="bilinear", antialias=True)
        return images

    def forward(self, frames: Images, layer: Layer = "output") -> Tensor:
        """Features of frames.

        >>> encoder = Encoder.fresh(Card("small", 64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), seed=0).eval()
        >>> encoder(np.zeros((2, 96, 128, 3), np.uint8)).shape
        torch.Size([2, 128])

        Args:
            frames: uint8, (b, h, w, 3) or (b, 3, h, w), any size.
            layer: ``output`` for the vector a policy reads, ``map`` for the feature map before pooling, or a layer
                inside the backbone by name, as in ``layers``.

        Returns:
            (b, d), or (b, c, h, w) for a map.
        """
        return self.features(self.images(frames), layer)

    def features(self, images: Tensor, layer: Layer = "output") -> Tensor:
        """Features of images in [0, 1] that have the encoder's size already."""
        if layer not in ("output", "map"):
            return layers.inside(self.backbone.features, self.backbone.layers, self.normalised(images), layer)
        maps: Tensor = self.backbone.features(self.normalised(images))
        if layer == "map":
            return maps
        vectors: Tensor = self.backbone.pool(maps)
        return vectors

    def save(self, path: str | Path) -> None:
        """Write weights and card to a safetensors file, whole or not at all."""
        path = Path(path)
        partial = path.with_suffix(".partial")
        weights = {name: value.contiguous() for name, value in self.backbone.state_dict().items()}
        save_file(weights, partial, metadata={"card": json.dumps(asdict(self.card))})
        partial.replace(path)


def load(path: str | Path, device: str = "cpu") -> Encoder:
    """An encoder from a run directory or a safetensors file, frozen and ready for use. Nothing is unpickled.

    Raises:
        InputError: If there is no such file, it is damaged, or it is not an encoder of ours.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"There is no encoder at {path}: give the --out folder of a finished 'ssl-robot pretrain'.")
    try:
        with safe_open(file, framework="pt") as opened:
            card = _card(opened.metadata() or {}, file)
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        encoder = Encoder.fresh(card, seed=0)
        encoder.backbone.load_state_dict(weights)
    except (SafetensorError, RuntimeError, OSError, TypeError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{file} is not a whole encoder file ({first_line}): pre-train it again.") from None
    return encoder.to(device).eval().requires_grad_(False)


def _card(metadata: Mapping[str, str], file: Path) -> Card:
    try:
        values = json.loads(metadata["card"])
        values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
        return Card(**values)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{file} holds weights but no ssl_robot encoder: give one saved by 'ssl-robot pretrain'."
        ) from None
