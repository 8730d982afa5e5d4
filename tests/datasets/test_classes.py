"""Folders of pictures, one for each class, come in and are asked about."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments import cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes in natural order, ``kind2`` before ``kind10``: red pictures and bluer ones, one deeper inside."""
    rng = np.random.default_rng(0)
    for kind, (low, high) in {"kind2": (0, 100), "kind10": (150, 256)}.items():
        for i in range(30):
            path = tmp_path / "pictures" / kind / ("more" if i == 0 else ".") / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = rng.integers(100, 200, (16, 16, 3), np.uint8)
            shown[..., 0] = rng.integers(low, high, (16, 16), np.uint8)  # blue comes first there
            cv2.imwrite(str(path), shown)
    return tmp_path / "pictures"


def imported(folder: Path, out: Path, **settings) -> FrameStore:
    import_sources([folder], out, "classes", **settings)
    return FrameStore(out)


def test_a_folder_is_a_class_and_a_picture_an_episode(folder: Path, tmp_path: Path) -> None:
    store = imported(folder, tmp_path / "out.h5")
    assert len(store) == len(np.unique(store.episodes)) == 60
    kinds = store.values("class")[:, 0]
    blue = store.take(np.arange(60))[..., 2].mean((1, 2)) > 120
    assert (kinds == blue).all()
    assert json.loads(store.attributes["classes"]) == ["kind2", "kind10"]


def test_pixels_are_the_pictures(folder: Path, tmp_path: Path) -> None:
    store = imported(folder, tmp_path / "out.h5")
    shown = {cv2.imread(str(path))[..., ::-1].tobytes() for path in folder.rglob("*.png")}
    assert {frame.tobytes() for frame in store.take(np.arange(60))} == shown


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_classes_are_asked_about_on_the_command_line(folder: Path, tmp_path: Path, capsys, probe: str) -> None:
    out = tmp_path / "out.h5"
    assert cli.main(["import", str(folder), "--out", str(out), "--format", "classes"]) == 0
    capsys.readouterr()
    assert cli.main(["probe", probe, "pixels", str(out), "--baselines", "random", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (score,) = answer["scores"]
    assert score["value"] == 1
    assert score["chance"] < 0.8
    assert set(answer["baselines"]) == {"random"}


def test_sizes_must_agree_or_be_given(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(folder / "kind2" / "99.png"), np.random.default_rng(0).integers(0, 9, (8, 20, 3), np.uint8))
    with pytest.raises(InputError, match="bring them to one size with --size"):
        imported(folder, tmp_path / "out.h5")
    assert imported(folder, tmp_path / "out.h5", size=12).shape == (12, 12, 3)


def test_damage_is_named_or_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "kind2" / "3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"3\.png is damaged.*--skip-bad"):
        imported(folder, tmp_path / "out.h5")
    assert len(imported(folder, tmp_path / "out.h5", skip_bad=True)) == 59


@pytest.mark.parametrize("kind", ["kind2", "kind10"])
def test_one_class_is_none(folder: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=r"give (one for each class|the folder)"):
        imported(folder / kind, tmp_path / "out.h5")
