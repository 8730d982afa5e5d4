"""Our own files imported: merged, reduced, resized, compressed another way."""

from pathlib import Path

import numpy as np
import pytest

from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration, Label, Row, Schema

SCHEMA = Schema(
    {"top": (16, 24, 3), "wrist": (8, 8, 3)},
    (Label("poses/cube", ("x", "yaw"), ("m", "rad"), (False, True)), Label.plain("actions", 2)),
    depths=("top",),
    calibrated=("top", "wrist"),
)
PLAIN = Schema({"top": (16, 24, 3)}, SCHEMA.labels)


def recorded(
    path: Path, seed: int, schema: Schema = SCHEMA, lengths: tuple[int, ...] = (3, 5), **options: bool
) -> Path:
    rng = np.random.default_rng(seed)
    independent = options.pop("independent", False)
    with FrameWriter(path, **options) as writer:
        writer.open(schema, {"source": f"noise {seed}", "fps": 5})
        for number, length in enumerate(lengths):
            task = "reset" if independent else f"task {number}"
            episode = writer.begin(seed + number, {"task": task}, independent)
            for step in range(length):
                frames = {name: rng.integers(0, 256, shape, np.uint8) for name, shape in schema.cameras.items()}
                depths = {name: rng.random(schema.cameras[name][:2], np.float32) for name in schema.depths}
                cameras = {name: Calibration(rng.random((3, 3)), rng.random((4, 4))) for name in schema.calibrated}
                labels = {label.name: rng.normal(size=len(label.components)) for label in schema.labels}
                episode.add(Row(frames, labels, rng.normal(), step == 1, step == 2, step / 5, depths, cameras))
            episode.end({name: rng.integers(0, 256, s, np.uint8) for name, s in schema.cameras.items()}, number == 1)
    return path


def same(first: FrameStore, rows: slice, second: FrameStore) -> None:
    """The second's rows are some of the first's."""
    index, everything = np.arange(len(first))[rows], np.arange(len(second))
    for camera in second.schema.cameras:
        one, two = FrameStore(first.path, camera), FrameStore(second.path, camera)
        np.testing.assert_array_equal(one.take(index), two.take(everything))
        for ours, theirs in zip(one.calibration(), two.calibration(), strict=True):
            np.testing.assert_array_equal(ours[index], theirs)
        if camera in second.schema.depths:
            np.testing.assert_array_equal(one.depth(index), two.depth(everything))
    for name in second.label_names:
        np.testing.assert_array_equal(first.values(name)[index], second.values(name))
    for name in ("rewards", "terminated", "truncated", "dones", "timestamps"):
        np.testing.assert_array_equal(first.column(name)[index], second.column(name))


@pytest.mark.parametrize("raw", [False, True])
def test_two_recordings_become_one(tmp_path: Path, raw: bool) -> None:
    paths = [recorded(tmp_path / f"{seed}.h5", seed, raw=not raw) for seed in (10, 20)]
    done = import_sources(paths, tmp_path / "both.h5", raw=raw)
    both = FrameStore(tmp_path / "both.h5")
    assert (done.episodes, done.frames, len(both)) == (4, 16, 16)
    assert both.compression == ("raw" if raw else "deflate")
    assert both.seeds.tolist() == [10, 11, 20, 21]
    for path, rows in zip(paths, (slice(0, 8), slice(8, 16)), strict=True):
        same(both, rows, FrameStore(path))
    for number, demo in enumerate(both.demonstrations):
        source = FrameStore(paths[number // 2])
        there = source.demonstrations[number % 2]
        assert demo.facts["task"] == there.facts["task"]
        assert demo.facts["origin"] == paths[number // 2].name
        assert demo.facts["success"] is (number % 2 == 1)
        assert demo.facts["return"] == pytest.approx(there.facts["return"])
        for camera, frame in source.final(there).items():
            np.testing.assert_array_equal(both.final(demo)[camera], frame)


def test_independent_rows_stay_independent(tmp_path: Path) -> None:
    one = recorded(tmp_path / "1.h5", 100, lengths=(1,) * 30, independent=True)
    two = recorded(tmp_path / "2.h5", 200)
    import_sources([one, two], tmp_path / "both.h5")
    both = FrameStore(tmp_path / "both.h5")
    assert [demo.independent for demo in both.demonstrations] == [True, False, False]
    assert both.seeds.tolist() == [*range(100, 130), 200, 201]
    same(both, slice(0, 30), FrameStore(one))


def test_a_recording_is_added_to_another(tmp_path: Path) -> None:
    paths = [recorded(tmp_path / f"{seed}.h5", seed) for seed in (10, 20)]
    import_sources(paths[1:], paths[0], if_exists="append")
    same(FrameStore(paths[0]), slice(8, 16), FrameStore(paths[1]))


def test_a_broken_source_leaves_what_it_is_added_to(tmp_path: Path) -> None:
    paths = [recorded(tmp_path / f"{seed}.h5", seed, raw=True) for seed in (10, 20)]
    store = FrameStore(paths[1])
    place = int(store._chunks.offset[6])
    content = bytearray(paths[1].read_bytes())
    content[place] ^= 1
    paths[1].write_bytes(content)
    with pytest.raises(InputError, match="damaged at frame 6: its checksum is another"):
        import_sources(paths[1:], paths[0], if_exists="append")
    assert len(FrameStore(paths[0])) == 8 + 3
    done = import_sources([paths[1]], tmp_path / "rest.h5", skip_bad=True)
    assert (done.episodes, done.frames, len(done.skipped)) == (1, 3, 1)


def test_different_recordings_are_refused_in_a_sentence_and_merge_by_what_they_share(tmp_path: Path) -> None:
    one = recorded(tmp_path / "one.h5", 1, Schema(SCHEMA.cameras, SCHEMA.labels))
    two = recorded(tmp_path / "two.h5", 2, PLAIN)
    with pytest.raises(InputError, match=r"different cameras \(top 24 x 16, wrist 8 x 8 and top 24 x 16\).*--camera"):
        import_sources([one, two], tmp_path / "both.h5")
    assert not list(tmp_path.glob("both*"))
    import_sources([one, two], tmp_path / "both.h5", camera=["top"])
    assert len(FrameStore(tmp_path / "both.h5")) == 16
    three = recorded(tmp_path / "three.h5", 3, Schema(PLAIN.cameras, PLAIN.labels[:1]))
    with pytest.raises(InputError, match=r"different labels \(poses/cube, actions and poses/cube\)"):
        import_sources([two, three], tmp_path / "other.h5")


def test_frames_and_lenses_are_resized_together(tmp_path: Path) -> None:
    schema = Schema(SCHEMA.cameras, SCHEMA.labels, calibrated=SCHEMA.calibrated)
    source = FrameStore(recorded(tmp_path / "a.h5", 1, schema))
    import_sources([source.path], tmp_path / "small.h5", size=12)
    small = FrameStore(tmp_path / "small.h5")
    assert small.shape == (12, 12, 3)
    K, T = source.calibration()
    np.testing.assert_allclose(small.calibration()[0], K * np.array([[0.5], [0.75], [1]]))
    np.testing.assert_array_equal(small.calibration()[1], T)
    with pytest.raises(InputError, match="depth, which is not resized"):
        import_sources([recorded(tmp_path / "deep.h5", 1)], tmp_path / "no.h5", size=12)


def test_distances_are_kept_bit_for_bit(tmp_path: Path) -> None:
    for raw in (False, True):
        store = FrameStore(recorded(tmp_path / f"{raw}.h5", 5, raw=raw))
        rng_free = store.depth(np.array([3, 0, 3]))
        assert rng_free.dtype == np.float32
        assert rng_free.shape == (3, 16, 24)
        np.testing.assert_array_equal(rng_free[0], rng_free[2])
        assert not np.array_equal(rng_free[0], rng_free[1])
    with pytest.raises(InputError, match="no depth of camera 'wrist'"):
        FrameStore(tmp_path / "True.h5", "wrist").depth(np.array([0]))


@pytest.mark.parametrize("busy", ["a.h5", "new.h5", "new.h5.partial"])
def test_what_another_process_writes_is_left_alone(tmp_path: Path, busy: str) -> None:
    recorded(tmp_path / "a.h5", 1)
    recorded(tmp_path / "new.h5", 2)
    with FrameWriter(tmp_path / busy, "append") as writer:
        writer.open(SCHEMA, {})
        with pytest.raises(InputError, match="by another process"):
            import_sources([tmp_path / "a.h5"], tmp_path / "new.h5", if_exists="overwrite")
        assert (tmp_path / busy).exists()
    assert len(FrameStore(tmp_path / "new.h5")) == 8


def test_a_source_that_cannot_be_opened_is_left_out_when_told(tmp_path: Path) -> None:
    good, bad = recorded(tmp_path / "good.h5", 1), tmp_path / "bad.h5"
    bad.write_bytes(good.read_bytes()[:500])
    with pytest.raises(InputError, match=r"bad\.h5"):
        import_sources([good, bad], tmp_path / "both.h5")
    done = import_sources([bad, good], tmp_path / "both.h5", skip_bad=True)
    assert (done.episodes, len(done.skipped)) == (2, 1)
    with pytest.raises(InputError, match="No source can be read"):
        import_sources([bad, bad], tmp_path / "none.h5", skip_bad=True)


def test_a_recording_is_not_added_to_itself_nor_to_another_world(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.h5", 1)
    with pytest.raises(InputError, match="cannot be imported into itself"):
        import_sources([path], path, if_exists="append")
    with FrameWriter(tmp_path / "full.h5") as writer:
        writer.open(PLAIN, {"render": "full"})
        writer.begin().add(
            Row({"top": np.zeros((16, 24, 3), np.uint8)}, {"poses/cube": np.ones(2), "actions": np.ones(2)})
        )
    again = FrameWriter(tmp_path / "full.h5", "append")
    with pytest.raises(InputError, match="was recorded with render = full, this is fast"):
        again.open(PLAIN, {"render": "fast"})
    again.close()
    assert len(FrameStore(tmp_path / "full.h5")) == 1
