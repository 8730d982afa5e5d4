import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.datasets.check import check
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Label, Row, Schema


def written(path: Path, episodes: list[list[NDArray[np.uint8]]], raw: bool = False, state: float = 0.0) -> FrameStore:
    with FrameWriter(path, raw=raw) as writer:
        writer.open(Schema({"top": (32, 32, 3)}, (Label.plain("state", 1),)), {"source": "test"})
        for frames in episodes:
            episode = writer.begin()
            for frame in frames:
                episode.add(Row({"top": frame}, {"state": np.array([state])}))
            episode.end({"top": frames[-1]})
    return FrameStore(path)


def noise(seed: int) -> NDArray[np.uint8]:
    """Smooth enough that its thumbnail tells it from others."""
    return np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def test_a_sound_recording_has_nothing_to_say(tmp_path: Path) -> None:
    found = check(written(tmp_path / "a.h5", [[noise(10 * n + i) for i in range(5)] for n in range(20)]))
    assert (found.damage, found.blank, found.repeated, found.unknown) == ([], {"top": 0}, {"top": 0}, {})
    assert (found.twins, found.unsplit) == (0, "")
    assert found.tested > 0


def test_blank_repeated_and_unknown_are_counted(tmp_path: Path) -> None:
    frames = [noise(1), noise(1), np.zeros((32, 32, 3), np.uint8), noise(2)]
    found = check(written(tmp_path / "a.h5", [frames, frames[:1]], state=float("nan")))
    assert (found.blank["top"], found.repeated["top"], found.unknown["state"]) == (1, 1, 5)
    assert "cannot be split into train, validation and test" in found.unsplit


def test_a_test_frame_that_looks_like_a_training_frame_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every episode has one frame, a grey level away, in common with the others."""
    monkeypatch.setattr("ssl_robot.datasets.check._COMPARED", 7)
    common = noise(0).astype(int)
    episodes = [[noise(100 + n), (common + n % 2).clip(0, 255).astype(np.uint8), noise(200 + n)] for n in range(30)]
    found = check(written(tmp_path / "a.h5", episodes))
    assert found.twins == found.tested // 3 > 0


@pytest.mark.parametrize("raw", [False, True])
def test_damage_is_found_wherever_it_is(
    tmp_path: Path, raw: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = written(tmp_path / "a.h5", [[noise(10 * n + i) for i in range(5)] for n in range(3)], raw)
    content = bytearray(store.path.read_bytes())
    for row in (1, 13):
        content[int(store._chunks.offset[row]) + 30] ^= 64
    store.path.write_bytes(content)
    found = check(FrameStore(store.path))
    assert ["frame 1:" in found.damage[0], "frame 13:" in found.damage[1], len(found.damage)] == [True, True, 2]
    assert main(["info", str(store.path), "--check"]) == 2
    assert "damaged at frame 13" in capsys.readouterr().out


def test_the_command_says_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = written(tmp_path / "a.h5", [[noise(10 * n + i) for i in range(5)] for n in range(20)])
    assert main(["info", str(store.path), "--check"]) == 0
    text = capsys.readouterr().out
    assert "every frame and number is what was written" in text
    assert "0 of " in text
    assert main(["info", str(store.path), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["check"]["twins"] == 0
