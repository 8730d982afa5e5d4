"""robomimic's files: what was seen, known and done keeps its row and its name."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from ssl_robot.datasets.importers.robomimic import Robomimic
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

LENGTHS = {0: 5, 2: 70, 10: 3}  # one longer than a block of reading
ROWS = [(demo, row) for demo, rows in LENGTHS.items() for row in range(rows)]


def picture(lab: Any, demo: int, row: int, size: tuple[int, int] = (64, 80)) -> np.ndarray:
    return lab.picture(demo, row, *size)


def write(lab: Any, path: Path) -> Path:
    """Two cameras, one of them channels first and with depth; numbers of several kinds; splits."""
    env = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"], data.attrs["env_args"] = len(ROWS), json.dumps(env)
        for demo, rows in LENGTHS.items():
            group = data.create_group(f"demo_{demo}")
            group.attrs["num_samples"] = rows
            group.attrs["model_file"] = "<mujoco/>" * 20_000
            frames = np.stack([picture(lab, demo, row) for row in range(rows + 1)])
            group["obs/agentview_image"], group["next_obs/agentview_image"] = frames[:-1], frames[1:]
            group["obs/wrist_image"] = frames[:-1, ::2, ::2].transpose(0, 3, 1, 2)
            group["obs/agentview_image_depth"] = frames[:-1, :, :, :1].astype(np.float32) / 100
            group["obs/robot0_eef_pos"] = np.array([[demo, row, 0.5] for row in range(rows)])
            group["obs/gripper"] = np.full((rows, 2, 2), demo)
            group["actions"] = np.array([[-demo, -row] for row in range(rows)], np.float32)
            group["states"] = np.ones((rows, 9))
            group["action_dict/rot_6d"] = np.zeros((rows, 6))
            group["rewards"], group["dones"] = np.arange(rows, dtype=float), np.arange(rows) == rows - 1
        del data["demo_10/dones"]
        data["demo_10/dones"] = np.zeros(3, np.int64)
        file["mask/train"] = np.array([b"demo_0", b"demo_2"])
        file["mask/20_percent"] = np.array([b"demo_2"])
        data["demo_0"].attrs["ep_meta"] = json.dumps({"lang": "lift the cube"})
    return path


@pytest.fixture
def lift(lab: Any, tmp_path: Path) -> Path:
    return write(lab, tmp_path / "lift.hdf5")


def imported(source: Path, **options: Any) -> FrameStore:
    import_sources([source], source.parent / "out.h5", **options)
    return FrameStore(source.parent / "out.h5")


def refused(source: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        import_sources([source], source.parent / "out.h5", **options)
    assert not (source.parent / "out.h5").exists()
    return str(caught.value)


def test_every_frame_and_number_keeps_its_row(lift: Path, lab: Any) -> None:
    store = imported(lift)
    assert list(store.schema.cameras) == ["agentview_image", "wrist_image"]
    expected = np.stack([picture(lab, *place) for place in ROWS])
    np.testing.assert_array_equal(store.take(np.arange(len(store))), expected)
    wrist = FrameStore(store.path, "wrist_image")
    np.testing.assert_array_equal(wrist.take(np.arange(len(store))), expected[:, ::2, ::2])
    assert store.values("robot0_eef_pos").tolist() == [[demo, row, 0.5] for demo, row in ROWS]
    assert store.values("actions").tolist() == [[-demo, -row] for demo, row in ROWS]
    assert store.label_names == ("action_dict/rot_6d", "actions", "gripper", "robot0_eef_pos", "states")
    assert len(store.label("gripper").components) == 4


def test_demonstrations_come_in_the_order_of_their_numbers(lift: Path) -> None:
    assert [(item.name, item.frames) for item in Robomimic(lift, None, ()).episodes()] == [
        ("demo_0", 5),
        ("demo_2", 70),
        ("demo_10", 3),
    ]


def test_outcomes_times_and_facts(lift: Path) -> None:
    store = imported(lift)
    assert store.column("rewards").tolist() == [float(row) for _, row in ROWS]
    np.testing.assert_allclose(store.column("timestamps"), [row / 20 for _, row in ROWS])
    ends = np.cumsum(list(LENGTHS.values())) - 1
    assert np.flatnonzero(store.column("terminated")).tolist() == ends[:2].tolist()
    assert np.flatnonzero(store.column("truncated")).tolist() == ends[2:].tolist()
    masks = [demo.facts.get("masks") for demo in store.demonstrations]
    assert masks == ["train", "20_percent,train", None]
    assert store.demonstrations[0].facts["task"] == "lift the cube"
    assert {"source_format": "robomimic", "fps": 20, "env_name": "Lift"}.items() <= store.attributes.items()
    assert json.loads(store.attributes["env_args"])["type"] == 1


def test_the_last_next_observation_is_the_final_frame(lift: Path, lab: Any) -> None:
    store = imported(lift)
    for demo, (number, rows) in zip(store.demonstrations, LENGTHS.items(), strict=True):
        finals = store.final(demo)
        assert list(finals) == ["agentview_image"]
        np.testing.assert_array_equal(finals["agentview_image"], picture(lab, number, rows))


def test_depth_stays_with_its_camera_and_is_not_resized(lift: Path, lab: Any) -> None:
    store = imported(lift)
    assert store.schema.depths == ("agentview_image",)
    expected = picture(lab, 2, 69)[..., 0].astype(np.float32) / 100
    np.testing.assert_array_equal(store.depth(np.array([74]))[0], expected)
    small = Robomimic(lift, 32, ())
    assert small.schema.depths == ()
    assert small.warnings == ["agentview_image_depth is left out: depth is not resized."]


def test_what_makes_no_label_is_named(lift: Path) -> None:
    with h5py.File(lift, "r+") as file:
        file["data/demo_0/obs/cloud"] = np.zeros((5, 5000))
        file["data/demo_0/obs/name"] = np.array([b"a"] * 5)
        file["data/demo_0/obs/other_depth"] = np.zeros((5, 20, 20, 1), np.float32)
    warnings = " ".join(Robomimic(lift, None, ()).warnings)
    assert "obs/cloud is left out: float64 of (5000,)" in warnings
    assert "obs/name is left out" in warnings
    assert "other_depth is left out: there is no camera other of its size." in warnings


def test_one_camera_can_be_chosen(lift: Path) -> None:
    assert "no camera 'front': choose from agentview_image, wrist_image" in refused(lift, camera=("front",))
    assert list(imported(lift, camera=("wrist_image",)).schema.cameras) == ["wrist_image"]


def lost_rows(group: h5py.Group) -> None:
    group["actions"].attrs["x"] = 1
    values = group["actions"][:-1]
    del group["actions"]
    group["actions"] = values


def lost_frames(group: h5py.Group) -> None:
    frames = group["obs/wrist_image"][:-2]
    del group["obs/wrist_image"]
    group["obs/wrist_image"] = frames


def lost_camera(group: h5py.Group) -> None:
    del group["obs/agentview_image"]


def other_size(group: h5py.Group) -> None:
    frames = group["obs/wrist_image"][..., ::2]
    del group["obs/wrist_image"]
    group["obs/wrist_image"] = frames


def short_next(group: h5py.Group) -> None:
    frames = group["next_obs/agentview_image"][:-1]
    del group["next_obs/agentview_image"]
    group["next_obs/agentview_image"] = frames


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lost_rows, "actions has 69 rows where num_samples says 70"),
        (lost_frames, "obs/wrist_image has 68 rows where num_samples says 70"),
        (lost_camera, "it has no obs/agentview_image"),
        (other_size, "obs/wrist_image has uint8 of (3, 32, 20) in a row, not (3, 32, 40)"),
        (short_next, "agentview_image ends after 0 of 1 rows"),
    ],
)
def test_a_damaged_demonstration_is_told_and_can_be_left_out(lift: Path, lab: Any, damage: Any, sentence: str) -> None:
    with h5py.File(lift, "r+") as file:
        damage(file["data/demo_2"])
    message = refused(lift)
    assert message.startswith(f"demo_2 of {lift} is damaged: ")
    assert sentence in message
    assert imported(lift, skip_bad=True).values("robot0_eef_pos")[:, 0].tolist() == [0] * 5 + [10] * 3


def test_broken_bytes_are_a_sentence(lift: Path) -> None:
    whole = lift.read_bytes()
    for cut in (100, 3000, len(whole) // 2, len(whole) - 100):
        lift.write_bytes(whole[:cut])
        assert "\n" not in refused(lift, format="robomimic")


def test_flipped_bytes_never_give_a_traceback(lift: Path) -> None:
    whole = lift.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(whole)
        for place in rng.integers(0, 20_000, 8):
            data[place] ^= 255
        lift.write_bytes(bytes(data))
        Robomimic.knows(lift)
        with suppress(InputError):
            import_sources([lift], lift.parent / "out.h5", format="robomimic", if_exists="overwrite")


def test_only_its_own_files_are_claimed(lift: Path, tmp_path: Path, lab: Any) -> None:
    assert Robomimic.knows(lift)
    ours = imported(lift).path
    empty, text = tmp_path / "empty.h5", tmp_path / "text.hdf5"
    h5py.File(empty, "w").close()
    text.write_text("no HDF5")
    for other in (ours, empty, text, tmp_path, tmp_path / "nowhere"):
        assert not Robomimic.knows(other)
    assert "has no group data" in refused_by_name(empty)


def refused_by_name(source: Path) -> str:
    with pytest.raises(InputError) as caught:
        Robomimic(source, None, ())
    return str(caught.value)


def test_files_without_rows_or_pictures_are_refused(lift: Path) -> None:
    with h5py.File(lift, "r+") as file:
        for demo in LENGTHS:
            del file[f"data/demo_{demo}/obs/agentview_image"], file[f"data/demo_{demo}/obs/wrist_image"]
    assert "has no camera, only numbers" in refused_by_name(lift)
    with h5py.File(lift, "r+") as file:
        for demo in LENGTHS:
            file[f"data/demo_{demo}"].attrs["num_samples"] = 0
    assert "has no demonstration with rows" in refused_by_name(lift)


def test_a_cut_file_is_told_as_such(lift: Path) -> None:
    lift.write_bytes(lift.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cannot be read as HDF5 \(.*truncated.*copy it again"):
        imported(lift)


def test_jpegs_are_warned_of(lift: Path, lab: Any) -> None:
    with h5py.File(lift, "r+") as file:
        for number, rows in LENGTHS.items():
            group = file[f"data/demo_{number}"]
            del group["obs/agentview_image"]
            packed = [cv2.imencode(".jpg", picture(lab, number, row))[1] for row in range(rows)]
            dataset = group.create_dataset("obs/agentview_image", (rows,), h5py.vlen_dtype(np.uint8))
            for row, data in enumerate(packed):
                dataset[row] = data.reshape(-1)
    done = Robomimic(lift, None, ())
    assert done.attributes["lossy"] == "JPEG"
    assert "The pictures of agentview_image are JPEG, which is lossy: not quite what the camera saw." in done.warnings


def test_another_format_is_told_what_the_file_looks_like(lift: Path) -> None:
    message = refused(lift, format="mcap")
    assert message == (
        f"{lift} is no MCAP file: give one, or another --format; this looks like robomimic: say --format robomimic."
    )
    lift.write_bytes(lift.read_bytes()[:-200])
    assert "looks like" not in refused(lift, format="robomimic")
    (lift.parent / "notes.txt").write_text("nothing")
    assert "looks like" not in refused(lift.parent / "notes.txt", format="mcap")
