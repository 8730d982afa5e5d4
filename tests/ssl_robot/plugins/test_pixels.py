"""What all plugins share: an encoder is left as it was, and what cannot be a picture is refused."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

import ssl_robot
from ssl_robot.encoder import FILE, Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.pixels import scaled, vectors

CARD = Card("small", 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def norms(network: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (part for part in network.modules() if isinstance(part, nn.BatchNorm2d))


def statistics(network: nn.Module) -> list[torch.Tensor]:
    return [norm.running_mean.clone() for norm in norms(network)]  # type: ignore[union-attr]


def by_hand(encoder: Encoder) -> None:
    """Learning, but for the statistics."""
    encoder.train()
    for norm in norms(encoder):
        norm.eval()


def inside(encoder: Encoder) -> None:
    """Used, but for a backbone that somebody told to learn."""
    encoder.eval()
    encoder.backbone.train()


@pytest.mark.parametrize("arrange", [by_hand, inside, Encoder.train, Encoder.eval])
def test_looking_through_an_encoder_leaves_every_part_as_it_was(arrange: Any) -> None:
    encoder = Encoder.fresh(CARD, seed=0)
    expected = Encoder.fresh(CARD, seed=0).eval()(FRAMES)
    arrange(encoder)
    before, learnt = [part.training for part in encoder.modules()], statistics(encoder)
    assert encoder.width == 128
    [found] = vectors(encoder, [FRAMES])
    assert [part.training for part in encoder.modules()] == before
    torch.testing.assert_close(statistics(encoder), learnt)
    torch.testing.assert_close(found, expected)


def test_a_layer_that_learns_wakes_no_other() -> None:
    encoder = Encoder.fresh(CARD, seed=0).requires_grad_(False)
    list(norms(encoder))[-1].requires_grad_(True)
    whole = nn.Sequential(encoder, nn.Linear(128, 2)).train()
    assert [norm.training for norm in norms(whole)] == [False] * (len(list(norms(whole))) - 1) + [True]
    encoder.requires_grad_(True)
    assert all(norm.training for norm in norms(whole.train()))


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.full((2, 3, 8, 8), 200.0), r"lie in \[200, 200\], not in \[0, 1\]"),
        (torch.randn(2, 3, 8, 8), "leave normalising to the encoder"),
        (torch.full((2, 3, 8, 8), torch.nan), "not in"),
        (torch.rand(2, 1, 8, 8), r"images of \(b, 3, h, w\), not \(2, 1, 8, 8\)"),
        (torch.rand(2, 8, 8, 3), "put channels first"),
    ],
    ids=["of 255", "normalised", "nan", "gray", "channels last"],
)
def test_floats_that_are_no_picture_are_refused(images: torch.Tensor, says: str) -> None:
    with pytest.raises(InputError, match=says):
        scaled(images)
    with pytest.raises(InputError, match=says):
        vectors(Encoder.fresh(CARD, seed=0).eval(), [images])


def test_no_frames_give_no_features() -> None:
    assert scaled(torch.rand(0, 3, 8, 8)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_an_encoder_of_half_precision_takes_the_same_frames(kind: torch.dtype) -> None:
    whole = Encoder.fresh(CARD, seed=0).eval()
    half = Encoder.fresh(CARD, seed=0).eval().to(kind)
    assert half.width == 128
    assert half(FRAMES).dtype == kind
    [found] = vectors(half, [np.repeat(FRAMES, 2, 1)])
    [expected] = vectors(whole, [np.repeat(FRAMES, 2, 1)])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


def test_a_run_is_not_written_over(run: Path) -> None:
    with pytest.raises(InputError, match="is a run, whose encoder is what load would find there"):
        Encoder.fresh(CARD, seed=5).save_pretrained(run)
    assert not (run / "model.safetensors").exists()


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    Encoder.fresh(CARD, seed=0).save(tmp_path / FILE)
    (tmp_path / "plain").write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (FILE, "plain")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda run: ssl_robot.load(run, device="gpu"), "There is no device 'gpu' here"),
        (lambda run: ssl_robot.load(run)([FRAMES[0], FRAMES[1]]), "not a list: np.stack them"),
        (lambda run: ssl_robot.EncodeObservation(gym.make("Painted-v0"), nn.Identity()), "A Identity is no encoder"),
    ],
    ids=["device", "list", "another network"],
)
def test_bad_input_is_one_sentence(run: Path, what: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        what(run)


def test_one_name_may_be_given_as_text(run: Path) -> None:
    env = gym.make("Painted-v0", seen="parts")
    few, more = (ssl_robot.EncodeObservation(env, run, images=images, keep=()) for images in ("wrist", ["wrist"]))
    assert few.observation_space == more.observation_space
