"""What the files say that an encoder is exported to, and what is refused (test_routes.py compares their features)."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import torchvision
from numpy.typing import NDArray
from safetensors import safe_open

import ssl_robot
from ssl_robot.encoder import FILE, Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.exports import export_encoder, formats
from ssl_robot.portable import Maps, check, still

torch.set_num_threads(1)

RECIPE = {"crop": {"smallest": 0.5, "p": 1.0}}


def trained(folder: Path, backbone: str, size: int = 64) -> Path:
    """A run folder whose encoder has batch-norm statistics that matter."""
    card = Card(backbone, size, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3), RECIPE, {"data": "0123abcd"})
    encoder = Encoder.fresh(card, seed=1)
    generator = torch.Generator().manual_seed(0)
    for name, value in encoder.backbone.named_buffers():
        if name.endswith("running_mean"):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    folder.mkdir(parents=True)
    encoder.save(folder / FILE)
    return folder


def exported(run: Path, format: str) -> Path:
    """The run's file of a format, written once."""
    path = run / f"{format}{SHORT.get(format, '.safetensors')}"
    if not path.exists():
        export_encoder(loaded(run), format, path)
    return path


@cache
def loaded(run: Path) -> Encoder:
    return ssl_robot.load(run)


WEIGHTS = ("timm", "torchvision")  # what a host has a network for; the other formats hold any
SHORT = {"onnx": ".onnx", "torch_export": ".pt2", "torchscript": ".ts"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {name: trained(root / name.replace(":", "_"), name) for name in ("small", "resnet18-large")}


def test_hosts_that_are_not_installed_hide_no_format(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("robomimic", "torchrl", "stable_baselines3"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"ssl_robot.plugins.{name}", raising=False)
    found = formats()
    assert {*WEIGHTS, *SHORT, "safetensors"} <= {*found}


def told(run: Path, format: str) -> dict[str, str]:
    """What a file of a format says about itself, read by its own program."""
    if format == "onnx":
        found = onnx.load(exported(run, "onnx")).metadata_props
        return {item.key: item.value for item in found}
    if format == "torch_export":
        wanted = dict.fromkeys(("recipe", "fingerprint", "card"), "")
        torch.export.load(exported(run, format), extra_files=wanted)
        return wanted
    if format == "torchscript":
        extra = dict.fromkeys(("recipe", "fingerprint", "card"), "")
        torch.jit.load(str(exported(run, format)), _extra_files=extra)
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in extra.items()}
    with safe_open(exported(run, format), framework="pt") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("name", formats())
def test_recipe_fingerprint_and_card_travel_along(runs: dict[str, Path], name: str) -> None:
    run = runs["resnet18-large" if name in WEIGHTS else "small"]
    found = told(run, name)
    assert json.loads(found["recipe"]) == RECIPE
    assert found["fingerprint"] == "0123abcd"
    card = loaded(run).card
    assert json.loads(found["card"])["mean"] == list(card.mean)


def test_onnx_says_what_may_vary(runs: dict[str, Path]) -> None:
    [frames] = onnxruntime.InferenceSession(exported(runs["small"], "onnx")).get_inputs()
    assert (frames.name, frames.type, frames.shape) == ("frames", "tensor(uint8)", ["batch", "height", "width", 3])
    model = onnx.load(exported(runs["small"], "onnx"))
    assert {item.version for item in model.opset_import if item.domain == ""} == {18}


def test_a_stem_for_small_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines that are printed are Python, and give the encoder's features."""
    run, out = trained(tmp_path / "run", "resnet18", 32), tmp_path / "out.safetensors"
    assert main(["export", str(run), "--format", "torchvision", "--out", str(out)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert any("conv1" in line for line in lines)
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 40, 3), np.uint8)
    known: dict[str, Any] = {"frames": torch.from_numpy(frames), "torch": torch, "torchvision": torchvision}
    exec("import safetensors.torch\nimport torch.nn.functional as F\n" + "\n".join(lines), known)
    expected = ssl_robot.load(run)(frames)
    torch.testing.assert_close(known["features"].detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "efficientnet_b0"])
def test_what_timm_ends_otherwise_is_read_from_its_last_map(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = trained(tmp_path / "run", f"timm:{name}"), tmp_path / "out.safetensors"
    assert main(["export", str(run), "--format", "timm", "--out", str(out)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert "features_only=True" in lines[0]
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 40, 3), np.uint8)
    known: dict[str, Any] = {"frames": torch.from_numpy(frames), "torch": torch, "timm": timm}
    exec("import torch.nn.functional as F\n" + "\n".join(lines), known)
    torch.testing.assert_close(known["features"].detach(), ssl_robot.load(run)(frames), rtol=0, atol=1e-5)


REFUSED = [
    ("timm", "a.safetensors", "timm has no 'small': pre-train a timm:NAME or a ResNet with ImageNet's stem"),
    ("torchvision", "a.safetensors", "torchvision has no 'small': pre-train a ResNet (resnet18-large)"),
    ("timm", "a.pth", "timm would unpickle a.partial.pth: give an --out that ends in .safetensors."),
    ("tape", "a.bin", "'tape' is no format of encoders: choose from onnx, safetensors, timm, torch-export"),
    ("minari", "a-v0", "is an encoder, and minari takes recordings: choose --format onnx, safetensors"),
    ("safetensors", "no/a.safetensors", "no does not exist: make it, or choose another --out."),
    ("safetensors", f"small/{FILE}", "exists: choose another --out."),
]


@pytest.mark.parametrize(("format", "out", "sentence"), REFUSED)
def test_what_cannot_be_is_one_sentence(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str], format: str, out: str, sentence: str
) -> None:
    path = runs["small"].parent / out
    before = sorted(runs["small"].parent.rglob("*"))
    assert main(["export", str(runs["small"]), "--format", format, "--out", str(path)]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.splitlines()) == 1
    assert sorted(runs["small"].parent.rglob("*")) == before


def test_options_of_recordings_are_refused(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(runs["small"]), "--format", "onnx", "--out", str(runs["small"] / "x.onnx"), "--fps", "5"]
    assert main(words) == 2
    assert "are for recordings: leave them out for an encoder." in capsys.readouterr().err


def test_what_is_not_installed_is_named(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", str(runs["small"]), "--format", "onnx", "--out", str(tmp_path / "a.onnx")]) == 2
    assert "ONNX needs its libraries: pip install 'ssl-robot[onnx]'." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_route_that_disagrees_is_refused() -> None:
    card = Card("small", 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    portable = still(Encoder.fresh(card, seed=0))

    def darker(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(portable(torch.from_numpy(frames // 2)))

    with pytest.raises(InputError, match=r"A radio gives other features than the encoder \(by .*\): export it in"):
        check(portable, darker, "A radio")


@pytest.mark.parametrize("trained", [False, True])
def test_a_policys_backbone_gives_the_encoders_map(trained: bool) -> None:
    """From images in [0, 1]; training the policy moves no batch norm, and the weights only if that is asked for."""
    encoder = Encoder.fresh(Card("small", 32, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)), seed=0).eval()
    frames = np.random.default_rng(0).integers(0, 256, (2, 50, 40, 3), np.uint8)
    expected = encoder(frames, "map").detach()
    backbone = torch.nn.ModuleList([Maps(encoder, trained)]).train()[0]
    found = backbone(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255)["feature_map"]
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder(frames, "map").detach(), expected)
    assert found.requires_grad == trained


def test_an_encoder_keeps_its_mode_and_gradients(tmp_path: Path) -> None:
    """Exporting in the middle of training changes nothing about it."""
    encoder = Encoder.fresh(Card("small", 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), seed=0).train()
    export_encoder(encoder, "torchscript", tmp_path / "a.ts")
    assert encoder.training
    assert all(weight.requires_grad for weight in encoder.parameters())
