"""timm: weights that ``timm.create_model(name, checkpoint_path=...)`` loads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ssl_robot.backbones import LARGE
from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.portable import Portable, by_hand, check, papers, prefixed, still
from ssl_robot.weights import for_torchvision

_NETWORK = "features.network."  # before timm's own names in a backbone of theirs


def export(encoder: Encoder, path: Path) -> list[str]:
    """Write a state dict (safetensors) of a network of timm's, or of a ResNet with ImageNet's stem.

    Where our features are those of the whole network, as in a ResNet, it is for ``num_classes=0``; else for
    ``features_only=True``, of whose last map they are the mean.

    Args:
        encoder: To be written.
        path: The file, ending in .safetensors.

    Raises:
        InputError: If timm has no such network or the file is called something that timm would unpickle.
    """
    import timm

    if ".safetensors" not in path.suffixes:
        raise InputError(f"timm would unpickle {path.name}: give an --out that ends in .safetensors.")
    portable = still(encoder)
    name, weights = _named(portable)
    save_file(weights, path, metadata={"format": "pt", **papers(encoder.card)})
    options = _options(name, set(weights))
    network = timm.create_model(name, checkpoint_path=str(path), **options).eval()
    check(portable, lambda frames: _features(portable, network, frames), f"timm's {name}")
    given = "".join(f", {key}={json.dumps(value).replace('true', 'True')}" for key, value in options.items())
    given = given.replace("[-1]", "(-1,)")
    pooled = f"network(images)[-1].mean({_places(network)})" if "features_only" in options else "network(images)"
    return [
        f"network = timm.create_model('{name}', checkpoint_path='PATH'{given}).eval()",
        *by_hand(encoder.card),
        f"features = {pooled}",
    ]


def _named(portable: Portable) -> tuple[str, dict[str, Tensor]]:
    """What timm calls the network, and its weights by timm's names."""
    backbone, weights = portable.encoder.card.backbone, portable.encoder.backbone.state_dict()
    if backbone.startswith("timm:"):
        return backbone.removeprefix("timm:"), prefixed(weights, _NETWORK)
    if backbone.endswith(LARGE):
        return backbone.removesuffix(LARGE), for_torchvision(weights)
    raise InputError(
        f"timm has no '{backbone}': pre-train a timm:NAME or a ResNet with ImageNet's stem (resnet18{LARGE}), or "
        "choose --format onnx, torch-export or torchscript, which hold any network."
    )


def _options(name: str, names: set[str]) -> dict[str, Any]:
    """Of a network that has exactly these weights."""
    import timm

    if set(timm.create_model(name, num_classes=0).state_dict()) == names:
        return {"num_classes": 0}
    parts: dict[str, Any] = {"features_only": True, "out_indices": [-1]}
    try:
        timm.create_model(name, dynamic_img_size=True, **parts)
    except TypeError:
        return parts
    return {**parts, "dynamic_img_size": True}


def _features(portable: Portable, network: Any, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of frames that are prepared by hand."""
    with torch.inference_mode():
        images = portable.encoder.normalised(portable.encoder.images(frames))
        found = network(images)
        features: Tensor = found if isinstance(found, Tensor) else found[-1].mean(_places(network))
        return features.numpy()


def _places(network: Any) -> tuple[int, int]:
    """Which dimensions of a map are height and width: Swin and others have the channels last."""
    return (1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else (2, 3)
