"""What every pixel shows, on its way to the file and back."""

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.datasets.check import check
from ssl_robot.datasets.exports import export_store
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.datasets.summary import summary
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.errors import InputError
from ssl_robot.experiments.cli import main
from ssl_robot.frames import Row, Schema
from ssl_robot.segments import instances, segmented

THINGS = ("block", "agent", "wall")
SCHEMA = Schema({"top": (16, 24, 3), "side": (8, 8, 3)}, segmented={"top": 1, "side": 4}, things=THINGS)
ROWS = 7


def recorded(path: Path, seed: int = 0, schema: Schema = SCHEMA, most: int = 3, **options: Any) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = [
        Row(
            {name: rng.integers(0, 256, shape, np.uint8) for name, shape in schema.cameras.items()},
            maps={
                name: rng.integers(0, most + 1, (*schema.cameras[name][:2], channels), np.uint8)
                for name, channels in schema.segmented.items()
            },
        )
        for _ in range(ROWS)
    ]
    with FrameWriter(path, **options) as writer:
        writer.open(schema, {"source": "noise"})
        for first, last in ((0, 4), (4, ROWS)):
            episode = writer.begin()
            for row in rows[first:last]:
                episode.add(row)
                writer.flush()
            episode.end()
    return rows


@pytest.mark.parametrize("raw", [False, True])
def test_maps_are_read_back_bit_for_bit_in_any_order(tmp_path: Path, raw: bool) -> None:
    rows = recorded(tmp_path / "a.h5", raw=raw)
    for camera in SCHEMA.cameras:
        store = FrameStore(tmp_path / "a.h5", camera)
        assert segmented(store) is store
        assert store.things == THINGS
        asked = np.array([5, 0, 5, 2])
        np.testing.assert_array_equal(store.maps(asked), [rows[i].maps[camera] for i in asked])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).maps(asked), store.maps(asked))
    with h5py.File(tmp_path / "a.h5") as file:  # what robomimic takes for observations is what it was
        assert set(file["data/demo_0/obs"]) == {"top", "side"}


def test_a_flat_map_is_one_of_one_channel(tmp_path: Path) -> None:
    schema = Schema({"top": (4, 6, 3)}, segmented={"top": 1}, things=("cup",))
    shown = np.eye(4, 6, dtype=np.uint8)
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(schema, {})
        episode = writer.begin()
        reused = shown.copy()
        episode.add(Row({"top": np.zeros((4, 6, 3), np.uint8)}, maps={"top": reused}))
        reused[:] = 9  # its maker may use it again
        episode.end()
    np.testing.assert_array_equal(FrameStore(tmp_path / "a.h5").maps(np.array([0]))[0, ..., 0], shown)


def test_a_recording_without_maps_says_how_to_get_them(exploration: FrameStore) -> None:
    assert exploration.things == ()
    with pytest.raises(InputError, match="does not say what the pixels of camera 'top' show: collect with --segment"):
        exploration.maps(np.array([0]))


def test_a_file_of_before_there_were_maps_is_read(tmp_path: Path) -> None:
    schema = Schema({"top": (8, 8, 3)})
    rows = recorded(tmp_path / "a.h5", schema=schema)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        record = json.loads(file["data"].attrs["schema"])
        del record["segmented"], record["things"]
        file["data"].attrs["schema"] = np.bytes_(json.dumps(record).encode())
    store = FrameStore(tmp_path / "a.h5")
    assert store.schema == schema
    np.testing.assert_array_equal(store.take(np.arange(ROWS)), [row.frames["top"] for row in rows])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row({"top": np.zeros((4, 4, 3), np.uint8)}), "lacks 'top'"),
        (Row({"top": np.zeros((4, 4, 3), np.uint8)}, maps={"top": np.zeros((4, 4), np.int64)}), "takes uint8"),
        (Row({"top": np.zeros((4, 4, 3), np.uint8)}, maps={"top": np.zeros((4, 5), np.uint8)}), "takes uint8 of"),
    ],
)
def test_a_row_without_the_map_that_was_promised_is_refused(tmp_path: Path, row: Row, message: str) -> None:
    with FrameWriter(tmp_path / "a.h5") as writer:
        writer.open(Schema({"top": (4, 4, 3)}, segmented={"top": 1}, things=("cup",)), {})
        with pytest.raises(ValueError, match=message):
            writer.begin().add(row)


@pytest.mark.parametrize(
    ("channels", "things"), [(0, ("a",)), (3, ("a",)), (1, ()), (2, tuple(str(i) for i in range(256)))]
)
def test_maps_that_mean_nothing_are_refused(tmp_path: Path, channels: int, things: tuple[str, ...]) -> None:
    schema = Schema({"top": (4, 4, 3)}, segmented={"top": channels}, things=things)
    with pytest.raises(InputError, match=f"maps of camera 'top' have {channels} channels for {len(things)} things"):
        FrameWriter(tmp_path / "a.h5").open(schema, {})


def test_recordings_with_maps_are_merged_reduced_and_resized(tmp_path: Path) -> None:
    rows = [*recorded(tmp_path / "a.h5", 1), *recorded(tmp_path / "b.h5", 2, raw=True)]
    sources = [tmp_path / "a.h5", tmp_path / "b.h5"]
    import_sources(sources, tmp_path / "both.h5")
    both = FrameStore(tmp_path / "both.h5", "side")
    np.testing.assert_array_equal(both.maps(np.arange(2 * ROWS)), [row.maps["side"] for row in rows])
    import_sources(sources, tmp_path / "small.h5", camera=["top"], size=8)
    small = FrameStore(tmp_path / "small.h5")
    assert small.schema.segmented == {"top": 1}
    # the middle of each pixel: of every two rows the second, of every three columns the middle one
    np.testing.assert_array_equal(small.maps(np.arange(2 * ROWS)), [row.maps["top"][1::2, 1::3] for row in rows])
    recorded(tmp_path / "plain.h5", schema=Schema(SCHEMA.cameras))
    with pytest.raises(InputError, match="hold different things"):
        import_sources([tmp_path / "a.h5", tmp_path / "plain.h5"], tmp_path / "no.h5")


def layered(path: Path, channels: int, seed: int, **options: Any) -> list[Row]:
    """Rows of two things whose maps have so many channels."""
    schema = Schema({"top": (4, 6, 3)}, segmented={"top": channels}, things=("cup", "plate"))
    return recorded(path, seed, schema, most=2, **options)


def told(found: NDArray[np.uint8]) -> list[tuple[int, bool, list[int]]]:
    """What a map tells of, with the pixels of each."""
    return [(item.thing, item.crowd, np.flatnonzero(item.mask).tolist()) for item in instances(found, 1)]


@pytest.mark.parametrize("counts", [(2, 4), (4, 2), (1, 4), (2, 1)])
def test_maps_of_fewer_layers_are_widened_when_merged(tmp_path: Path, counts: tuple[int, int]) -> None:
    """And tell of the same things."""
    sources = [tmp_path / "a.h5", tmp_path / "b.h5"]
    rows = [row for number, pair in enumerate(zip(sources, counts, strict=True)) for row in layered(*pair, number)]
    import_sources(sources, tmp_path / "both.h5")
    both = FrameStore(tmp_path / "both.h5")
    assert both.schema.segmented == {"top": max(counts)}
    found = both.maps(np.arange(2 * ROWS))
    assert found.shape == (2 * ROWS, 4, 6, max(counts))
    assert [told(one) for one in found] == [told(row.maps["top"]) for row in rows]


def test_maps_of_fewer_layers_are_appended_and_those_of_more_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    rows = [*layered(path, 4, 1), *layered(path, 2, 2, if_exists="append")]
    layered(tmp_path / "b.h5", 1, 3)
    import_sources([tmp_path / "b.h5"], path, if_exists="append")
    with pytest.raises(InputError, match=r"segmented cameras \(top \(4\) and top \(6\)\): import both into a new file"):
        layered(path, 6, 4, if_exists="append")
    store = FrameStore(path)
    assert store.schema.segmented == {"top": 4}
    found = store.maps(np.arange(3 * ROWS))
    assert [told(one) for one in found[: 2 * ROWS]] == [told(row.maps["top"]) for row in rows]
    assert check(store).damage == []


@pytest.mark.parametrize("first", [True, False])
def test_rows_with_and_without_maps_are_kept_apart_with_a_remedy(tmp_path: Path, first: bool) -> None:
    one, two = tmp_path / "a.h5", tmp_path / "b.h5"
    for path, schema in zip((one, two) if first else (two, one), (SCHEMA, Schema(SCHEMA.cameras)), strict=True):
        recorded(path, schema=schema)
    remedy = "different things .*: record both with --segmentation, or neither, or"
    with pytest.raises(InputError, match=f"{remedy} import them into two files"):
        import_sources([one, two], tmp_path / "no.h5")
    with pytest.raises(InputError, match=f"{remedy} choose another --out"):
        import_sources([two], one, if_exists="append")


def test_other_maps_are_another_content(tmp_path: Path) -> None:
    recorded(tmp_path / "a.h5")
    recorded(tmp_path / "raw.h5", raw=True)
    recorded(tmp_path / "b.h5", most=2)
    rows = [FrameStore(tmp_path / f"{name}.h5").take(np.arange(1)) for name in ("a", "b")]
    np.testing.assert_array_equal(*rows)  # they differ in their maps alone
    prints = [FrameStore(tmp_path / f"{name}.h5").fingerprint for name in ("a", "raw", "b")]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("raw", [False, True])
def test_damage_to_a_map_is_found(tmp_path: Path, raw: bool) -> None:
    recorded(tmp_path / "a.h5", raw=raw)
    store = FrameStore(tmp_path / "a.h5")
    assert check(store).damage == []
    place = int(store._maps.offset[2])
    with (tmp_path / "a.h5").open("r+b") as file:
        file.seek(place + 10)
        byte = file.read(1)[0]
        file.seek(place + 10)
        file.write(bytes([byte ^ 255]))
    assert any("frame 2" in sentence for sentence in check(FrameStore(tmp_path / "a.h5")).damage)


def test_a_number_that_names_nothing_is_damage(tmp_path: Path) -> None:
    recorded(tmp_path / "a.h5", most=4)
    assert any("show thing 4 of 3" in sentence for sentence in check(FrameStore(tmp_path / "a.h5")).damage)


def test_info_names_the_things(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(tmp_path / "a.h5")
    found = summary(FrameStore(tmp_path / "a.h5"))
    assert (found["things"], found["segmented"]) == (list(THINGS), ["top", "side"])
    assert main(["info", str(tmp_path / "a.h5")]) == 0
    assert "block, agent, wall; told apart pixel by pixel in top, side" in capsys.readouterr().out


def test_an_export_says_that_maps_stay_behind(tmp_path: Path) -> None:
    recorded(tmp_path / "a.h5")
    done = export_store(tmp_path / "a.h5", tmp_path / "noise-v0", "minari")
    assert any("The map of top, side is left out" in sentence for sentence in done.warnings)
