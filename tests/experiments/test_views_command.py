"""The picture of a recipe: of the size that its columns need, whole, and of strengths that could be drawn."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import ssl_robot.invariances
from ssl_robot import catalogue, contact
from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments.cli import main
from ssl_robot.experiments.commands.views import _rows
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views

NAMES = catalogue.names(ssl_robot.invariances)
TILE = contact._TILE + contact._GAP


def drawn(store: FrameStore, out: Path, *words: str) -> np.ndarray:
    out.parent.mkdir()
    assert main(["views", str(store.path), "--out", str(out), *words]) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    picture = cv2.imread(str(out))
    assert picture is not None
    return picture


def test_rows_are_frames_and_columns_are_invariances(tmp_path: Path, exploration: FrameStore) -> None:
    """The frame, three turns, one flip and four views: nine columns in four groups, and a row more is a tile more."""
    words = ("--recipe", "none", "--with", "rotation", "flip", "--size", "32")
    one, two = (drawn(exploration, tmp_path / str(n) / "v.png", *words, "--frames", str(n)) for n in (1, 2))
    assert one.shape[1] == 9 * TILE + 4 * contact._SPACE + contact._MARGIN + contact._LABEL
    assert two.shape[0] - one.shape[0] == TILE


def test_columns_beyond_a_screen_go_on_below(tmp_path: Path, exploration: FrameStore) -> None:
    few = drawn(exploration, tmp_path / "few" / "v.png", "--views", "4", "--frames", "1")
    many = drawn(exploration, tmp_path / "many" / "v.png", "--views", "30", "--frames", "1")
    assert many.shape[0] > few.shape[0]
    assert many.shape[1] <= few.shape[1] + 3 * TILE


def test_a_recipe_of_small_views_shows_them_all_and_small(exploration: FrameStore) -> None:
    scene = contact._Scene([exploration], np.arange(2))
    group = contact._together(Views(Recipe.named("swav"), 64, 0), scene, None)
    assert [caption for caption, _ in group.columns] == [f"view {i}" for i in range(1, 9)]
    sides = [len(contact._tiles(images, group, 104)[0]) for _, images in group.columns]
    assert sides[:2] == [104, 104]
    assert max(sides[2:]) < 52


def test_other_times_and_cameras_are_looked_up(exploration: FrameStore, memory: type) -> None:
    rows = np.array([3, 58])
    other = memory(255 - exploration.take(np.arange(len(exploration))))
    scene = contact._Scene([exploration, other], rows)
    plain = Views(Recipe(), 64, 0)

    def alone(name: str, **strengths: float) -> list[torch.Tensor]:
        item = Recipe().having(name, **strengths).invariances[0]
        return [images for _, images in contact._alone(item, "100 %", scene, 64).columns]

    later = plain.replay(torch.from_numpy(exploration.take(np.array([7, 59]))), {})  # the second's episode ends there
    assert all(torch.equal(images, later) for images in alone("time", nearest=4, furthest=4))
    assert torch.equal(alone("camera")[2], plain.replay(torch.from_numpy(other.take(rows)), {}))


def test_a_picture_of_cameras_needs_several(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, exploration: FrameStore
) -> None:
    assert main(["views", str(exploration.path), "--out", str(tmp_path / "v.png"), "--with", "camera"]) == 2
    assert "only one" in capsys.readouterr().err
    drawn(exploration, tmp_path / "time" / "v.png", "--with", "time", "--frames", "2")


@pytest.mark.parametrize("name", NAMES)
def test_strengths_grow_from_draw_to_draw(name: str) -> None:
    """Full is the farthest of the three from doing nothing, in every row, and rows show several directions."""
    item = catalogue.found(ssl_robot.invariances, name)()
    found = contact.strengths(item, 4)
    assert all(torch.isfinite(one).all() for one in found)
    if item.draws == 0:
        assert len(found) == 1
        return
    away = torch.stack([(one - item.neutral()).norm(dim=1) for one in found])
    assert len(away) == 3
    if item.draws <= 2:
        assert (away[2] >= away[0] - 1e-6).all()
    if name in ("crop", "rotation", "hue", "brightness", "shift"):
        assert (away[2] > away[1]).all()
        assert (away[1] > away[0]).all()
        assert len(found[2].unique(dim=0)) > 1


def test_rows_come_from_the_middles_of_different_episodes() -> None:
    episodes = np.repeat(np.arange(10), 5)
    assert _rows(episodes, 2).tolist() == [2, 47]
    assert len(set(episodes[_rows(episodes, 10)])) == 10
    assert _rows(np.zeros(7, np.int64), 3).tolist() == [0, 3, 6]
    assert _rows(np.zeros(2, np.int64), 5).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--recipe", "cake"), "choose from"),
        (("--with", "rotatoin"), "rotation"),
        (("--without", "rotation"), "no 'rotation' to leave out"),
        (("--size", "2"), "--size"),
        (("--frames", "0"), "--frames"),
        (("--views", "0"), "--views"),
        (("--camera", "wrist"), "top"),
    ],
)
def test_bad_wishes_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, exploration: FrameStore, words: tuple[str, ...], says: str
) -> None:
    assert main(["views", str(exploration.path), "--out", str(tmp_path / "v.png"), *words]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_not_written_over_or_under_another_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, exploration: FrameStore
) -> None:
    (tmp_path / "v.png").write_text("mine")
    assert main(["views", str(exploration.path), "--out", str(tmp_path / "v.png")]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "v.png").read_text() == "mine"
    assert main(["views", str(exploration.path), "--out", str(tmp_path / "v.jpg")]) == 2
    assert main(["views", str(tmp_path / "missing.h5"), "--out", str(tmp_path / "w.png")]) == 2
    assert main(["views", str(exploration.path), "--out", str(tmp_path / "nowhere" / "v.png")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["v.png"]
