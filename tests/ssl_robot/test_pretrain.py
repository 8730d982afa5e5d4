import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import load_file

from ssl_robot import backbones, encoder
from ssl_robot.arrays import Arrays
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

METHOD = Simsiam(width=32)
SHORT = Training(epochs=2, batch_size=16, size=16, device="cpu", precision="fp32")
ROWS = np.arange(5, 69)


def run(frames: Frames, training: Training = SHORT, rows: NDArray[np.int64] = ROWS, out: Path | None = None):
    return pretrain(frames, rows, METHOD, Recipe.named("simsiam"), "small", training, out, quiet=True)


def weights(trained: encoder.Encoder) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in trained.backbone.state_dict().values()])


def test_the_same_seed_gives_the_same_encoder(resets: FrameStore) -> None:
    """To the bit on a CPU, and whatever other random numbers the process has drawn."""
    first = weights(run(resets))
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(weights(run(resets)), first)


def test_what_is_returned_gives_the_features_of_what_was_written(resets: FrameStore, tmp_path: Path) -> None:
    """To the bit: whether an encoder was trained just now or is loaded again must change no number."""
    trained = run(resets, out=tmp_path)
    frames = resets.take(np.arange(32))
    assert torch.equal(trained(frames), encoder.load(tmp_path)(frames))
    assert torch.equal(trained(frames, "map"), encoder.load(tmp_path)(frames, "map"))


def test_another_seed_gives_another_encoder(resets: FrameStore) -> None:
    assert not torch.allclose(weights(run(resets)), weights(run(resets, replace(SHORT, seed=1))), atol=1e-2)


def test_training_disturbs_no_other_random_numbers(resets: FrameStore) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(resets)
    assert torch.equal(torch.rand(3), expected)


def test_training_moves_every_weight_of_the_backbone(resets: FrameStore) -> None:
    trained, fresh = run(resets).backbone, backbones.build("small", SHORT.seed)
    for (name, after), before in zip(trained.named_parameters(), fresh.parameters(), strict=True):
        assert not torch.equal(after, before), name


def test_the_encoder_comes_back_frozen_and_in_eval_mode(resets: FrameStore) -> None:
    trained = run(resets)
    assert not any(parameter.requires_grad for parameter in trained.parameters())
    assert not any(module.training for module in trained.modules())


class Guarded:
    """Frames of which only some may be read."""

    def __init__(self, frames: Frames, allowed: NDArray[np.int64]) -> None:
        self._frames, self._allowed = frames, allowed
        self.seen: set[int] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._frames, name)

    def __len__(self) -> int:
        return len(self._frames)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        assert np.isin(indices, self._allowed).all(), "read a row it was not given"
        self.seen |= set(indices.tolist())
        return self._frames.take(indices)


@pytest.mark.parametrize("resident", [True, False], ids=["kept in memory", "read as needed"])
def test_only_the_given_rows_are_read(resets: FrameStore, resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not resident:
        monkeypatch.setattr("ssl_robot.loader.RESIDENT_BYTES", 0)
    rows = np.arange(3, 160, 2)
    guarded = Guarded(resets, rows)
    run(guarded, rows=rows)
    assert guarded.seen == set(rows.tolist())


def test_half_precision_changes_the_encoder_a_little(resets: FrameStore) -> None:
    """The arithmetic is bf16; weights stay in full precision, and the run is repeatable all the same."""
    full, half, again = (run(resets, replace(SHORT, precision=name)) for name in ("fp32", "bf16", "bf16"))
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert torch.equal(weights(half), weights(again))
    assert not torch.equal(weights(half), weights(full))
    assert torch.corrcoef(torch.stack([weights(half), weights(full)]))[0, 1] > 0.99


def test_frames_that_do_not_fit_give_the_same_encoder(resets: FrameStore, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = weights(run(resets))
    monkeypatch.setattr("ssl_robot.loader.RESIDENT_BYTES", 0)
    assert torch.equal(weights(run(resets)), expected)


def test_the_card_says_where_the_encoder_comes_from(resets: FrameStore) -> None:
    card = run(resets).card
    pixels = resets.take(ROWS).reshape(-1, 3) / 255
    np.testing.assert_allclose(card.mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(card.std, pixels.std(0), atol=1e-4)
    assert card.size == 16
    assert Recipe.from_dict(card.recipe) == Recipe.named("simsiam")
    assert card.origin["data"] == resets.fingerprint
    assert card.origin["method"] == "simsiam"
    assert card.origin["simsiam"]["width"] == 32
    assert card.origin["training"]["batch_size"] == 16


def test_a_run_directory_holds_configuration_metrics_and_encoder(resets: FrameStore, tmp_path: Path) -> None:
    trained = run(resets, out=tmp_path)
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert written["backbone"] == "small"
    assert list(written["recipe"]) == list(Recipe.named("simsiam").names)
    assert written["origin"]["data"] == resets.fingerprint
    assert written["origin"]["training"]["seed"] == 0
    assert written["surroundings"]["versions"]["torch"] == torch.__version__.partition("+")[0] or torch.__version__
    assert not list(tmp_path.glob("*.partial"))
    torch.testing.assert_close(weights(encoder.load(tmp_path)), weights(trained), atol=0, rtol=0)
    assert load_file(tmp_path / "encoder.safetensors").keys() == trained.backbone.state_dict().keys()


def test_metrics_have_a_line_an_epoch(resets: FrameStore, tmp_path: Path) -> None:
    run(resets, replace(SHORT, epochs=5), out=tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        lines = [{name: float(value) for name, value in line.items()} for line in csv.DictReader(file)]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3, 4]
    assert all(-1 <= line["loss"] <= 1 and 0 < line["spread"] < 1.2 and line["frames_per_s"] > 0 for line in lines)


def test_rates_follow_the_schedule(resets: FrameStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm-up for both groups; from then on the backbone and projector along a cosine, the predictor constant."""
    rates = []
    step = torch.optim.SGD.step

    def noted(self: torch.optim.SGD, *args: object) -> object:
        rates.append([group["lr"] for group in self.param_groups])
        sizes.append([sum(p.numel() for p in group["params"]) for group in self.param_groups])
        return step(self, *args)

    sizes: list[list[int]] = []
    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    run(resets, replace(SHORT, epochs=10, lr=0.8, warmup=2))
    peak, steps = 0.8 * 16 / 256, 4
    assert len(rates) == 40
    for i, (decaying, constant) in enumerate(rates):
        warm = min(1, (i + 1) / (2 * steps))
        assert constant == pytest.approx(peak * warm)
        assert decaying == pytest.approx(peak * warm * 0.5 * (1 + math.cos(math.pi * max(0, i - 8) / 32)))
    predictor = 32 * 8 + 2 * 8 + 8 * 32 + 32
    assert sizes[0][1] == predictor
    assert sizes[0][0] > predictor


@pytest.mark.slow
def test_a_compiled_network_learns_nearly_the_same(resets: FrameStore, tmp_path: Path) -> None:
    """And is saved under the same names; after a few steps, before rounding has grown."""
    short = replace(SHORT, epochs=1)
    eager, compiled = run(resets, short), run(resets, replace(short, network="compiled"), out=tmp_path)
    torch.testing.assert_close(weights(compiled), weights(eager), atol=1e-3, rtol=1e-2)
    assert torch.equal(weights(encoder.load(tmp_path)), weights(compiled))


def test_views_that_go_together_are_normalised_together(resets: FrameStore) -> None:
    """Another encoder: batch norm has seen both views at once."""
    apart, together = run(resets), run(resets, replace(SHORT, together=True))
    assert not torch.equal(weights(apart), weights(together))
    assert torch.corrcoef(torch.stack([weights(apart), weights(together)]))[0, 1] > 0.9


def test_too_few_frames_say_so(resets: FrameStore) -> None:
    with pytest.raises(InputError, match="7 frames are too few"):
        run(resets, rows=np.arange(7))


def test_fewer_frames_than_a_batch_are_a_smaller_batch(resets: FrameStore, tmp_path: Path) -> None:
    run(resets, replace(SHORT, batch_size=512, epochs=1), rows=np.arange(9), out=tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["batch"], summary["steps"]) == (9, 1)


def test_a_loss_that_is_no_number_stops_the_run(resets: FrameStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The loss is no number.*lower --lr \(it is 1e\+30\)"):
        run(resets, replace(SHORT, lr=1e30, warmup=0), out=tmp_path)
    assert not (tmp_path / "encoder.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("size", 8),
        ("lr", -0.1),
        ("warmup", -1),
        ("momentum", -0.1),
        ("weight_decay", -1e-4),
        ("lr", math.nan),
        ("accumulate", 0),
    ],
)
def test_impossible_values_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{name} is {value}, but must be at least"):
        replace(SHORT, **{name: value})


def test_an_unknown_backbone_is_refused(resets: FrameStore) -> None:
    with pytest.raises(InputError, match=r"no backbone 'vast': choose from resnet18, .*small, wide"):
        pretrain(resets, ROWS, METHOD, Recipe(), "vast", SHORT, quiet=True)


def test_an_unknown_device_is_refused(resets: FrameStore) -> None:
    with pytest.raises(InputError, match="device"):
        run(resets, replace(SHORT, device="abacus"))


@pytest.mark.parametrize(("alike", "told"), [(True, True), (False, False)])
def test_a_run_that_tells_no_frames_apart_says_so(alike: bool, told: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all frames are the same there is nothing to find; frames of unlike colours are found at once."""
    colours = np.random.default_rng(0).integers(0, 255, (1 if alike else 64, 1, 1, 3), np.uint8)
    frames = Arrays(np.broadcast_to(colours, (64, 24, 24, 3)).copy())
    training = replace(SHORT, on_collapse="warn")
    pretrain(frames, np.arange(64), METHOD, Recipe.named("shift"), "small", training, quiet=True)
    assert ("a frame's other view is found among 16" in capsys.readouterr().err) == told


def scene(count: int) -> NDArray[np.uint8]:
    """A thing of 2 by 3 pixels somewhere before a table that a fixed camera sees."""
    images = np.full((count, 32, 32, 3), 90, np.uint8)
    images[:, :6] = 0
    images[:, 24:26, 4:28] = images[:, 8:24, 4:6] = (150, 60, 90)
    for number, (y, x) in enumerate(np.random.default_rng(0).integers(0, (14, 18), (count, 2))):
        images[number, 9 + y : 11 + y, 7 + x : 10 + x] = (20, 60, 90)
    return images


@pytest.mark.slow
def test_what_hardly_moves_is_found_only_where_a_batch_shares_its_draws(tmp_path: Path) -> None:
    """By guessing it would be found in 1 of 64 cases; that is what auto shares draws for."""
    recipe, images = Recipe.named("simsiam").having("crop", scale=0.6), scene(2048)
    found = {}
    for draws in ("frame", "auto"):
        changes = {"epochs": 3, "batch_size": 64, "size": 32, "device": "cpu", "precision": "fp32", "draws": draws}
        training = Training.of(Simsiam, "small", {**changes, "on_collapse": "warn"})
        method, out = Simsiam.made("small", {}), tmp_path / draws
        pretrain(Arrays(images), np.arange(2048), method, recipe, "small", training, out, quiet=True)
        summary = json.loads((out / "summary.json").read_text())
        found[summary["draws"]] = summary["last epoch"]["matched"]
    assert found["frame"] < 0.03
    assert found["batch"] > 0.07


@pytest.mark.parametrize(("draws", "side", "told"), [("auto", 1, True), ("auto", 12, False), ("batch", 1, False)])
def test_a_run_that_shares_draws_unasked_says_so(
    draws: Any, side: int, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((64, 24, 24, 3), np.uint8)
    images[::3, :side, :side] = 255
    training = replace(SHORT, epochs=1, draws=draws, on_collapse="warn")
    pretrain(Arrays(images), np.arange(64), METHOD, Recipe.named("shift"), "small", training)
    assert ("all frames of a batch share what is drawn" in capsys.readouterr().err) == told
