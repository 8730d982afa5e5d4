"""Views that show another frame: another time, another camera."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.invariances.camera import Camera
from ssl_robot.invariances.time import Time
from ssl_robot.loader import Loader
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training
from ssl_robot.views import Views

CPU = torch.device("cpu")
LENGTHS = [40, 1, 60, 19]
EPISODES = np.repeat(np.arange(4), LENGTHS)


def numbered(camera: int = 0) -> Any:
    """Frames whose pixels are their number, and whose blue is their camera's."""
    frames = np.zeros((len(EPISODES), 16, 16, 3), np.uint8)
    frames[..., :2] = np.arange(len(EPISODES))[:, None, None, None]
    frames[..., 2] = camera
    return frames


def shown(recipe: Recipe, cameras: list[Any], rows: Any, way: Any = None) -> tuple[Tensor, list[Tensor]]:
    """Rows of a pass, and the (number, camera) that each view of them shows."""
    loader = Loader(cameras[0], rows, 16, CPU, seed=1, way=way, others=cameras[1:])
    views = Views(recipe, 16, 3)
    passes = list(loader.batches(0, 10, views.where))
    seen = [torch.cat([frames[view][:, 0, 0].long() for _, frames in passes]) for view in range(len(views))]
    return torch.cat([places for places, _ in passes]), seen


@pytest.mark.parametrize("way", ["resident", "random", "blocks"])
def test_the_second_view_lies_later_in_the_same_episode(memory: Any, way: Literal["resident"]) -> None:
    frames = memory(numbered(), LENGTHS)
    rows = np.flatnonzero(EPISODES != 0)  # as a split leaves them: without some episodes
    places, (first, second) = shown(Recipe((Time(nearest=3, furthest=12),)), [frames], rows, way)
    assert torch.equal(first[:, 0], torch.from_numpy(rows)[places])
    gaps = second[:, 0] - first[:, 0]
    ends = torch.tensor([39, 40, 100, 119])[torch.from_numpy(EPISODES)[first[:, 0]]]
    assert bool((gaps >= 0).all())
    assert int(gaps.max()) == 12
    near = first[:, 0] + 3 > ends
    assert torch.equal(second[near, 0], ends[near])  # its last frame, where the episode ends before
    assert bool((gaps[~near] >= 3).all())
    assert (EPISODES[first[:, 0].numpy()] == EPISODES[second[:, 0].numpy()]).all()


@pytest.mark.parametrize("slope", [0.0, 1e-8, 0.5, 1.0])
def test_gaps_are_drawn_as_stated(slope: float) -> None:
    item = Time(nearest=2, furthest=5, slope=slope)
    gaps = item.parameters((torch.arange(100_000) / 100_000)[:, None])[:, 0]
    edges = torch.linspace(0, 1, 5)
    below = (edges - slope * edges**2 / 2) / (1 - slope / 2)  # of the density 1 - slope x
    expected = below[1:] - below[:-1]
    found = torch.stack([(gaps == gap).float().mean() for gap in (2, 3, 4, 5)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_gap_is_a_whole_number_of_frames() -> None:
    with pytest.raises(InputError, match=r"time.furthest is 1.5, but must be a whole number"):
        Time(furthest=1.5)


def test_a_fixed_gap_is_fixed() -> None:
    assert set(Time(nearest=7, furthest=7).parameters(torch.rand(100, 1))[:, 0].tolist()) == {7.0}


@pytest.mark.parametrize("way", ["resident", "random"])
def test_the_second_view_is_another_cameras_of_the_same_moment(memory: Any, way: Literal["random"]) -> None:
    cameras = [memory(numbered(i), LENGTHS) for i in range(3)]
    places, (first, second) = shown(Recipe((Camera(p=0.75),)), cameras, np.arange(len(EPISODES)), way)
    assert torch.equal(first[:, 0], places)
    assert torch.equal(second[:, 0], places)
    assert set(first[:, 2].tolist()) == {0}
    shares = torch.bincount(second[:, 2], minlength=3) / len(second)
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.375, 0.375]), atol=0.15, rtol=0)


def test_time_and_camera_go_together(memory: Any) -> None:
    cameras = [memory(numbered(i), LENGTHS) for i in range(2)]
    recipe = Recipe((Time(nearest=1, furthest=1), Camera()))
    _, (first, second) = shown(recipe, cameras, np.arange(len(EPISODES)))
    assert set(second[:, 2].tolist()) == {1}
    assert set((second[:, 0] - first[:, 0]).tolist()) == {0, 1}


def test_what_was_shown_is_among_the_parameters() -> None:
    view = Views(Recipe((Time(nearest=2, furthest=5),)), 16, 0)
    frames = torch.zeros(20, 16, 16, 3, dtype=torch.uint8)
    assert set(view(frames, torch.arange(20), 0, 0).parameters["time"][:, 0].tolist()) == {0.0}
    assert set(view(frames, torch.arange(20), 0, 1).parameters["time"][:, 0].tolist()) <= {2.0, 3.0, 4.0, 5.0}


def test_an_encoder_learns_from_other_times_and_cameras(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    cameras = [memory(random.integers(0, 256, (60, 16, 16, 3), np.uint8), [30, 30]) for _ in range(2)]
    recipe, training = Recipe.named("crop").having("time").having("camera"), Training(epochs=1, batch_size=16, size=16)
    read, take = [], memory.take
    monkeypatch.setattr(memory, "take", lambda frames, rows: (read.append(frames), take(frames, rows))[1])
    pretrain(cameras[0], np.arange(60), Simsiam(width=16), recipe, "small", training, quiet=True, others=cameras[1:])
    assert all(any(frames is camera for frames in read) for camera in cameras)


def test_what_is_not_there_cannot_be_shown(memory: Any) -> None:
    frames = memory(numbered())
    training = Training(epochs=1, batch_size=16, size=16)
    for recipe, missing in ((Recipe((Time(),)), "one frame long"), (Recipe((Camera(),)), "there is only one")):
        with pytest.raises(InputError, match=missing):
            pretrain(frames, np.arange(100), Simsiam(), recipe, "small", training, quiet=True)
    small = memory(numbered()[:, :8, :8], LENGTHS)
    with pytest.raises(InputError, match="one size"):
        Loader(memory(numbered(), LENGTHS), np.arange(10), 16, CPU, others=[small])
