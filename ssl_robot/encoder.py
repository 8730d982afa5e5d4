"""What pre-training leaves behind: frames in, features out, with everything needed to use it inside."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from ssl_robot import backbones, hub, layers, tensors
from ssl_robot.errors import InputError

FILE = hub.RUN
_LARGEST = 8192  # pixels a side: no camera's frames are wider
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

    A frozen one, of whose weights none learns, stays in evaluation mode whatever it is a part of: a policy's
    ``train()`` would else have batch norm forget the statistics that it was trained with.

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

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str = "cpu", freeze: bool = True) -> "Encoder":
        """What ``load`` gives, by the name that users of Hugging Face's hub know."""
        return load(source, device, freeze)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._mean.device

    @property
    def width(self) -> int:
        """Length of the feature vector."""
        return backbones.width(self.backbone, self.card.size)

    def train(self, mode: bool = True) -> Self:
        """Learn, or be used; what is frozen, the whole or a layer of it, is always used."""
        super().train(mode and any(weights.requires_grad for weights in self.parameters()))
        for part in self.modules():
            own = [weights.requires_grad for weights in part.parameters(recurse=False)]
            part.training = part.training and (not own or any(own))
        return self

    def normalised(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (b, 3, h, w), on the scale the backbone was trained on, as precise as its weights."""
        scaled: Tensor = (images - self._mean) / self._std
        return scaled.to(self._mean.dtype)

    def images(self, frames: Images) -> Tensor:
        """Frames as (b, 3, size, size) in [0, 1] on the encoder's device.

        Args:
            frames: uint8, (b, h, w, 3) or (b, 3, h, w), NumPy or torch.

        Raises:
            InputError: If they are of another type or shape.
        """
        if isinstance(frames, np.ndarray):
            frames = torch.from_numpy(np.ascontiguousarray(frames))
        if not isinstance(frames, Tensor):
            raise InputError(f"Frames must be one NumPy array or tensor, not a {type(frames).__name__}: np.stack them.")
        if frames.dtype != torch.uint8 or frames.ndim != 4 or 3 not in (frames.shape[1], frames.shape[3]):
            raise InputError(
                f"Frames must be uint8 of shape (b, h, w, 3) or (b, 3, h, w), not {frames.dtype} of "
                f"{tuple(frames.shape)}: give them as the camera took them, not scaled."
            )
        if frames.shape[3] == 3:
            frames = frames.permute(0, 3, 1, 2)
        # a network whose weights lie channel by channel is a third slower on pixels that do not
        floats = frames.to(self._mean.device).to(torch.float32, memory_format=torch.contiguous_format)
        return self.resized(floats / 255)

    def resized(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (b, 3, h, w), at the encoder's size."""
        if images.shape[2:] == (self.card.size, self.card.size):
            return images
        return F.interpolate(images.float(), (self.card.size, self.card.size), mode="bilinear", antialias=True)

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
        # written by Python: safetensors' own files are for nobody but who wrote them
        partial.write_bytes(save(weights, {"format": "pt", "card": json.dumps(asdict(self.card))}))
        partial.replace(path)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder in the form of Hugging Face's hub: weights, configuration, and a page that says what it is.

        ``hf upload OWNER/NAME FOLDER`` publishes it; ``load`` and ``from_pretrained`` read it from either place.

        Raises:
            InputError: If the folder is a run's.
        """
        folder = Path(folder)
        if (folder / hub.RUN).exists():
            raise InputError(f"{folder} is a run, whose encoder is what load would find there: choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        self.save(folder / hub.WEIGHTS)
        hub.described(folder, asdict(self.card))


def load(source: str | Path, device: str = "cpu", freeze: bool = True) -> Encoder:
    """An encoder in evaluation mode, ready for use. Nothing is unpickled, and no code is fetched.

    Args:
        source: A run's folder, a safetensors file, a folder that ``save_pretrained`` wrote, or a hub id, as
            ``owner/name`` or ``owner/name@revision``.
        device: Where it computes.
        freeze: Whether its weights are kept from learning; batch norm's statistics then stay as they are too.

    Raises:
        InputError: If there is no such encoder, it is damaged, a pickle, or not an encoder of ours.
    """
    file = hub.located(source)
    with tensors.opened(file) as opened:
        encoder = Encoder.fresh(_card(opened.metadata() or {}, file), seed=0)
        tensors.pour(opened, encoder.backbone)
    try:
        return encoder.to(device).eval().requires_grad_(not freeze)
    except (RuntimeError, AssertionError):  # the one where the name is none, the other where PyTorch cannot use it
        raise InputError(f"There is no device {device!r} here: give cpu, or cuda where there is one.") from None


def _card(metadata: Mapping[str, str], file: Path) -> Card:
    try:
        values = json.loads(metadata["card"])
        values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
        card = Card(**values)
        size, told = values["size"], [values.get("recipe", {}), values.get("origin", {})]
        sound = isinstance(size, int) and 0 < size <= _LARGEST and len(values["mean"]) == len(values["std"]) == 3
        sound = sound and all(map(math.isfinite, [*card.mean, *card.std])) and min(card.std) > 0
        if not sound or not all(isinstance(part, dict) for part in told):
            raise ValueError(card)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{file} holds weights but no ssl_robot encoder: give one saved by 'ssl-robot pretrain'."
        ) from None
    return card
