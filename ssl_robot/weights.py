"""Weights to begin with: one of our runs, a file, or what timm and torchvision publish."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ssl_robot import backbones
from ssl_robot.encoder import FILE, Card, Encoder, load
from ssl_robot.errors import InputError

PUBLISHED = "pretrained"
_STEM = "features.0.weight"  # 7x7 in published ResNets, 3x3 in those for small images
_LAYERS = ("conv1", "bn1", "relu", "layer1", "layer2", "layer3", "layer4")


def begun(card: Card, seed: int, start: str | None) -> Encoder:
    """An encoder that begins with some weights.

    Args:
        card: What kind of encoder.
        seed: Of fresh weights.
        start: None for fresh weights; the folder or file of one of our runs with the same backbone; a file of weights
            as timm or torchvision name them (safetensors or a state dict); ``pretrained`` for what they publish.

    Raises:
        InputError: If the weights are not there, are for another network, or cannot be downloaded.
    """
    if start is None:
        return Encoder.fresh(card, seed)
    path = Path(start)
    if start == PUBLISHED or (card.backbone.startswith("timm:") and path.is_file() and not _is_ours(path)):
        return Encoder(_published(card.backbone, seed, path if start != PUBLISHED else None), card)
    encoder = Encoder.fresh(card, seed)
    weights = _of_run(path, card) if path.is_dir() or _is_ours(path) else _of_torchvision(_read(path))
    fresh = encoder.backbone.state_dict()
    fitting = {name: value for name, value in weights.items() if name in fresh and value.shape == fresh[name].shape}
    if set(fresh) - set(fitting) - {_STEM}:
        raise InputError(f"{start} holds weights of another network than '{card.backbone}': give its own --backbone.")
    encoder.backbone.load_state_dict({**fresh, **fitting})
    return encoder


def print_of(start: str | None) -> str | None:
    """What the weights are, for the record: the name of what is published, or a hash of the file."""
    if start is None or start == PUBLISHED:
        return start
    path = Path(start)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"There are no weights at {start}: give a run, a file of weights, or '{PUBLISHED}'.")
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _is_ours(path: Path) -> bool:
    try:
        load(path)
    except InputError:
        return False
    return True


def _of_run(path: Path, card: Card) -> Mapping[str, Tensor]:
    theirs = load(path)
    if theirs.card.backbone != card.backbone:
        raise InputError(f"{path} is a '{theirs.card.backbone}', not a '{card.backbone}': give its own --backbone.")
    return theirs.backbone.state_dict()


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path} holds no weights ({str(error).splitlines()[0]}): give a run or a state dict."
        ) from None
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path} holds no weights: give a run or a state dict.")
    return found


def _of_torchvision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ResNet's weights under our names; those of its classifier are left out."""
    renamed = {}
    for name, value in weights.items():
        layer, _, rest = name.partition(".")
        if layer in _LAYERS:
            renamed[f"features.{_LAYERS.index(layer)}.{rest}"] = value
    return renamed


def for_torchvision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of one of our ResNets under torchvision's names, which are timm's too.

    Args:
        weights: Of the backbone.
    """
    renamed = {}
    for name, value in weights.items():
        _, place, rest = name.split(".", 2)
        renamed[f"{_LAYERS[int(place)]}.{rest}"] = value.contiguous()
    return renamed


def _published(name: str, seed: int, file: Path | None) -> backbones.Backbone:
    """The network with the weights that timm or torchvision publish, or with those of a file."""
    overlay = {"pretrained_cfg_overlay": {"file": str(file)}} if file is not None else {}
    try:
        if name.startswith("timm:"):
            return backbones.build(name, seed, {"pretrained": True, **overlay})
        if name.startswith("resnet"):
            from torchvision.models import get_model_weights

            network, published = backbones.build(name, seed), get_model_weights(name.removesuffix(backbones.LARGE))
            found = _of_torchvision(published["DEFAULT"].get_state_dict(progress=False))
            fresh = network.state_dict()
            network.load_state_dict({**fresh, **{k: v for k, v in found.items() if v.shape == fresh[k].shape}})
            return network
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"The weights of {name} are not to be had ({str(error).strip().splitlines()[0]}): download them, and give "
            "the file to --start."
        ) from None
    raise InputError(f"Nobody publishes weights of '{name}': give a ResNet or timm:NAME, or a run to --start.")
