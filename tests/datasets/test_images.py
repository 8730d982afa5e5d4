"""Folders of pictures arrive in natural order, each picture with its own numbers."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssl_robot.datasets.importers.images import Images
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.pictures import decoded
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.frames import Row


def write(path: Path, frame: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, frame[..., ::-1])[1].tobytes())
    return path


def folder(lab: Any, path: Path, rows: int = 12, episode: int = 0, suffix: str = ".png") -> Path:
    """Pictures that say which they are, called frame0, frame1, ... frame10, frame11."""
    for row in range(rows):
        write(path / f"frame{row}{suffix}", lab.picture(episode, row))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif", ".PNG"])
def test_pictures_arrive_in_natural_order(lab: Any, tmp_path: Path, suffix: str, imported: Any, told: Any) -> None:
    store = imported(folder(lab, tmp_path / "run", suffix=suffix))
    assert told(lab, store) == [(0, row) for row in range(12)]
    assert list(store.schema.cameras) == ["images"]
    assert (store.attributes.get("lossy") == "JPEG") is (suffix == ".jpg")


def test_colours_stay_and_jpeg_is_warned_of(tmp_path: Path) -> None:
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[:, :12, 0] = 255
    write(tmp_path / "run/a.png", frame)
    write(tmp_path / "run/b.jpg", frame)
    done = import_sources([tmp_path / "run"], tmp_path / "out.h5")
    assert any("lossy" in sentence for sentence in done.warnings)
    first, second = FrameStore(tmp_path / "out.h5").take(np.arange(2)).astype(int)
    np.testing.assert_array_equal(first, frame)
    assert abs(second - frame).max() < 80


def test_deep_and_gray_pictures_become_colours_of_eight_bits(tmp_path: Path, imported: Any) -> None:
    ramp = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 150
    path = tmp_path / "run/deep.png"
    path.parent.mkdir()
    path.write_bytes(cv2.imencode(".png", ramp)[1].tobytes())
    [frame] = imported(tmp_path / "run").take(np.arange(1))
    np.testing.assert_array_equal(frame, np.stack([ramp >> 8] * 3, axis=-1))


def test_folders_are_episodes(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    source = tmp_path / "runs"
    for name, rows in (("run2", 3), ("run10", 5), (".cache", 2)):
        (source / name).mkdir(parents=True)
        folder(lab, source / name, rows, rows)
    (source / "empty").mkdir()
    (source / "run2/.hidden.png").write_bytes(b"")
    (source / "run2/notes.txt").write_text("")
    store = imported(source)
    assert told(lab, store) == [(3, row) for row in range(3)] + [(5, row) for row in range(5)]
    assert store.column("truncated").tolist() == [0, 0, 1, 0, 0, 0, 0, 1]


def test_folders_beside_pictures_are_warned_of(lab: Any, tmp_path: Path) -> None:
    source = folder(lab, tmp_path / "run", 3)
    folder(lab, source / "more", 3, 1)
    done = import_sources([source], tmp_path / "out.h5")
    assert (done.episodes, done.frames) == (1, 3)
    assert any("left out" in sentence for sentence in done.warnings)


def test_numbers_in_order_of_the_pictures(lab: Any, tmp_path: Path) -> None:
    source = folder(lab, tmp_path / "run")
    lines = ["row, user/angle,note,images,user"] + [f"{row}, {-row / 2},text,1,2" for row in range(12)]
    lines[4] = "3,,text,1,2"
    (source / "any.csv").write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
    done = import_sources([source], tmp_path / "out.h5")
    store = FrameStore(tmp_path / "out.h5")
    assert store.label_names == ("row", "user/angle")
    assert store.values("row")[:, 0].tolist() == list(range(12))
    angles = store.values("user/angle")[:, 0]
    assert np.isnan(angles[3])
    assert angles[4] == -2
    assert any("note, images, user" in sentence for sentence in done.warnings)


@pytest.mark.parametrize("name", ["frame{}.png", "frame{}", "camera/frame{}.png"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_numbers_by_name_of_the_picture(
    lab: Any, tmp_path: Path, name: str, separator: str, imported: Any, told: Any
) -> None:
    source = folder(lab, tmp_path / "run")
    lines = [separator.join(("angle", "file"))]
    lines += [separator.join((str(row), name.format(row))) for row in reversed(range(12))]
    (source / "labels.csv").write_text("\n".join(lines))
    (source / "other.csv").write_text("ignored")
    store = imported(source)
    assert store.label_names == ("angle",)
    assert [row for _, row in told(lab, store)] == store.values("angle")[:, 0].tolist()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\n1\n2\n", "has 2 rows for 3 pictures"),
        ("a,b\n1,2\n1\n1,2\n", "not the same number of columns"),
        ("a\n", "has no rows"),
        ("1,2\n1,2\n1,2\n1,2\n", "does not name its columns"),
        ("f,a\nframe0.png,1\nframe1.png,2\nframe7.png,3\n", "no row for frame2.png"),
        ("f,a\nframe0.png,1\nframe1.png,2\nframe2.png,3\nframe7.png,3\n", "a row for frame7.png"),
        (b"\xff\xfe\x00a", "cannot be read"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    lab: Any, tmp_path: Path, text: str | bytes, sentence: str, refused: Any
) -> None:
    source = folder(lab, tmp_path / "run", 3)
    (source / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    assert sentence in refused(source)


def test_a_folder_with_another_table_is_damaged(lab: Any, tmp_path: Path, told: Any) -> None:
    source = tmp_path / "runs"
    source.mkdir()
    tables = {"a": "x\n1\n2\n3\n", "b": "y\n1\n2\n3\n", "c": None, "d": "x\n4\nfive\n6\n", "e": "x\n4\n5\n6\n"}
    for number, (name, text) in enumerate(tables.items()):
        folder(lab, source / name, 3, number)
        if text is not None:
            (source / name / "labels.csv").write_text(text)
    folder(lab, source / "f", 3, 5)
    for name in ("one", "two"):
        (source / f"f/{name}.csv").write_text("x\n1\n2\n3\n")
    done = import_sources([source], tmp_path / "out.h5", skip_bad=True)
    store = FrameStore(tmp_path / "out.h5")
    assert store.values("x")[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert [episode for episode, _ in told(lab, store)] == [0, 0, 0, 4, 4, 4]
    assert ["no CSV file with a column x" in sentence for sentence in done.skipped] == [True, True, False, False]
    assert "column x of its CSV file has a text" in done.skipped[2]
    assert "several CSV files" in done.skipped[3]


def test_different_sizes_need_one(lab: Any, tmp_path: Path, imported: Any, refused: Any, told: Any) -> None:
    source = folder(lab, tmp_path / "run", 3)
    write(source / "frame3.png", lab.picture(0, 3, 32, 48))
    message = refused(source)
    assert "frame3.png is 48 x 32 pixels and frame0.png 80 x 64" in message
    assert "--size" in message
    assert told(lab, imported(source, size=32)) == [(0, row) for row in range(4)]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("part", [0, 0.3, 0.9])
def test_a_cut_picture_is_damage(
    lab: Any, tmp_path: Path, suffix: str, part: float, imported: Any, refused: Any, told: Any
) -> None:
    source = tmp_path / "runs"
    for episode in range(2):
        (source / str(episode)).mkdir(parents=True)
        folder(lab, source / str(episode), 3, episode, suffix)
    path = source / f"0/frame1{suffix}"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    message = refused(source)
    assert message.startswith(f"{source / '0'} is damaged: frame1{suffix} cannot be decoded")
    assert "--skip-bad" in message
    assert told(lab, imported(source, skip_bad=True)) == [(1, row) for row in range(3)]


def test_a_jpeg_may_hold_a_smaller_one(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    path = write(tmp_path / "run/a.jpg", lab.picture(0, 7))
    content = path.read_bytes()
    thumbnail = cv2.imencode(".jpg", lab.picture(0, 1, 16, 16))[1].tobytes()
    head = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path.write_bytes(content[:2] + head + content[2:] + bytes(64))  # some cameras fill up the end
    assert told(lab, imported(path.parent)) == [(0, 7)]
    path.write_bytes(content[:2] + head + content[2:-40])
    with pytest.raises(InputError, match="all other pictures cannot be read"):
        Images(path.parent, None, ())


def test_what_is_no_folder_of_pictures_is_refused(lab: Any, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "empty").mkdir()
    assert not Images.knows(tmp_path / "empty")
    assert not Images.knows(tmp_path / "nowhere")
    assert "has no pictures (.bmp" in refused(tmp_path / "empty", format="images")
    path = write(tmp_path / "run/a.png", lab.picture(0, 0))
    assert not Images.knows(path)
    assert "is a file" in refused(path, format="images")
    assert "no camera 'front': choose from images" in refused(path.parent, camera=("front",))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_text("")
    assert "cannot be read" in refused(tmp_path / "bad")


@pytest.mark.parametrize("mark", ["meta/info.json", "manifest.json", "metadata.yaml", "main_data.hdf5"])
def test_pictures_of_other_datasets_are_left_to_their_importers(lab: Any, tmp_path: Path, mark: str) -> None:
    folder(lab, tmp_path / "set", 2)
    (tmp_path / "set" / mark).parent.mkdir(exist_ok=True)
    (tmp_path / "set" / mark).write_text("")
    assert not Images.knows(tmp_path / "set")


def read(source: Path) -> list[Row] | str:
    """The rows of a source, or the sentence that says why there are none."""
    try:
        return [row for episode in Images(source, None, ()).episodes() for row in episode.rows()]
    except InputError as error:
        return str(error)


@given(st.data())
def test_any_damage_of_a_png_is_found(lab: Any, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    source = tmp_path_factory.mktemp("runs")
    path = write(source / "a.png", lab.picture(1, 2))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = read(source)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert [lab.read_picture(row.frames["images"]) for row in found] == [(1, 2)]


def test_damaged_pngs_are_noticed_without_noise(lab: Any, capfd: pytest.CaptureFixture[str]) -> None:
    picture = lab.picture(1, 2)
    whole = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decoded(whole), picture)
    for place in range(30, len(whole) - 12, 7):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        assert decoded(bytes(flipped)) is None
        assert decoded(whole[:place]) is None
    assert capfd.readouterr().err == ""
