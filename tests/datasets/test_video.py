"""Videos of any codec arrive frame by frame in order, and a damaged one is told from a sound one."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_robot.datasets.importers.video import Video
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.pictures import is_lossy
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Row

CODECS = {
    "h264.mp4": ("libx264", "yuv420p", {"bf": "3", "g": "12"}),
    "h264.mkv": ("libx264", "yuv420p", {"bf": "3", "g": "12"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8"}),
    "ffv1.mkv": ("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}),
    "mjpg.avi": ("mjpeg", "yuvj420p", {}),
    "mpeg4.mov": ("mpeg4", "yuv420p", {"bf": "2"}),
}


def film(
    lab: Any, path: Path, rows: int = 20, episode: int = 0, size: tuple[int, int] = (64, 80), steps: Any = None
) -> Path:
    """A video whose frames say which they are, every tenth of a second or at the given tenths."""
    codec, form, options = CODECS.get(path.name, CODECS["h264.mp4"])
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt, stream.options = *size, form, options
        for row, step in enumerate(steps or range(rows)):
            frame = av.VideoFrame.from_ndarray(lab.picture(episode, row, *size), format="rgb24")
            frame.pts, frame.time_base = step, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path: Path, part: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


@pytest.mark.parametrize("name", CODECS)
def test_every_frame_arrives_in_order(lab: Any, tmp_path: Path, name: str, imported: Any, told: Any) -> None:
    store = imported(film(lab, tmp_path / name))
    assert told(lab, store) == [(0, row) for row in range(20)]
    assert store.shape == (64, 80, 3)
    assert list(store.schema.cameras) == ["video"]
    assert store.attributes["fps"] == 10
    assert store.attributes["source"] == name
    np.testing.assert_allclose(store.column("timestamps"), np.arange(20) / 10, atol=1e-3)
    assert store.column("truncated").tolist() == [0] * 19 + [1]


def test_ffv1_is_lossless(lab: Any, tmp_path: Path, imported: Any) -> None:
    store = imported(film(lab, tmp_path / "ffv1.mkv", rows=3))
    np.testing.assert_array_equal(store.take(np.arange(3)), [lab.picture(0, row) for row in range(3)])


@pytest.mark.parametrize(("name", "lossy"), [("h264.mp4", "h264"), ("mjpg.avi", "mjpeg"), ("ffv1.mkv", None)])
def test_what_a_codec_lost_is_noted(
    lab: Any, tmp_path: Path, name: str, lossy: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    done = import_sources([film(lab, tmp_path / name, rows=3)], tmp_path / "out.h5")
    assert FrameStore(tmp_path / "out.h5").attributes.get("lossy") == lossy
    assert any(f"compressed as {lossy}, which is lossy" in sentence for sentence in done.warnings) is bool(lossy)
    assert main(["info", str(tmp_path / "out.h5")]) == 0
    assert (f"lossy    pictures came compressed ({lossy})" in capsys.readouterr().out) is bool(lossy)


@pytest.mark.parametrize(
    ("codec", "layout", "lossy"),
    [
        ("ffv1", "bgr0", False),
        ("ffv1", "gray", False),
        ("rawvideo", "rgb24", False),
        ("ffv1", "yuv444p", True),
        ("h264", "gbrp", True),
        ("av1", "yuv420p", True),
        ("", "", True),
        ("nosuch", "rgb24", True),
    ],
)
def test_only_what_surely_lost_nothing_counts_as_lossless(codec: str, layout: str, lossy: bool) -> None:
    assert is_lossy(codec, layout) is lossy


def test_a_folder_is_an_episode_per_file_in_natural_order(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for number, rows in ((2, 5), (10, 7), (1, 3)):
        film(lab, folder / f"run{number}.mp4", rows, number)
    (folder / ".hidden.txt").write_text("")
    assert Video.knows(folder)
    store = imported(folder)
    expected = [(episode, row) for episode, rows in ((1, 3), (2, 5), (10, 7)) for row in range(rows)]
    assert told(lab, store) == expected
    with h5py.File(store.path) as file:
        assert [file[f"data/demo_{i}"].attrs["file"] for i in range(3)] == [b"run1.mp4", b"run2.mp4", b"run10.mp4"]
    (folder / "notes.txt").write_text("")
    assert len(imported(folder, if_exists="overwrite")) == 15
    assert f"notes.txt in {folder}: no video, left out." in Video(folder, None, ()).warnings


def test_frames_may_come_at_any_times(lab: Any, tmp_path: Path, imported: Any) -> None:
    steps = [0, 1, 5, 6, 20, 21]
    store = imported(film(lab, tmp_path / "h264.mkv", steps=steps))
    np.testing.assert_allclose(store.column("timestamps"), np.array(steps) / 10, atol=2e-3)


def test_a_video_may_begin_late(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    store = imported(film(lab, tmp_path / "h264.mp4", steps=range(30, 40)))
    assert told(lab, store) == [(0, row) for row in range(10)]
    assert store.column("timestamps")[0] == 0


def test_different_sizes_need_one(lab: Any, tmp_path: Path, imported: Any, refused: Any) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    film(lab, folder / "a.mp4", 3)
    film(lab, folder / "b.mp4", 3, size=(32, 48))
    message = refused(folder)
    assert "b.mp4 is 48 x 32 pixels and a.mp4 80 x 64" in message
    assert "--size" in message
    assert imported(folder, size=32).shape == (32, 32, 3)


def test_different_rates_are_warned_of(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    film(lab, folder / "a.mp4", 5)
    film(lab, folder / "b.mp4", steps=range(0, 50, 5))
    done = import_sources([folder], tmp_path / "out.h5")
    assert any("different frames per second" in sentence for sentence in done.warnings)
    assert "fps" not in FrameStore(tmp_path / "out.h5").attributes


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("part", [0.05, 0.6, 0.9])
def test_a_cut_video_is_damaged(lab: Any, tmp_path: Path, name: str, part: float, refused: Any) -> None:
    cut(film(lab, tmp_path / name, rows=40), part)
    message = refused(tmp_path / name)
    assert message.startswith(f"{tmp_path / name} is damaged: it ")
    assert "copy it again" in message


def test_damaged_videos_can_be_left_out(lab: Any, tmp_path: Path, refused: Any, told: Any) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(4):
        film(lab, folder / f"{number}.mp4", 5, number)
    cut(folder / "0.mp4", 0.5)
    (folder / "2.mp4").write_bytes(b"")
    assert "--skip-bad" in refused(folder)
    done = import_sources([folder], tmp_path / "out.h5", skip_bad=True)
    assert told(lab, FrameStore(tmp_path / "out.h5")) == [(number, row) for number in (1, 3) for row in range(5)]
    assert [
        sentence.startswith(f"{folder}/{n}.mp4 is damaged") for n, sentence in zip((0, 2), done.skipped, strict=True)
    ]


def test_what_is_no_video_is_refused(lab: Any, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "empty").mkdir()
    assert not Video.knows(tmp_path / "empty")
    assert not Video.knows(tmp_path / "nowhere.mp4")
    assert "has no video (.avi" in refused(tmp_path / "empty", format="video")
    (tmp_path / "text.mp4").write_text("not a video")
    assert "text.mp4 is damaged" in refused(tmp_path / "text.mp4")
    film(lab, tmp_path / "h264.mp4")
    assert "no camera 'front': choose from video" in refused(tmp_path / "h264.mp4", camera=("front",))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "it has no video stream" in refused(tmp_path / "sound.mp4")


@pytest.fixture(scope="module")
def films(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [film(lab, folder / name, rows=8) for name in ("h264.mp4", "ffv1.mkv", "mjpg.avi")]


def read(source: Path) -> list[Row] | str:
    """The rows of a source, or the sentence that says why there are none."""
    try:
        return [row for episode in Video(source, None, ()).episodes() for row in episode.rows()]
    except InputError as error:
        return str(error)


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_a_sentence_or_a_whole_video(lab: Any, films: list[Path], data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(films))
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = whole.parent / "damaged" / whole.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = read(path)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert 1 <= len(found) <= 8
        assert {row.frames["video"].shape for row in found} == {found[0].frames["video"].shape}
