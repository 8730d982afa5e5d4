"""torchvision: weights that a ResNet of theirs loads, and with it whatever is built on one, as LeRobot's policies."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from ssl_robot.backbones import LARGE
from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.portable import Portable, by_hand, check, papers, prefixed, still
from ssl_robot.weights import for_torchvision

_STEM = "network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()"


def export(encoder: Encoder, path: Path) -> list[str]:
    """Write the state dict (safetensors) of a ResNet, all but ``fc``.

    A ResNet for small images has another stem than torchvision's; the lines returned build it.

    Args:
        encoder: To be written.
        path: The file.

    Raises:
        InputError: If the network is no ResNet of torchvision's.
    """
    portable = still(encoder)
    name, weights = _named(portable)
    small = weights["conv1.weight"].shape[-1] == 3
    save_file(weights, path, metadata={"format": "pt", **papers(encoder.card)})
    network = _network(name, weights, small)
    check(portable, lambda frames: _features(portable, network, frames), f"torchvision's {name}")
    return [
        f"network = torchvision.models.{name}()",
        *([_STEM] if small else []),
        "network.load_state_dict(safetensors.torch.load_file('PATH'), strict=False)  # all but fc",
        "network.fc = torch.nn.Identity()",
        *by_hand(encoder.card),
        "features = network.eval()(images)",
    ]


def _named(portable: Portable) -> tuple[str, dict[str, Tensor]]:
    """What torchvision calls the network, and its weights by torchvision's names."""
    from torchvision.models import get_model, list_models

    backbone, weights = portable.encoder.card.backbone, portable.encoder.backbone.state_dict()
    name = backbone.removeprefix("timm:").removesuffix(LARGE)
    if name.startswith("resnet") and name in list_models():
        ours = prefixed(weights, "features.network.") if backbone.startswith("timm:") else for_torchvision(weights)
        theirs: Any = get_model(name)
        if set(ours) | {"fc.weight", "fc.bias"} == set(theirs.state_dict()):
            return name, ours
    raise InputError(
        f"torchvision has no '{backbone}': pre-train a ResNet (resnet18{LARGE}), or choose --format onnx, torch-export "
        "or torchscript, which hold any network."
    )


def _network(name: str, weights: dict[str, Tensor], small: bool) -> nn.Module:
    """Theirs with these weights, the stem changed if it must be."""
    from torchvision.models import get_model

    network: Any = get_model(name)
    if small:
        network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    network.load_state_dict(weights, strict=False)
    network.fc = nn.Identity()
    made: nn.Module = network.eval()
    return made


def _features(portable: Portable, network: nn.Module, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of frames that are prepared by hand."""
    with torch.inference_mode():
        features: NDArray[np.float32] = network(portable.encoder.normalised(portable.encoder.images(frames))).numpy()
        return features
