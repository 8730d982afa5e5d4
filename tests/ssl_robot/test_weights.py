from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models import get_model, resnet18

from ssl_robot import backbones, weights
from ssl_robot.encoder import Card, Encoder, load
from ssl_robot.errors import InputError
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

GREY = (0.5, 0.5, 0.5)


def card(backbone: str) -> Card:
    return Card(backbone, 32, GREY, GREY)


def test_a_run_is_gone_on_from(memory: Any, tmp_path: Path) -> None:
    frames = memory(np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), np.uint8))
    training = Training(epochs=1, batch_size=16, size=16, lr=0.0, weight_decay=0.0, device="cpu")
    first = Encoder.fresh(card("small"), 7)
    first.save(tmp_path / "encoder.safetensors")
    pretrain(
        frames, np.arange(64), Simsiam(width=16), Recipe.named("crop"), "small", training, tmp_path / "run",
        quiet=True, start=str(tmp_path),
    )  # fmt: skip
    found = load(tmp_path / "run")
    for (name, value), expected in zip(
        found.backbone.named_parameters(), first.backbone.parameters(), strict=True
    ):  # nothing was learnt at a rate of 0
        assert torch.equal(value, expected), name
    assert found.card.origin["start"] == weights.print_of(str(tmp_path))


@pytest.mark.parametrize("kind", [".pt", ".safetensors"])
def test_torchvisions_names_become_ours(tmp_path: Path, kind: str) -> None:
    """All but the stem, which is made for larger images, and the classifier."""
    torch.manual_seed(3)
    theirs = resnet18().state_dict()
    path = tmp_path / f"weights{kind}"
    torch.save(theirs, path) if kind == ".pt" else save_file(theirs, path)
    ours = weights.begun(card("resnet18"), 0, str(path)).backbone.state_dict()
    assert torch.equal(ours["features.6.1.conv2.weight"], theirs["layer4.1.conv2.weight"])
    assert torch.equal(ours["features.1.running_var"], theirs["bn1.running_var"])
    assert torch.equal(ours["features.0.weight"], backbones.build("resnet18", 0).state_dict()["features.0.weight"])


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_large_stem_is_torchvisions_network_to_the_bit(tmp_path: Path, name: str) -> None:
    torch.manual_seed(3)
    theirs = get_model(name).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    ours = weights.begun(card(f"{name}-large"), 0, str(tmp_path / "weights.pt")).backbone.eval()
    theirs.fc, images = torch.nn.Identity(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_timms_networks_and_their_weights(tmp_path: Path, name: str) -> None:
    """Which can be saved and come back, transformers at another size than they were made for too."""
    torch.manual_seed(3)
    theirs = timm.create_model(name, pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    encoder = weights.begun(card(f"timm:{name}"), 0, str(tmp_path / "weights.pt")).eval()
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    maps = encoder(frames, "map")
    assert maps.ndim == 4
    if name.startswith("resnet"):
        images = encoder.normalised(encoder.images(frames))
        torch.testing.assert_close(maps, theirs.eval().forward_features(images))
    encoder.save(tmp_path / "encoder.safetensors")
    torch.testing.assert_close(load(tmp_path)(frames), encoder(frames))
    fresh = weights.begun(card(f"timm:{name}"), 0, None).eval()
    assert not torch.allclose(fresh(frames), encoder(frames))


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    Encoder.fresh(card("small"), 0).save(tmp_path / "encoder.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    torch.save([1], tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(b"nothing")
    for start, backbone, why in (
        (tmp_path, "resnet18", "is a 'small', not a 'resnet18'"),
        (tmp_path / "a.pt", "small", "another network"),
        (tmp_path / "b.pt", "resnet18", "holds no weights"),
        (tmp_path / "c.pt", "resnet18", "holds no weights"),
        ("pretrained", "small", "Nobody publishes"),
    ):
        with pytest.raises(InputError, match=why):
            weights.begun(card(backbone), 0, str(start))
    with pytest.raises(InputError, match="no weights at"):
        weights.print_of(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="timm has no network 'resnet9000'"):
        backbones.build("timm:resnet9000", 0)


def test_a_feature_map_has_its_channels_first() -> None:
    """Swin's have them last: a vector must hold channels, not the rows of a map."""
    name, images = "swin_tiny_patch4_window7_224", torch.rand(1, 3, 64, 64)
    backbone = backbones.build(f"timm:{name}", 0).eval()
    assert backbones.width(backbone, 64) == 768
    with torch.no_grad():
        last = backbone.features.network(images)[-1]  # type: ignore[operator]
        torch.testing.assert_close(backbone(images), last.mean((1, 2)))


@pytest.mark.parametrize(("size", "recipe"), [(24, "simsiam"), (64, "dino")], ids=["views", "small views"])
def test_views_that_a_backbone_does_not_take_are_refused(memory: Any, tmp_path: Path, size: int, recipe: str) -> None:
    """Multi-crop's small views are 27 pixels where large ones are 64: no multiple of a patch."""
    frames = memory(np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8))
    training = Training(1, 8, size=size, device="cpu", compiled="no")
    with pytest.raises(InputError, match=r"takes no frames of 2. pixels .*patch size \(16\)\): give another --size"):
        pretrain(
            frames, np.arange(16), Simsiam(width=8), Recipe.named(recipe), "timm:vit_tiny_patch16_224", training,
            tmp_path / "run", quiet=True,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()
