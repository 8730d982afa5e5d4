"""Networks from images to a feature map and a feature vector.

A backbone maps (b, 3, h, w) to a map (b, c, h', w') by ``features``, and that to a vector (b, d) by ``pool``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_robot.errors import InputError


class Backbone(nn.Module):
    """A feature map, and the vector a policy reads.

    Args:
        features: (b, 3, h, w) to (b, c, h', w').
        pool: (b, c, h', w') to (b, d).
        names: Of layers inside ``features``, with their paths there.
    """

    def __init__(self, features: nn.Module, pool: nn.Module, names: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.features = features
        self.pool = pool
        self._names = names or {}

    @property
    def layers(self) -> dict[str, nn.Module]:
        """What lies on the way to the map, by name, the first one first."""
        return {name: self.features.get_submodule(path) for name, path in self._names.items()}

    def forward(self, images: Tensor) -> Tensor:
        """Feature vectors, (b, d)."""
        vectors: Tensor = self.pool(self.features(images))
        return vectors


def _small() -> Backbone:
    """Four 3x3 convolutions like DrQ's encoder (Kostrikov 2020), with batch norm and a mean over the map."""

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    layers = [*block(3, 32, 2), *block(32, 64, 2), *block(64, 128, 2), *block(128, 128, 1)]
    names = {f"block{number}": str(3 * number - 1) for number in range(1, 5)}
    return Backbone(nn.Sequential(*layers), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), names)


def _resnet(name: str, stem: Literal["small", "large"]) -> Backbone:
    """One of torchvision's ResNets (He 2016).

    Args:
        name: As torchvision has it.
        stem: 3x3, stride 1 and no pooling, as used on CIFAR; or 7x7, stride 2 and max-pooling, as on ImageNet.
    """
    from torchvision.models import get_model

    network: Any = get_model(name)
    begin: list[nn.Module] = [network.conv1, network.bn1, nn.Sequential(network.relu, network.maxpool)]
    if stem == "small":
        begin = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), network.bn1, network.relu]
    layers = [*begin, network.layer1, network.layer2, network.layer3, network.layer4]
    names = {"stem": "2", **{f"layer{number}": str(number + 2) for number in range(1, 5)}}
    return Backbone(nn.Sequential(*layers), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), names)


class _TwoScales(nn.Module):
    """What there is, wherever it is, beside a coarse layout of the first layer's map."""

    def __init__(self, channels: int, filters: int, grid: int) -> None:
        super().__init__()
        self.shapes = nn.Sequential(nn.Conv2d(channels, filters, 7, 2, 3), nn.ReLU(inplace=True))
        self.layout = nn.AdaptiveAvgPool2d(grid)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.shapes(maps).amax((2, 3)), self.layout(maps).flatten(1)], 1)


def _wide() -> Backbone:
    """Two 7x7 convolutions whose random weights already hold a pose: 512 shapes and a 5x5 layout, 912 features."""
    first = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(inplace=True))
    return Backbone(first, _TwoScales(16, 512, 5))


class _Last(nn.Module):
    """The last feature map of a timm network, channels first: Swin and others of theirs have them last."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.channels = network.feature_info.channels()[-1]

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network(images)[-1]
        return maps if maps.shape[1] == self.channels else maps.permute(0, 3, 1, 2)


def _timm(name: str, weights: dict[str, Any]) -> Backbone:
    """Any network of timm that gives feature maps; transformers of any image size.

    Args:
        name: As timm has it.
        weights: ``pretrained`` and where to find it, as timm takes them; empty for fresh ones.
    """
    import timm

    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.partition('_')[0]}*")[:8]) or "see timm.list_models()"
        raise InputError(f"timm has no network '{name}': choose one, as {near}.")
    wanted: dict[str, Any] = {"features_only": True, "out_indices": (-1,), "dynamic_img_size": True, **weights}
    try:
        network = timm.create_model(name, **wanted)
    except TypeError:  # only transformers have a size to be dynamic about
        wanted.pop("dynamic_img_size")
        network = timm.create_model(name, **wanted)
    return Backbone(_Last(network), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), _blocks(network))


def _blocks(network: nn.Module) -> dict[str, str]:
    """Names that timm gives to a network's layers and to the blocks they hold, as ``layer3`` and ``blocks.3``."""
    path = "network.model" if hasattr(network, "model") else "network"  # something around a transformer
    inner = network.get_submodule("model") if hasattr(network, "model") else network
    names: list[str] = []
    for name, layer in inner.named_children():
        several = isinstance(layer, nn.Sequential | nn.ModuleList)
        names += [name] if any(layer.children()) and name != "blocks" else []  # those are called one by one
        names += [f"{name}.{place}" for place, _ in layer.named_children()] if several else []
    return {name: f"{path}.{name}" for name in names}


LARGE = "-large"  # ends the name of a ResNet with ImageNet's stem
_RESNETS = ("resnet18", "resnet34", "resnet50")
BACKBONES: dict[str, Callable[[], Backbone]] = {
    **{name: partial(_resnet, name, "small") for name in _RESNETS},
    **{f"{name}{LARGE}": partial(_resnet, name, "large") for name in _RESNETS},
    "small": _small,
    "wide": _wide,
}


def build(name: str, seed: int, weights: dict[str, Any] | None = None) -> Backbone:
    """A backbone with fresh weights; the same seed gives the same weights and disturbs no other random number.

    Args:
        name: One of ours, or ``timm:`` and the name of one of timm's.
        seed: Repeats the weights.
        weights: For timm's: ``pretrained`` and where to find it.

    Raises:
        InputError: If there is none of that name.
    """
    kind, _, network = str(name).partition(":")  # a damaged card may hold anything
    if kind != "timm" and name not in BACKBONES:
        raise InputError(f"There is no backbone '{name}': choose from {', '.join(BACKBONES)}, or timm:NAME.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _timm(network, weights or {}) if kind == "timm" else BACKBONES[name]()


def width(backbone: nn.Module, size: int) -> int:
    """Length of a backbone's vectors for frames of this size.

    Raises:
        InputError: If it takes none of this size, as many of timm's.
    """
    kind = next((weights.dtype for weights in backbone.parameters()), torch.float32)
    try:
        with torch.no_grad(), used(backbone):
            return int(backbone(torch.zeros(1, 3, size, size, dtype=kind, device=_place(backbone))).shape[1])
    except (AssertionError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"The backbone takes no frames of {size} pixels ({why}): give another --size.") from None


def _place(network: nn.Module) -> torch.device:
    return next((weights.device for weights in network.parameters()), torch.device("cpu"))


@contextmanager
def used(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode, and afterwards each of its parts in the mode in which it was before."""
    parts = [network]
    for part in parts:  # modules() does the same, but its cost shows in a step of a policy
        parts.extend(inner for inner in part._modules.values() if inner is not None)
    learning = [part for part in parts if part.training]
    for part in learning:
        part.training = False
    try:
        yield
    finally:
        for part in learning:
            part.training = True
