"""What encode writes: every feature beside its own numbers, readable by robomimic, whole or not there."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_robot import load
from ssl_robot.datasets import features
from ssl_robot.datasets.features import FeatureFile, encode_store
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.encoder import FILE, Card, Encoder, Layer
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Label, Row, Schema, Seen
from ssl_robot.readers import EncoderReader

torch.set_num_threads(1)

LENGTHS = (5, 70, 3)  # one longer than a batch
LONE = 90  # independent rows, in one group
SCHEMA = Schema(
    {"top": (24, 32, 3), "wrist": (16, 16, 3)}, (Label.plain("observation.state", 2), Label.plain("actions", 1))
)


def row(number: int) -> Row:
    draw = np.random.default_rng(number)
    frames = {name: draw.integers(0, 256, shape, np.uint8) for name, shape in SCHEMA.cameras.items()}
    labels = {"observation.state": np.array([number, 0.5]), "actions": np.array([-number])}
    return Row(frames, labels, reward=number / 10)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, number = tmp_path_factory.mktemp("features") / "recording.h5", 0
    with FrameWriter(path) as sink:
        sink.open(SCHEMA, {"source": "toy", "fps": 10.0})
        for i, rows in enumerate(LENGTHS):
            episode = sink.begin(seed=i, attributes={"masks": "train,few" if i == 0 else "train", "task": f"no {i}"})
            for _ in range(rows):
                episode.add(row(number))
                number += 1
            episode.end({"top": row(1000 + i).frames["top"]}, success=i == 1)
        for i in range(LONE):
            episode = sink.begin(seed=100 + i, independent=True)
            episode.add(row(number))
            episode.end()
            number += 1
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    card = Card("small", 16, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3), {"crop": {"p": 1.0}}, {"data": "0123"})
    Encoder.fresh(card, seed=1).save(folder / FILE)
    return folder


@pytest.fixture(scope="module")
def encoded(recording: Path, run: Path) -> Path:
    out = recording.with_name("features.h5")
    assert main(["encode", str(run), str(recording), "--out", str(out), "--device", "cpu"]) == 0
    return out


@cache
@torch.inference_mode()
def expected(recording: Path, run: Path, camera: str, layer: Layer = "output") -> np.ndarray:
    """Of all frames in one go."""
    store = FrameStore(recording, camera)
    return load(run)(store.take(np.arange(len(store))), layer).numpy()


@pytest.mark.parametrize("camera", ["top", "wrist"])
def test_every_row_has_its_own_features(encoded: Path, recording: Path, run: Path, camera: str) -> None:
    found = FeatureFile.opened(encoded).read(camera)
    assert (found.shape, found.dtype) == ((sum(LENGTHS) + LONE, 128), np.float32)
    np.testing.assert_allclose(found, expected(recording, run, camera), rtol=0, atol=1e-6)


def test_robomimic_finds_what_it_asks_for(encoded: Path, recording: Path, run: Path) -> None:
    """Opened and walked as robomimic's SequenceDataset does, by name and by split."""
    features_of_top = expected(recording, run, "top")
    with h5py.File(encoded, "r", swmr=True, libver="latest") as file:
        names = sorted(file["data"], key=lambda name: int(name[5:]))
        assert "env_name" in json.loads(file["data"].attrs["env_args"])
        number = 0
        for name in names:
            demo = file[f"data/{name}"]
            rows = demo.attrs["num_samples"]
            for key in ("obs/top_features", "obs/wrist_features", "obs/observation.state"):
                assert demo[key].shape[0] == rows
                assert demo[key].ndim == 2
            numbers = np.arange(number, number + rows)
            np.testing.assert_array_equal(demo["actions"][:, 0], -numbers)
            np.testing.assert_array_equal(demo["obs/observation.state"][:, 0], numbers)
            np.testing.assert_array_equal(demo["rewards"][()], numbers / 10)
            assert demo["dones"].shape == (rows,)
            np.testing.assert_allclose(demo["obs/top_features"][()], features_of_top[numbers], rtol=0, atol=1e-6)
            assert not any(demo["obs"][key].dtype == np.uint8 for key in demo["obs"])
            number += rows
        assert number == file["data"].attrs["total"] == len(features_of_top)
        assert [name.decode() for name in file["mask/train"]] == names[: len(LENGTHS)]
        assert [name.decode() for name in file["mask/few"]] == names[:1]


def test_what_was_noted_is_kept(encoded: Path, recording: Path) -> None:
    with h5py.File(encoded) as ours, h5py.File(recording) as theirs:
        for name, demo in theirs["data"].items():
            before = {key: value for key, value in demo.attrs.items() if key != "checksums"}
            now = {key: value for key, value in ours[f"data/{name}"].attrs.items() if key != "checksums"}
            assert now == before
        shared = ours[f"data/demo_{len(LENGTHS)}"]
        np.testing.assert_array_equal(shared["seeds"][()], np.arange(100, 100 + LONE))
        assert {key: ours["data"].attrs[key] for key in ("source", "fps", "schema")} == {
            key: theirs["data"].attrs[key] for key in ("source", "fps", "schema")
        }


def test_where_features_come_from(encoded: Path, recording: Path, run: Path) -> None:
    made = FeatureFile.opened(encoded).made["wrist"]
    assert made["fingerprint"] == FrameStore(recording, "wrist").fingerprint
    assert made["key"] == EncoderReader(load(run), "any").key
    assert (made["layer"], made["card"]["recipe"]) == ("output", {"crop": {"p": 1.0}})
    assert made["card"]["origin"] == {"data": "0123"}


def test_the_frame_after_the_last_action_is_read_too(encoded: Path, run: Path) -> None:
    with h5py.File(encoded) as file:
        for i in range(len(LENGTHS)):
            found = file[f"data/demo_{i}/final_obs/top_features"][()]
            np.testing.assert_allclose(found, load(run)(row(1000 + i).frames["top"][None]).numpy(), rtol=0, atol=1e-6)
            assert list(file[f"data/demo_{i}/final_obs"]) == ["top_features"]


def test_maps_and_one_camera(recording: Path, run: Path, tmp_path: Path) -> None:
    words = ["encode", str(run), str(recording), "--out", str(tmp_path / "map.h5"), "--layer", "map"]
    assert main([*words, "--camera", "wrist", "--device", "cpu"]) == 0
    found = FeatureFile.opened(tmp_path / "map.h5")
    assert list(found.made) == ["wrist"]
    np.testing.assert_allclose(found.read(), expected(recording, run, "wrist", "map"), rtol=0, atol=1e-6)


def test_baselines_are_readers_too(recording: Path, tmp_path: Path) -> None:
    assert main(["encode", "state", str(recording), "--out", str(tmp_path / "state.h5"), "--camera", "top"]) == 0
    values = FeatureFile.opened(tmp_path / "state.h5").read("top")
    np.testing.assert_array_equal(values, FrameStore(recording).values("observation.state").astype(np.float32))
    with h5py.File(tmp_path / "state.h5") as file:
        assert "final_obs" not in file["data/demo_0"]  # nobody noted the labels of that moment


def test_info_says_what_it_is(encoded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["info", str(encoded), "--check"]) == 0
    text = capsys.readouterr().out
    assert "features of 168 frames in 93 episode(s)" in text
    assert "features wrist, 128 float32: output of" in text
    assert "every feature is what was written" in text
    assert main(["info", str(encoded), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["features"]["top"]["shape"]) == (168, [128])
    assert main(["info", str(encoded), "--sheet", str(tmp_path / "sheet.png")]) == 2
    assert "no frames to draw: leave out --sheet." in capsys.readouterr().err


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    return capsys.readouterr().err


def test_each_kind_of_file_is_told_from_the_other(
    encoded: Path, recording: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["encode", str(run), str(encoded), "--out", str(encoded.with_name("again.h5"))]
    assert "holds features and no frames: give the recording that" in refused(again, capsys)
    words = ["export", str(recording), "--format", "onnx", "--out", str(encoded.with_name("a.onnx"))]
    assert "is a recording: choose --format lerobot or minari, or name a run" in refused(words, capsys)
    with pytest.raises(InputError, match="holds no features: make some with 'ssl-robot encode"):
        FeatureFile.opened(recording)
    with pytest.raises(InputError, match="has no features of 'side': choose from top, wrist"):
        FeatureFile.opened(encoded).read("side")


def test_a_file_is_replaced_only_if_asked(
    recording: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "features.h5"
    out.write_text("mine")
    words = ["encode", str(run), str(recording), "--out", str(out), "--camera", "wrist"]
    assert "exists: choose another --out, or say --if-exists overwrite." in refused(words, capsys)
    assert out.read_text() == "mine"
    assert main([*words, "--if-exists", "overwrite"]) == 0
    assert FeatureFile.opened(out).read().shape == (168, 128)
    words[4] = str(recording)
    assert "exists: choose another --out." in refused([*words, "--if-exists", "overwrite"], capsys)


class Interrupted(EncoderReader):
    """Stops in the middle of the second episode."""

    asked = 0

    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        self.asked += 1
        if self.asked == 2:
            raise KeyboardInterrupt
        return super().read(moments, layer)


def test_an_interrupted_one_leaves_what_was_there(recording: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.h5"
    out.write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        encode_store(recording, out, {"top": Interrupted(load(run), "any")}, if_exists="overwrite")
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def test_damage_is_found(encoded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.h5"
    copy.write_bytes(encoded.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["data/demo_1/obs/top_features"][60, 3] += 1
    assert np.isfinite(FeatureFile.opened(copy).read("wrist")).all()
    with pytest.raises(InputError, match="is damaged in demo_1/obs/top_features: encode again"):
        FeatureFile.opened(copy).read("top")


def test_a_label_in_the_way_is_named(tmp_path: Path, run: Path) -> None:
    schema = Schema({"top": (8, 8, 3)}, (Label.plain("top_features", 1),))
    with FrameWriter(tmp_path / "a.h5") as sink:
        sink.open(schema, {})
        sink.begin(seed=0).add(Row({"top": np.zeros((8, 8, 3), np.uint8)}, {"top_features": np.zeros(1)}))
    with pytest.raises(InputError, match="has a label where features of 'top' would lie"):
        encode_store(tmp_path / "a.h5", tmp_path / "b.h5", {"top": EncoderReader(load(run), "any")})


def test_memory_is_bounded(recording: Path, run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """No more frames are looked at in one go than a batch of them."""
    seen: list[int] = []

    class Counted(FrameStore):
        def take(self, indices: Any) -> Any:
            seen.append(len(indices))
            return super().take(indices)

    monkeypatch.setattr(features, "FrameStore", Counted)
    encode_store(recording, tmp_path / "a.h5", {"top": EncoderReader(load(run), "any")})
    assert max(seen) <= 64
    assert sum(seen) >= sum(LENGTHS) + LONE
