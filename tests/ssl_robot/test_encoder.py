import json
import math
import pickle
import tracemalloc
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from ssl_robot import backbones
from ssl_robot.encoder import FILE, Card, Encoder, load
from ssl_robot.errors import InputError

CARD = Card(
    backbone="small",
    size=32,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
    recipe={"crop": {"p": 1.0, "scale": 0.2, "aspect": 4 / 3}},
    origin={"method": "simsiam", "seed": 3, "nested": {"epochs": 2}},
)


def frames(b: int = 5, h: int = 40, w: int = 56) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (b, h, w, 3), np.uint8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.fresh(CARD, seed=3).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def saved(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / FILE
    encoder.save(path)
    return path


@pytest.mark.parametrize("name", sorted(backbones.BACKBONES))
def test_what_is_loaded_computes_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    """Statistics of batch norm included, which a few frames in training mode have moved."""
    card = Card(name, 32, CARD.mean, CARD.std)
    before = Encoder.fresh(card, seed=1).train()
    before(frames())
    before.eval().save(tmp_path / FILE)
    after = load(tmp_path)
    for layer in ("output", "map"):
        assert torch.equal(after(frames(), layer), before(frames(), layer))
    assert not after.training
    assert not any(parameter.requires_grad for parameter in after.parameters())


def test_the_card_travels_with_the_weights(saved: Path) -> None:
    assert load(saved).card == CARD
    assert load(saved.parent).card == CARD


@pytest.mark.parametrize("name", sorted(backbones.BACKBONES))
def test_width_is_that_of_the_features_and_the_map_pools_to_them(name: str) -> None:
    encoder = Encoder.fresh(Card(name, 32, CARD.mean, CARD.std), seed=0).eval()
    vectors, maps = encoder(frames()), encoder(frames(), "map")
    assert vectors.shape == (5, encoder.width)
    assert maps.ndim == 4
    torch.testing.assert_close(encoder.backbone.pool(maps), vectors)


def test_asking_for_the_width_changes_nothing() -> None:
    """Neither the mode nor the statistics of batch norm."""
    encoder = Encoder.fresh(CARD, seed=0).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert encoder.width > 0
    assert encoder.training
    assert encoder.backbone.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_channels_may_come_first_or_last_from_numpy_or_torch(encoder: Encoder) -> None:
    expected = encoder(frames())
    last = torch.from_numpy(frames())
    first = last.permute(0, 3, 1, 2)
    for given_ in (last, first, first.contiguous(), first.numpy(), frames()[:, ::-1][:, ::-1]):
        torch.testing.assert_close(encoder(given_), expected, atol=1e-5, rtol=0)


@given(h=st.integers(4, 90), w=st.integers(4, 90))
def test_frames_may_have_any_size(encoder: Encoder, h: int, w: int) -> None:
    assert encoder(frames(2, h, w)).shape == (2, encoder.width)
    assert torch.isfinite(encoder(frames(2, h, w))).all()


def test_frames_are_normalised_as_the_card_says(encoder: Encoder) -> None:
    images = torch.from_numpy(frames(2, 32, 32)).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (CARD.mean, CARD.std))
    torch.testing.assert_close(encoder(frames(2, 32, 32)), encoder.backbone((images - mean) / std), atol=1e-5, rtol=0)


def test_a_frame_at_twice_the_size_is_the_same_frame(encoder: Encoder) -> None:
    """Resizing averages: doubled pixels come back as they were, up to the filter's reach."""
    smooth = np.linspace(0, 255, 32).astype(np.uint8)[None, :, None, None].repeat(32, 2).repeat(3, 3)
    doubled = smooth.repeat(2, 1).repeat(2, 2)
    torch.testing.assert_close(encoder.images(doubled), encoder.images(smooth), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        frames().astype(np.float32) / 255,
        torch.from_numpy(frames()).float(),
        frames().astype(np.int64),
        frames()[0],
        frames()[None],
        frames()[..., :2],
        frames().repeat(2, 3)[..., :4],
        np.zeros((2, 32, 32), np.uint8),
    ],
    ids=["float", "float tensor", "int64", "one frame", "five axes", "two channels", "four channels", "no channels"],
)
def test_other_types_and_shapes_are_refused(encoder: Encoder, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"must be uint8 of shape \(b, h, w, 3\) or \(b, 3, h, w\), not .* of \("):
        encoder(wrong)


def test_an_encoder_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", tmp_path / "none.safetensors"):
        with pytest.raises(InputError, match=r"no encoder at .*--out folder"):
            load(path)


def damaged(saved: Path, tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / FILE
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, keep: float) -> None:
    whole = saved.read_bytes()
    end = int(keep * len(whole)) if 0 < keep < 1 else int(keep)
    with pytest.raises(InputError, match="not a whole encoder file"):
        load(damaged(saved, tmp_path, whole[:end]))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(saved: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(InputError):
        load(damaged(saved, tmp_path_factory.getbasetemp(), content))


def test_a_damaged_header_is_refused_and_never_crashes(saved: Path, tmp_path: Path) -> None:
    """Any byte of it may have flipped; where the rest still makes sense, an encoder comes back."""
    whole = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    rng = np.random.default_rng(0)
    for place in [*range(8), *rng.integers(8, header, 150).tolist()]:
        flipped = whole.copy()
        flipped[place] ^= 1 << int(rng.integers(8))
        try:
            load(damaged(saved, tmp_path, bytes(flipped)))
        except InputError:
            refused += 1
    assert refused > 50


def test_weights_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="holds weights but no ssl_robot encoder"):
        load(path)


@pytest.mark.parametrize(
    "card",
    ["[]", "null", "3", "{", "{}", '{"backbone": "small"}', json.dumps({**vars(CARD), "more": 1})],
)
def test_a_card_of_another_kind_is_refused(tmp_path: Path, card: str) -> None:
    path = tmp_path / FILE
    save_file({"weight": torch.zeros(3)}, path, metadata={"card": card})
    with pytest.raises(InputError, match="no ssl_robot encoder"):
        load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "vast"},
        {"backbone": "resnet18"},
        {"backbone": 3},
        {"mean": [0.5]},
        {"std": [0.5, 0.5, "wide"]},
    ],
    ids=str,
)
def test_a_card_that_does_not_fit_is_refused(encoder: Encoder, tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / FILE
    save_file(encoder.backbone.state_dict(), path, metadata={"card": json.dumps({**vars(CARD), **changes})})
    with pytest.raises(InputError):
        load(path)


class Trap:
    """A pickle that makes a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("name", ["encoder.safetensors", "model.safetensors", "w.pt", "pytorch_model.bin", "w.pkl"])
@pytest.mark.parametrize("kind", ["torch", "older torch", "pickle", "text pickle"])
def test_a_pickle_is_refused_and_none_of_it_runs(tmp_path: Path, name: str, kind: str) -> None:
    mark, path = tmp_path / "ran", tmp_path / "folder" / name
    path.parent.mkdir()
    content = {"weight": torch.zeros(3), "trap": Trap(mark)}
    if kind.endswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    else:
        path.write_bytes(pickle.dumps(content["trap"], protocol=0 if kind == "text pickle" else 4))
    for source in (path, str(path), path.parent):
        with pytest.raises(InputError) as refused:
            load(source)
        sentence = str(refused.value)
        assert "pickle" in sentence or "not a whole encoder file" in sentence
        assert "\n" not in sentence
    assert not mark.exists()
    if kind != "text pickle":
        read = pickle.load if kind == "pickle" else partial(torch.load, weights_only=False)
        read(BytesIO(path.read_bytes()))
        assert mark.exists()  # the trap is one


def header(path: Path, card: Card, tensors: dict[str, Any], claimed: int | None = None, data: bytes = b"") -> Path:
    """A safetensors file written by hand."""
    text = json.dumps({"__metadata__": {"card": json.dumps(asdict(card))}, **tensors}).encode()
    path.write_bytes((len(text) if claimed is None else claimed).to_bytes(8, "little") + text + data)
    return path


def test_a_file_that_claims_ten_gigabytes_is_refused_before_any_are_asked_for(tmp_path: Path) -> None:
    huge = {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10_000_000_000]}
    path = tmp_path / FILE
    tracemalloc.start()
    for claimed, tensors in ((10_000_000_000, {}), (None, {"features.0.weight": huge})):
        with pytest.raises(InputError, match="not a whole encoder file"):
            load(header(path, CARD, tensors, claimed))
    with path.open("r+b") as file:  # and one that has them, as a hole
        file.truncate(path.stat().st_size + 10_000_000_000)
    with pytest.raises(InputError, match=r"not a whole encoder file \(.* is missing\)"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda weights: weights.update({"features.0.weight": torch.zeros(3)}), r"features.0.weight is \(3,\), but"),
        (lambda weights: weights.pop("features.0.weight"), "features.0.weight is missing"),
        (lambda weights: weights.update({"more": torch.zeros(3)}), "more is unknown"),
    ],
)
def test_weights_that_do_not_fit_are_named(encoder: Encoder, tmp_path: Path, change: Any, sentence: str) -> None:
    weights = dict(encoder.backbone.state_dict())
    change(weights)
    save_file(weights, tmp_path / FILE, metadata={"card": json.dumps(asdict(CARD))})
    with pytest.raises(InputError, match=rf"not a whole encoder file \({sentence}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 0}, {"size": 10**9}, {"size": 32.0}, {"size": "32"}, {"std": [0, 1, 1]}, {"mean": [math.nan, 0, 0]},
        {"recipe": 3}, {"origin": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_card_of_impossible_values_is_refused(encoder: Encoder, tmp_path: Path, changes: dict[str, Any]) -> None:
    card = json.dumps({**asdict(CARD), **changes})
    save_file(dict(encoder.backbone.state_dict()), tmp_path / FILE, metadata={"card": card})
    with pytest.raises(InputError, match="no ssl_robot encoder"):
        load(tmp_path)


def test_what_is_frozen_stays_in_evaluation_mode_as_a_part_of_what_learns(saved: Path) -> None:
    frozen, learning = load(saved), load(saved, freeze=False)
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    policy = torch.nn.ModuleList([frozen, learning]).train()
    assert not any(part.training for part in frozen.modules())
    assert all(part.training for part in learning.modules())
    frozen(frames())
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert {name.split(".")[0] for name, weights in policy.named_parameters() if weights.requires_grad} == {"1"}


def test_saving_again_replaces_the_file_whole(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"older")
    encoder.save(tmp_path / FILE)
    assert load(tmp_path).card == CARD
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
