"""The examples run, in short form, and show what they say they show."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ssl_robot.datasets.features import FeatureFile
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.encoder import FILE, Card, Encoder, load
from ssl_robot.errors import InputError
from ssl_robot.experiments.examples import lerobot_to_features, nearest_neighbours
from ssl_robot.frames import Label, Row, Schema
from ssl_robot.readers import EncoderReader

torch.set_num_threads(1)

LENGTHS = (4, 9, 7)


def picture(number: int, h: int = 48, w: int = 64) -> np.ndarray:
    """Blocks that no other frame has, large enough to survive a film."""
    return np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8).repeat(h // 4, 0).repeat(w // 4, 1)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    number = 0
    with FrameWriter(tmp_path / "recording.h5") as sink:
        schema = Schema({"top": (48, 64, 3)}, (Label.plain("observation.state", 1), Label.plain("actions", 1)))
        sink.open(schema, {"fps": 10.0, "source": "toy"})
        for i, rows in enumerate(LENGTHS):
            episode = sink.begin(seed=i, attributes={"task": "toy"})
            for row in range(rows):
                labels = {"observation.state": np.array([number]), "actions": np.array([-number])}
                episode.add(Row({"top": picture(number)}, labels, time=row / 10))
                number += 1
            episode.end()
    return tmp_path / "recording.h5"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    Encoder.fresh(Card("small", 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), seed=0).save(folder / FILE)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Some recorded frames in another order, lossy."""
    film = cv2.VideoWriter(str(tmp_path / "film.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for number in SHOWN:
        film.write(cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR))
    film.release()
    return tmp_path / "film.mp4"


SHOWN = (13, 2, 19, 7, 5, 11, 0)


def test_lerobot_to_features(recording: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ssl_robot.datasets.exports import export_store

    export_store(recording, tmp_path / "lerobot", "lerobot")
    lerobot_to_features.main(tmp_path / "lerobot", str(run), tmp_path / "features.h5", recording=tmp_path / "kept.h5")
    assert "features (20, 128) float32, actions (20, 1)" in capsys.readouterr().out
    found = FeatureFile.opened(tmp_path / "features.h5")
    store = FrameStore(recording)
    expected = load(run)(store.take(np.arange(20))).numpy()
    np.testing.assert_allclose(found.read(), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.column("actions")[:, 0], -np.arange(20))
    assert len(FrameStore(tmp_path / "kept.h5")) == 20


def test_the_nearest_is_the_frame_itself(recording: Path, run: Path, video: Path) -> None:
    memory = nearest_neighbours.Memory.of(EncoderReader(load(run), "run"), FrameStore(recording))
    for row in (0, 8, 19):
        [(first, cosine), *others] = memory.nearest(picture(row), 3)
        assert first == row
        assert cosine == pytest.approx(1, abs=1e-5)
        assert all(other < cosine for _, other in others)
    seen = [memory.nearest(frame, 1)[0][0] for frame in nearest_neighbours.watched(str(video), 1)]
    assert seen == list(SHOWN)


def test_a_picture_of_six_moments(recording: Path, run: Path, video: Path, tmp_path: Path) -> None:
    nearest_neighbours.main(str(run), recording, str(video), tmp_path / "seen.png", neighbours=2)
    drawn: Any = cv2.imread(str(tmp_path / "seen.png"))
    side = nearest_neighbours.TILE
    assert drawn.shape == (6 * side, 3 * side, 3)
    for moment in range(6):  # what is seen now, and beside it the recorded frame itself
        now, nearest = (drawn[moment * side :][: side - 30, i * side :][:, :side].astype(int) for i in (0, 1))
        assert np.abs(now - nearest).mean() < 12


def test_a_film(recording: Path, run: Path, video: Path, tmp_path: Path) -> None:
    nearest_neighbours.main(str(run), recording, str(video), tmp_path / "seen.mp4", neighbours=1, every=2, most=3)
    assert [frame.shape for frame in nearest_neighbours.watched(str(tmp_path / "seen.mp4"), 1)] == [(192, 384, 3)] * 3


@pytest.mark.parametrize(
    ("video", "out", "sentence"),
    [("gone.mp4", "a.png", "no camera or video 'gone.mp4'"), ("film.mp4", "a.gif", "end --out in .mp4 or .png")],
)
def test_what_cannot_be_is_said(
    recording: Path, run: Path, video: str, out: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        nearest_neighbours.main(str(run), recording, video, Path(out))


def test_no_display_is_said(recording: Path, run: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("no display")

    monkeypatch.setattr(cv2, "imshow", refuse)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    with pytest.raises(InputError, match=r"give --out FILE\.mp4 or FILE\.png"):
        nearest_neighbours.main(str(run), recording, str(video), None)
