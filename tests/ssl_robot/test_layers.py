"""Layers inside a network by name, against the network cut off there and against timm's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.baselines import named
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.frames import Label
from ssl_robot.layers import inside
from ssl_robot.probes.knn import Knn
from ssl_robot.probes.linear import Linear
from ssl_robot.probes.pose import Pose

SMALL = ["block1", "block2", "block3", "block4"]
RESNET = ["stem", "layer1", "layer2", "layer3", "layer4"]


def encoder(name: str, size: int = 32) -> Encoder:
    card = Card(name, size, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    return Encoder.fresh(card, seed=1).eval().requires_grad_(False)


def frames(size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "layers", "cells"),
    [("small", SMALL, 4), ("resnet18-large", RESNET, 1), ("wide", [], 16)],
)
def test_a_layer_is_what_the_network_makes_up_to_there(name: str, layers: list[str], cells: int) -> None:
    """The network is a sequence of parts, of which a layer is the last that counts."""
    asked = encoder(name)
    assert list(asked.backbone.layers) == layers
    images = asked.normalised(asked.images(frames()))
    for layer, found in asked.backbone.layers.items():
        parts = list(asked.backbone.features.children())
        expected: Tensor = nn.Sequential(*parts[: parts.index(found) + 1])(images)
        assert torch.equal(asked(frames(), layer), F.adaptive_avg_pool2d(expected, cells))
    if layers:
        assert torch.equal(asked(frames(), layers[-1]), asked(frames(), "map"))


def test_several_layers_follow_each_other() -> None:
    asked = encoder("resnet18-large")
    both = asked(frames(), "layer3+layer1")
    assert torch.equal(both, torch.cat([asked(frames(), name) for name in ("layer3", "layer1")], 1))


def test_blocks_of_a_transformer_are_timms_own() -> None:
    """Whose class token is no part of the image."""
    asked = encoder("timm:vit_tiny_patch16_224", 64)
    network = asked.backbone.features.network.model
    expected = network.forward_intermediates(
        asked.normalised(asked.images(frames(64))), indices=[0, 5, 11], norm=False, intermediates_only=True
    )
    for place, maps in zip((0, 5, 11), expected, strict=True):
        assert torch.equal(asked(frames(64), f"blocks.{place}"), maps)


def test_maps_of_timm_have_channels_first_and_the_last_is_the_map() -> None:
    """Swin's have them last."""
    asked = encoder("timm:swin_tiny_patch4_window7_224", 224)
    seen = frames(224)[:1]
    assert asked(seen, "layers_1").shape == (1, 192, 7, 7)
    assert torch.equal(asked(seen, "layers_3"), asked(seen, "map"))


@pytest.mark.parametrize("name", ["timm:resnet18", "timm:tf_efficientnet_lite0"])
def test_whatever_is_named_can_be_asked_for(name: str) -> None:
    asked = encoder(name, 64)
    assert len(asked.backbone.layers) > 1
    for layer in asked.backbone.layers:
        assert asked(frames(64), layer).shape[2:] == asked(frames(64), "map").shape[2:]


def test_nothing_is_left_in_the_network() -> None:
    asked = encoder("small")
    with pytest.raises(InputError):
        asked(frames(), "block1+map2")
    asked(frames(), "block1")
    assert not any(part._forward_hooks for part in asked.modules())


def test_an_unknown_layer_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="no layer 'layer3': choose output, map, block1, block2, block3, block4"):
        encoder("small")(frames(), "layer3")
    with pytest.raises(InputError, match=r"no layer 'mpa': choose output or map\."):
        encoder("wide")(frames(), "mpa")


def test_a_layer_that_is_passed_by_is_named() -> None:
    used, unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    with pytest.raises(InputError, match="passes 'b' by"):
        inside(nn.Sequential(used), {"a": used, "b": unused}, torch.zeros(1, 3, 8, 8), "a+b")


@pytest.fixture(scope="module")
def scenes(memory):
    """A number, and whether it is large; frames say nothing of it."""
    generator = np.random.default_rng(0)
    images, x = generator.integers(0, 256, (200, 16, 16, 3), np.uint8), generator.uniform(0, 1, 200)
    values = {"place": x[:, None], "class": (x > 0.5)[:, None].astype(float)}
    labels = {name: (Label.plain(name, 1), column) for name, column in values.items()}
    return memory(images, None, labels)


class OneLayer:
    """Knows the number in its second block alone."""

    name, key, sees = "one layer", "one layer", True
    labels: tuple[str, ...] = ("place",)

    def everything(self, frames, layer: str = "output") -> Tensor:
        x = torch.from_numpy(frames.values("place")).float()
        told = torch.cat([x, 1 - x], 1)[:, :, None, None]
        return told if layer == "block2" else torch.ones_like(told)


@pytest.mark.parametrize("probe", [Pose(target=("place",), control=False), Knn(), Linear()])
def test_probes_read_the_layer_that_they_are_asked_for(probe, scenes) -> None:
    knowing, *_ = replace(probe, layer="block2").ask(OneLayer(), scenes)
    other, *_ = replace(probe, layer="block1").ask(OneLayer(), scenes)
    assert knowing.layer == "block2"
    assert other.layer == "block1"
    assert knowing.value > 0.9
    assert other.value < 0.7


def test_what_has_no_layers_shows_its_one_map_or_says_so(scenes) -> None:
    assert named("pixels", scenes).everything(scenes, "block2").shape == (200, 3, 32, 32)
    for name in ("blind:flip", "blind:time"):
        with pytest.raises(InputError, match=f"'{name}' has none: ask for --layer output"):
            named(name, scenes).everything(scenes, "block2")
    with pytest.raises(InputError, match="'state' has no feature map"):
        named("state", scenes).everything(scenes, "block2")
