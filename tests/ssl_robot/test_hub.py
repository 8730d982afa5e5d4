"""Encoders in the form of Hugging Face's hub; what was fetched once is found without a network."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard, constants

import ssl_robot
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError

RECIPE = {"flip": {"p": 0.5}}
CARD = Card("small", 32, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), RECIPE, {"method": "simsiam", "data": "0123"})


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.fresh(CARD, seed=3).eval()


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hub") / "new" / "folder"
    encoder.save_pretrained(made)
    return made


@pytest.fixture
def offline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own cache with the folder in it as ``someone/reacher``, and no network."""
    kept = tmp_path / "models--someone--reacher"
    shutil.copytree(folder, kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def same(one: Encoder, other: Encoder) -> bool:
    weights = other.state_dict()
    return one.card == other.card and all(torch.equal(value, weights[name]) for name, value in one.state_dict().items())


def test_a_folder_comes_back_to_the_bit(encoder: Encoder, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    for source in (folder, str(folder), folder / "model.safetensors"):
        again = Encoder.from_pretrained(source)
        assert same(again, encoder)
        assert not any(weights.requires_grad for weights in again.parameters())
    assert all(weights.requires_grad for weights in Encoder.from_pretrained(folder, freeze=False).parameters())


def test_the_folder_says_what_it_is(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert (config["backbone"], config["recipe"]) == ("small", RECIPE)
    page = ModelCard.load(folder / "README.md")
    assert page.data.library_name == "ssl_robot"
    assert page.data.pipeline_tag == "image-feature-extraction"
    assert '"flip"' in page.text
    assert '"data": "0123"' in page.text


@pytest.mark.usefixtures("offline")
def test_what_was_fetched_once_is_found_without_a_network(encoder: Encoder) -> None:
    assert same(ssl_robot.load("someone/reacher"), encoder)
    assert same(Encoder.from_pretrained("someone/reacher@main"), encoder)


@pytest.mark.usefixtures("offline")
def test_what_is_not_to_be_had_is_said_in_one_sentence() -> None:
    for name in ("someone/else", "someone/reacher@v2"):
        with pytest.raises(InputError, match=r"no encoder at someone/.*, here or on the hub \(.*\): give the") as told:
            ssl_robot.load(name)
        assert "\n" not in str(told.value)


def test_a_slip_in_a_path_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder lies here whose name comes first, and for paths that are no text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked the hub"))
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    for source in ("runs/reach", "runs/empty", "reacher", "./a/b", "a/b/c", Path("someone/reacher")):
        with pytest.raises(InputError, match=r"There is no encoder at .*--out folder"):
            ssl_robot.load(source)
