import json
import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_robot.datasets.layout import schema_text
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.frames import Calibration, Label, Row, Schema, find_label
from ssl_robot.probes.pose import Pose

POSE = Label("poses/block", ("x", "angle"), ("m", "rad"), (False, True))
STATE = Label("state", ("0",), ("",), (False,))
SCHEMA = Schema({"top": (4, 6, 3), "wrist": (2, 2, 3)}, (POSE, STATE, Label.plain("actions", 2)))


@dataclass(frozen=True)
class Episode:
    rows: list[Row]
    seed: int | None
    final: dict[str, NDArray[np.uint8]] | None = None


def episodes(lengths: list[int], seed: int = 0, schema: Schema = SCHEMA, final: bool = False) -> list[Episode]:
    """Recordings of noise in frames and numbers; every row can be told from every other."""
    rng = np.random.default_rng(seed)

    def look() -> dict[str, NDArray[np.uint8]]:
        return {name: rng.integers(0, 256, shape, np.uint8) for name, shape in schema.cameras.items()}

    def row(step: int, last: bool) -> Row:
        labels = {label.name: rng.normal(size=len(label.components)) for label in schema.labels}
        return Row(look(), labels, float(rng.normal()), last and step % 2 == 0, last and step % 2 == 1, step / 10)

    return [
        Episode(
            [row(step, step + 1 == length) for step in range(length)],
            None if number % 3 == 2 else int(rng.integers(2**40)),
            look() if final else None,
        )
        for number, length in enumerate(lengths)
    ]


def write(
    path: Path, recorded: list[Episode], schema: Schema = SCHEMA, independent: bool = False, **options: Any
) -> FrameStore:
    with FrameWriter(path, **options) as writer:
        writer.open(schema, {"source": "noise", "fps": 10})
        for episode in recorded:
            sink = writer.begin(episode.seed, independent=independent)
            for row in episode.rows:
                sink.add(row)
            sink.end(episode.final)
    return FrameStore(path)


def check(store: FrameStore, recorded: list[Episode]) -> None:
    """Everything that was written is read back."""
    rows = [row for episode in recorded for row in episode.rows]
    everywhere = np.arange(len(rows))
    assert len(store) == len(rows)
    for camera, shape in store.schema.cameras.items():
        seen = FrameStore(store.path, camera)
        assert seen.shape == shape
        np.testing.assert_array_equal(seen.take(everywhere), [row.frames[camera] for row in rows])
    assert store.label_names == tuple(label.name for label in store.schema.labels)
    for label in store.schema.labels:
        assert store.label(label.name) == label
        np.testing.assert_array_equal(store.values(label.name), [row.labels[label.name] for row in rows])
    lengths = [len(episode.rows) for episode in recorded]
    np.testing.assert_array_equal(store.episodes, np.repeat(np.arange(len(lengths)), lengths))
    assert store.seeds.tolist() == [-1 if episode.seed is None else episode.seed for episode in recorded]


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    independent=st.booleans(),
    raw=st.booleans(),
    flush_rows=st.integers(1, 8),
)
@settings(max_examples=40)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], independent: bool, raw: bool, flush_rows: int
) -> None:
    """Wherever the flushes fall."""
    path = tmp_path_factory.mktemp("store") / "recording.h5"
    recorded = episodes([1] * len(lengths) if independent else lengths)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ssl_robot.datasets.writer.FLUSH_ROWS", flush_rows)
        check(write(path, recorded, independent=independent, raw=raw), recorded)


@given(indices=st.lists(st.integers(0, 39), max_size=60))
@settings(max_examples=25)
def test_rows_are_read_in_any_order_and_more_than_once(noise: FrameStore, indices: list[int]) -> None:
    everything = noise.take(np.arange(40))
    np.testing.assert_array_equal(noise.take(np.array(indices, np.int64)), everything[indices])


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    return write(tmp_path_factory.mktemp("store") / "noise.h5", episodes([10] * 4))


def test_rows_that_are_not_there_are_refused(noise: FrameStore) -> None:
    with pytest.raises(IndexError):
        noise.take(np.array([40]))


def test_another_reader_sees_the_same(tmp_path: Path) -> None:
    """HDF5's own deflate filter undoes what ISA-L did; columns and attributes are where FORMAT.md says."""
    recorded = episodes([3, 2], final=True)
    attributes = write(tmp_path / "a.h5", recorded).attributes
    assert (attributes["source"], attributes["fps"]) == ("noise", 10)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].attrs["total"] == 5
        assert json.loads(file["data"].attrs["env_args"])["type"] == 2
        assert list(file["data"]) == ["demo_0", "demo_1"]
        for name, episode in zip(file["data"], recorded, strict=True):
            demo, rows = file["data"][name], episode.rows
            assert demo.attrs["num_samples"] == len(rows)
            for camera in SCHEMA.cameras:
                assert demo["obs"][camera].compression == "gzip"
                np.testing.assert_array_equal(demo["obs"][camera], [row.frames[camera] for row in rows])
                np.testing.assert_array_equal(demo["final_obs"][camera], [(episode.final or {})[camera]])
            np.testing.assert_array_equal(demo["poses/block"], [row.labels["poses/block"] for row in rows])
            np.testing.assert_array_equal(demo["obs/state"], [row.labels["state"] for row in rows])
            np.testing.assert_array_equal(demo["actions"], [row.labels["actions"] for row in rows])
            np.testing.assert_array_equal(demo["rewards"], [row.reward for row in rows])
            np.testing.assert_array_equal(demo["terminated"], [row.terminated for row in rows])
            np.testing.assert_array_equal(demo["truncated"], [row.truncated for row in rows])
            np.testing.assert_array_equal(demo["dones"], [row.terminated or row.truncated for row in rows])
            np.testing.assert_array_equal(demo["timestamps"], [row.time for row in rows])
            assert json.loads(file["data"].attrs["schema"])["labels"][0]["components"] == ["x", "angle"]


def test_independent_rows_share_a_group_and_stay_episodes(tmp_path: Path) -> None:
    recorded = episodes([1] * 30)
    check(write(tmp_path / "a.h5", recorded, independent=True), recorded)
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["data"]) == ["demo_0"]
        assert file["data/demo_0"].attrs["independent"]


def test_a_group_holds_a_thousand_independent_rows(tmp_path: Path) -> None:
    schema = Schema({"top": (2, 2, 3)})
    recorded = episodes([1] * 2100, schema=schema)
    check(write(tmp_path / "a.h5", recorded, schema, independent=True), recorded)
    with h5py.File(tmp_path / "a.h5") as file:
        assert sorted(demo.attrs["num_samples"] for demo in file["data"].values()) == [100, 1000, 1000]


def test_equal_scenes_have_equal_contents_in_any_file(tmp_path: Path) -> None:
    """The split depends on it: whatever the compression, and whether rows are independent."""
    recorded = episodes([1] * 5)
    stores = [
        write(tmp_path / "a.h5", recorded, independent=True),
        write(tmp_path / "b.h5", recorded, raw=True),
        write(tmp_path / "c.h5", recorded[::-1]),
    ]
    contents = [store.contents.tolist() for store in stores]
    assert contents[0] == contents[1] == contents[2][::-1]
    assert len(set(contents[0])) == 5


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    recorded = episodes([3, 2])
    first = write(tmp_path / "a.h5", recorded)
    shutil.copy(tmp_path / "a.h5", tmp_path / "copy.h5")
    same = [FrameStore(tmp_path / "copy.h5"), write(tmp_path / "raw.h5", recorded, raw=True)]
    other = [write(tmp_path / "other.h5", episodes([3, 2], seed=1)), FrameStore(tmp_path / "a.h5", "wrist")]
    recorded[1].rows[1].labels["actions"][0] += 1
    other.append(write(tmp_path / "moved.h5", recorded))
    assert {store.fingerprint for store in same} == {first.fingerprint}
    assert len({store.fingerprint for store in [first, *other]}) == 4


def test_a_store_travels_to_other_processes(noise: FrameStore) -> None:
    noise.take(np.arange(3))  # what it found out about the file does not travel
    there = pickle.loads(pickle.dumps(noise))
    np.testing.assert_array_equal(there.take(np.arange(40)), noise.take(np.arange(40)))
    assert there.fingerprint == noise.fingerprint


@pytest.mark.parametrize("independent", [True, False])
def test_appending_goes_on_where_the_file_ended(tmp_path: Path, independent: bool) -> None:
    recorded = [episodes([1] * 4, seed) for seed in range(3)]
    write(tmp_path / "a.h5", recorded[0], independent=independent)
    for more in recorded[1:]:
        write(tmp_path / "a.h5", more, independent=independent, if_exists="append")
    check(FrameStore(tmp_path / "a.h5"), [episode for part in recorded for episode in part])
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data"].attrs["total"] == 12


def test_episodes_may_follow_independent_rows(tmp_path: Path) -> None:
    single, several = episodes([1, 1, 1]), episodes([4, 2], seed=1)
    write(tmp_path / "a.h5", single, independent=True)
    check(write(tmp_path / "a.h5", several, if_exists="append"), single + several)


def test_overwriting_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", episodes([3, 3]))
    recorded = episodes([2], seed=1)
    check(write(tmp_path / "a.h5", recorded, if_exists="overwrite"), recorded)


def test_a_file_that_exists_is_not_touched_unasked(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", episodes([3]))
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(InputError, match=r"exists: .*--if-exists append or overwrite"):
        write(tmp_path / "a.h5", episodes([1]))
    assert (tmp_path / "a.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("part", "schema"),
    [
        ("cameras", Schema({"top": (4, 6, 3)}, SCHEMA.labels)),
        ("cameras", Schema({"top": (4, 4, 3), "wrist": (2, 2, 3)}, SCHEMA.labels)),
        ("labels", Schema(SCHEMA.cameras, SCHEMA.labels[:2])),
        (
            "meanings of labels",
            replace(
                SCHEMA,
                labels=(Label("poses/block", ("x", "angle"), ("m", "deg"), (False, True)), *SCHEMA.labels[1:]),
            ),
        ),
        (
            "meanings of labels",
            replace(
                SCHEMA,
                labels=(Label("poses/block", ("x", "angle"), ("m", "rad"), (False,) * 2), *SCHEMA.labels[1:]),
            ),
        ),
    ],
    ids=["camera", "size", "label", "unit", "circular"],
)
def test_rows_of_another_kind_are_not_appended(tmp_path: Path, part: str, schema: Schema) -> None:
    recorded = episodes([3])
    write(tmp_path / "a.h5", recorded)
    with pytest.raises(InputError, match=f"hold different {part} .*choose another --out"):
        write(tmp_path / "a.h5", episodes([1], schema=schema), schema, if_exists="append")
    check(FrameStore(tmp_path / "a.h5"), recorded)


def test_an_episode_without_rows_leaves_nothing(tmp_path: Path) -> None:
    """Neither at the end nor between others, where the next one's seed is its own."""
    recorded = episodes([2, 0, 3, 0], final=True)
    check(write(tmp_path / "a.h5", recorded), [recorded[0], recorded[2]])


def test_a_recording_killed_before_its_first_row_can_be_gone_on_with(tmp_path: Path) -> None:
    """As the message that refuses to read it says."""
    with FrameWriter(tmp_path / "killed.h5") as writer:
        writer.open(SCHEMA, {})
        shutil.copy(tmp_path / "killed.h5", tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"holds no frames: .*--if-exists append"):
        FrameStore(tmp_path / "a.h5")
    recorded = episodes([2])
    check(write(tmp_path / "a.h5", recorded, if_exists="append"), recorded)


def test_a_recording_without_rows_leaves_no_file(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        writer.begin(1)
    assert not (tmp_path / "a.h5").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"folder .*none does not exist"):
        write(tmp_path / "none" / "a.h5", episodes([1]))


def test_a_camera_that_is_not_there_lists_the_cameras(noise: FrameStore) -> None:
    with pytest.raises(InputError, match="no camera 'side': choose from top, wrist"):
        FrameStore(noise.path, "side")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(InputError, match=r"no file .*'ssl-robot collect'"):
            FrameStore(path)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_not_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(InputError, match="cannot be opened as HDF5"):
        FrameStore(tmp_path / "a.h5")


@pytest.mark.parametrize("kind", ["empty", "a dataset", "robomimic"])
def test_hdf5_of_others_points_to_the_import(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "a dataset":
            file["data"] = np.zeros(3)
        elif kind == "robomimic":
            file.create_dataset("data/demo_0/obs/image", data=np.zeros((2, 4, 4, 3), np.uint8))
            file["data"].attrs["total"] = 2
    with pytest.raises(InputError, match=r"not written by ssl_robot: .*ssl-robot import .*a\.h5 --out"):
        FrameStore(tmp_path / "a.h5")


def test_a_newer_format_is_refused(noise: FrameStore, tmp_path: Path) -> None:
    shutil.copy(noise.path, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data"].attrs["format_version"] = 2
    with pytest.raises(InputError, match="format version 2, newer than 1: upgrade"):
        FrameStore(tmp_path / "a.h5")


def test_rows_beyond_the_count_are_not_read(noise: FrameStore, tmp_path: Path) -> None:
    """What a writer that died left behind."""
    shutil.copy(noise.path, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data/demo_3"].attrs["num_samples"] = 7
    store = FrameStore(tmp_path / "a.h5")
    assert len(store) == 37
    np.testing.assert_array_equal(store.take(np.arange(37)), noise.take(np.arange(37)))
    assert len(store.values("state")) == 37


def test_an_episode_that_had_no_time_to_begin_is_no_episode(noise: FrameStore, tmp_path: Path) -> None:
    """Its group is there, its rows are not: it must not take a place among those that are split."""
    shutil.copy(noise.path, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data/demo_1"].attrs["num_samples"] = 0
    store = FrameStore(tmp_path / "a.h5")
    assert store.contents.tolist() == noise.contents[[0, 2, 3]].tolist()
    assert sorted(set(store.episodes.tolist())) == [0, 1, 2]


def test_what_is_replaced_stays_until_the_new_file_has_a_row(tmp_path: Path) -> None:
    """A recording that is refused, or that fails before its first row, costs nothing."""
    recorded = episodes([3])
    write(tmp_path / "a.h5", recorded)
    with FrameWriter(tmp_path / "a.h5", "overwrite") as writer:
        writer.open(SCHEMA, {}, rows=10**13)
        with pytest.raises(InputError, match="make room"):
            writer.begin().add(recorded[0].rows[0])
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    check(FrameStore(tmp_path / "a.h5"), recorded)


def test_a_replaced_file_is_the_new_one_after_the_first_flush(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", episodes([3]))
    recorded = episodes([2, 1], seed=1)
    with FrameWriter(tmp_path / "a.h5", "overwrite") as writer:
        writer.open(SCHEMA, {})
        for episode in recorded:
            sink = writer.begin(episode.seed)
            for row in episode.rows:
                sink.add(row)
            sink.end()
            writer.flush()
            assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    check(FrameStore(tmp_path / "a.h5"), recorded)


@pytest.mark.parametrize("if_exists", ["append", "overwrite"])
def test_a_file_that_is_being_recorded_is_left_alone(tmp_path: Path, if_exists: Any) -> None:
    recorded = episodes([2])
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        sink = writer.begin(recorded[0].seed)
        for row in recorded[0].rows:
            sink.add(row)
        writer.flush()
        with pytest.raises(InputError, match=r"being written by another|in use by another"):
            write(tmp_path / "a.h5", episodes([1]), if_exists=if_exists)
        with pytest.raises(InputError, match="being written by another process: read it when"):
            FrameStore(tmp_path / "a.h5")
    check(FrameStore(tmp_path / "a.h5"), recorded)


def test_arrays_may_be_used_again_as_soon_as_they_are_handed_over(tmp_path: Path) -> None:
    """As environments do that render into one buffer or change their state in place."""
    frame, state = np.zeros((4, 4, 3), np.uint8), np.zeros(1)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(Schema({"top": frame.shape}, (STATE,)), {})
        sink = writer.begin()
        for number in range(3):
            frame[:] = number
            state[:] = number
            sink.add(Row({"top": frame}, {"state": state}))
        sink.end()
    store = FrameStore(tmp_path / "a.h5")
    assert store.take(np.arange(3))[:, 0, 0, 0].tolist() == store.values("state")[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"state": np.zeros(1)}, "lacks 'actions'"),
        ({"state": np.zeros(1), "actions": np.zeros(3)}, "actions takes 2 numbers, not 3"),
    ],
)
def test_a_row_of_another_kind_is_refused_and_the_rest_goes_on(
    tmp_path: Path, labels: dict[str, Any], message: str
) -> None:
    schema = Schema({"top": (4, 6, 3)}, SCHEMA.labels[1:])
    recorded = episodes([4], schema=schema)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(schema, {})
        sink = writer.begin(recorded[0].seed)
        for row in recorded[0].rows:
            with pytest.raises(ValueError, match=message):
                sink.add(Row(row.frames, labels))
            sink.add(row)
            writer.flush()
    check(FrameStore(tmp_path / "a.h5"), recorded)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Schema({}), "no camera"),
        (Schema({"top": (0, 4, 3)}), "height, width and channels"),
        (Schema({"top": (4, 4, 3)}, (Label.plain("top", 1),)), "'obs/top' lies where"),
        (Schema({"top": (4, 4, 3)}, (Label.plain("top_depth", 1),), depths=("top",)), "'obs/top_depth' lies where"),
        (Schema({"top": (4, 4, 3)}, (Label.plain("top/x", 1),)), "'obs/top/x' lies where"),
        (Schema({"top": (4, 4, 3)}, (Label.plain("a", 1), Label.plain("a", 1))), "'obs/a' lies where"),
        (Schema({"top": (4, 4, 3)}, (Label.plain("poses/", 1),)), "empty part"),
    ],
)
def test_names_that_cannot_lie_side_by_side_are_refused(tmp_path: Path, schema: Schema, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path / "a.h5", [], schema)
    assert not list(tmp_path.iterdir())


def test_names_may_be_paths_and_labels_empty(tmp_path: Path) -> None:
    schema = Schema({"camera/left": (4, 6, 3)}, (Label.plain("none", 0), Label.plain("camera/state", 2)))
    recorded = episodes([3, 2], schema=schema, final=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ssl_robot.datasets.writer.FLUSH_ROWS", 2)
        store = write(tmp_path / "a.h5", recorded, schema)
    check(store, recorded)
    np.testing.assert_array_equal(store.final(store.demonstrations[0])["camera/left"], recorded[0].final["camera/left"])  # type: ignore[index]


def test_a_description_may_be_longer_than_an_old_attribute(tmp_path: Path) -> None:
    """HDF5 before 1.8 kept attributes within 64 kB."""
    parts = [f"joint_{number}_of_a_robot_with_many" for number in range(12)]
    schema = Schema({"top": (2, 2, 3)}, tuple(Label.plain(f"group/{n:03}", 12, parts) for n in range(300)))
    assert len(schema_text(schema)) > 2**16
    recorded = episodes([2, 1], schema=schema)
    write(tmp_path / "a.h5", recorded[:1], schema)
    check(write(tmp_path / "a.h5", recorded[1:], schema, if_exists="append"), recorded)


def test_independent_rows_keep_what_was_noted_about_them(tmp_path: Path) -> None:
    recorded = episodes([1] * 4)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        for number, episode in enumerate(recorded):
            writer.begin(episode.seed, {"origin": f"file {number // 2}"}, independent=True).add(episode.rows[0])
    store = FrameStore(tmp_path / "a.h5")
    check(store, recorded)
    assert [demo.facts["origin"] for demo in store.demonstrations] == ["file 0", "file 1"]


def test_groups_that_others_added_are_passed_over(tmp_path: Path) -> None:
    recorded = [episodes([2]), episodes([1], seed=1)]
    write(tmp_path / "a.h5", recorded[0])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data"].create_group("notes")
        file["data"].create_group("demo_best")
    check(write(tmp_path / "a.h5", recorded[1], if_exists="append"), [*recorded[0], *recorded[1]])


@pytest.mark.parametrize(
    ("final", "message"),
    [
        ({"top": np.zeros((4, 4, 3), np.uint8)}, r"final_obs/top takes uint8 of \(4, 6, 3\), not uint8 of \(4, 4, 3\)"),
        ({"top": np.zeros((4, 6, 3), np.float32)}, r"final_obs/top takes uint8 of \(4, 6, 3\), not float32"),
        ({"side": np.zeros((4, 6, 3), np.uint8)}, "have a camera 'side', which the schema lacks"),
    ],
    ids=["shape", "type", "camera"],
)
def test_final_frames_of_another_kind_are_refused_and_the_rest_goes_on(
    tmp_path: Path, final: dict[str, Any], message: str
) -> None:
    recorded = episodes([2, 3], final=True)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        for episode in recorded:
            sink = writer.begin(episode.seed)
            for row in episode.rows:
                sink.add(row)
            with pytest.raises(ValueError, match=message):
                sink.end(final)
            writer.flush()
            sink.end(episode.final)
    store = FrameStore(tmp_path / "a.h5")
    check(store, recorded)
    for demo, episode in zip(store.demonstrations, recorded, strict=True):
        np.testing.assert_array_equal(store.final(demo)["wrist"], (episode.final or {})["wrist"])


def test_final_frames_may_be_used_again_and_be_of_some_cameras(tmp_path: Path) -> None:
    [episode] = episodes([2])
    last = np.full((2, 2, 3), 7, np.uint8)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        sink = writer.begin()
        for row in episode.rows:
            sink.add(row)
        sink.end({"wrist": last})
        last[:] = 0
    store = FrameStore(tmp_path / "a.h5")
    assert store.finals == 1
    assert {name: frame.max() for name, frame in store.final(store.demonstrations[0]).items()} == {"wrist": 7}


def test_attributes_that_others_wrote_their_way_are_read(tmp_path: Path) -> None:
    """Texts of any length, arrays, and numbers of other sizes, as h5py makes them."""
    recorded = episodes([3])
    write(tmp_path / "a.h5", recorded)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        noted = file["data/demo_0"].attrs
        noted["checksums"] = noted["checksums"].decode()
        noted["num_samples"] = np.int32(3)
        noted.update(
            {"note": "größer", "sizes": np.arange(3), "flag": True, "one": np.array([5]), "none": h5py.Empty("f")}
        )
    store = FrameStore(tmp_path / "a.h5")
    check(store, recorded)
    facts = store.demonstrations[0].facts
    assert (facts["note"], facts["flag"]) == ("größer", True)
    assert (facts["sizes"].tolist(), facts["one"].tolist()) == ([0, 1, 2], [5])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data/demo_0/obs/state"][1] += 1
    with pytest.raises(InputError, match=r"a\.h5 is damaged in /data/demo_0/obs/state"):
        FrameStore(tmp_path / "a.h5").values("state")


def travelling(path: Path, rows: int = 12, episodes: int = 3) -> tuple[FrameStore, NDArray[np.float64]]:
    """A recording through a camera that moves; and where it stood."""
    rng = np.random.default_rng(0)
    schema = Schema({"eye": (2, 2, 3), "still": (2, 2, 3)}, (STATE,), (), ("eye",))
    places = np.zeros((rows, 4, 4))
    places[:, :3, :3] = Rotation.random(rows, random_state=np.random.RandomState(0)).as_matrix()
    places[:, :3, 3] = rng.normal(size=(rows, 3))
    places[:, 3, 3] = 1
    with FrameWriter(path) as writer:
        writer.open(schema, {"source": "noise"})
        for episode, own in enumerate(np.split(np.arange(rows), episodes)):
            sink = writer.begin(episode, {"task": "pull" if episode == 1 else "push", "difficulty": episode / 2})
            for row in own:
                frames = {name: rng.integers(0, 256, (2, 2, 3), np.uint8) for name in schema.cameras}
                cameras = {"eye": Calibration(np.eye(3), places[row])}
                sink.add(Row(frames, {"state": np.zeros(1)}, cameras=cameras))
            sink.end()
    return FrameStore(path), places


def test_where_a_calibrated_camera_stood_is_a_label(tmp_path: Path) -> None:
    store, places = travelling(tmp_path / "a.h5")
    label, values = store.label("cameras/eye"), store.values("cameras/eye")
    assert label.components == ("x", "y", "z", "qw", "qx", "qy", "qz")
    assert label.units[:3] == ("m", "m", "m")
    np.testing.assert_allclose(values[:, :3], places[:, :3, 3])
    np.testing.assert_allclose(Rotation.from_quat(values[:, [4, 5, 6, 3]]).as_matrix(), places[:, :3, :3], atol=1e-12)
    assert find_label(store, "cameras/eye") == label
    assert "cameras/eye" not in store.label_names  # it follows from the rest, and is not copied or shown beside it
    with pytest.raises(InputError, match="no label 'cameras/still'"):
        find_label(store, "cameras/still")


def test_a_pose_probe_reads_where_the_camera_stood(tmp_path: Path) -> None:
    """From features that hold it."""
    store, places = travelling(tmp_path / "a.h5", rows=240, episodes=60)
    features = torch.from_numpy(places[:, :3].reshape(240, 12))
    scores = {(s.component, s.metric): s for s in Pose(target=("cameras/eye",), head="ridge").score(features, store)}
    assert {component for component, _ in scores} == {"x", "y", "z", "rotation"}
    assert scores["rotation", "error"].value < 2
    assert scores["x", "r2"].value > 0.99


def test_what_was_noted_about_demonstrations_is_numbered(tmp_path: Path) -> None:
    store, _ = travelling(tmp_path / "a.h5")
    assert store.values("attributes/task")[:, 0].tolist() == [1] * 4 + [0] * 4 + [1] * 4
    assert store.values("attributes/difficulty")[:, 0].tolist() == [0] * 4 + [0.5] * 4 + [1] * 4
    assert store.label("attributes/task").components == ("task",)
    with pytest.raises(KeyError):
        store.label("attributes/weather")


def test_what_is_noted_about_some_demonstrations_only_is_a_text(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(SCHEMA, {})
        for episode, noted in zip(episodes([2, 2, 2]), ({"origin": "b"}, {}, {"origin": "a"}), strict=True):
            sink = writer.begin(None, noted)
            for row in episode.rows:
                sink.add(row)
            sink.end()
    assert FrameStore(tmp_path / "a.h5").values("attributes/origin")[:, 0].tolist() == [1, 1, -1, -1, 0, 0]


def test_the_fingerprint_tells_cameras_and_labels_apart(tmp_path: Path) -> None:
    store, _ = travelling(tmp_path / "a.h5")
    other = FrameStore(store.path, "still")
    assert store.camera == "eye"
    assert other.fingerprint != store.fingerprint
    again, _ = travelling(tmp_path / "b.h5")
    assert again.fingerprint == store.fingerprint
