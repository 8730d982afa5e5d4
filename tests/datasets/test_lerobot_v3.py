"""LeRobot v3: many episodes in one file, and every frame still stays with its row."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ssl_robot.datasets.importers import _reel
from ssl_robot.datasets.importers.lerobot import Lerobot
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.pictures import DamageError, pixels
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

CAMERA = "observation.images.cam_high"
LENGTHS = {0: 20, 1: 7, 2: 13, 3: 5}
DATA_FILES = {0: 0, 1: 0, 2: 1, 3: 1}
VIDEO_FILES = {0: 0, 1: 0, 2: 0, 3: 1}
TASKS = ["Count.", "Count backwards."]
FPS = 10


def film(
    lab: Any, path: Path, episodes: Sequence[int], lengths: Mapping[int, int], codec: str, options: Any = None
) -> None:
    """A video of several episodes, one behind the other, presented in another order than stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "yuv420p"
        stream.options = {"bf": "3", "g": "12"} if codec == "libx264" else {"preset": "12", "svtav1-params": "lp=1"}
        stream.options |= options or {}
        pictures = [lab.picture(episode, row) for episode in episodes for row in range(lengths[episode])]
        for count, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = count
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def data(root: Path, file: int) -> Path:
    return root / f"data/chunk-000/file-{file:03d}.parquet"


def video(root: Path, file: int) -> Path:
    return root / f"videos/{CAMERA}/chunk-000/file-{file:03d}.mp4"


EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def write(
    lab: Any, root: Path, kind: str = "video", codec: str = "libx264", lengths: Mapping[int, int] = LENGTHS
) -> Path:
    """A dataset of version 3, its episodes over two files of each kind."""
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    number = {"dtype": "int64", "shape": [1], "names": None}
    features = {
        "observation.state": {"dtype": "float32", "shape": [3], "names": ["shoulder", "elbow", "grip"]},
        "action": {"dtype": "float32", "shape": [2], "names": ["pull", "push"]},
        CAMERA: {"dtype": kind, "shape": [64, 80, 3], "names": ["height", "width", "channels"]},
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), number),
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    info = {
        "codebase_version": "v3.0",
        "robot_type": "counter",
        "fps": FPS,
        "chunks_size": 1000,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    table = pyarrow.table({"task_index": [1, 0], "__index_level_0__": TASKS[::-1]})
    pyarrow.parquet.write_table(table, root / "meta/tasks.parquet")
    write_data(lab, root, kind, lengths)
    seconds = dict.fromkeys(VIDEO_FILES.values(), 0.0)
    records, first = [], 0
    for episode, rows in lengths.items():
        file = VIDEO_FILES[episode]
        begin, seconds[file] = seconds[file], seconds[file] + rows / FPS
        records.append(
            {
                "episode_index": episode,
                "tasks": [TASKS[episode % 2]],
                "length": rows,
                "data/chunk_index": 0,
                "data/file_index": DATA_FILES[episode],
                "dataset_from_index": first,
                "dataset_to_index": first + rows,
                f"videos/{CAMERA}/chunk_index": 0,
                f"videos/{CAMERA}/file_index": file,
                f"videos/{CAMERA}/from_timestamp": begin,
                f"videos/{CAMERA}/to_timestamp": seconds[file],
                "stats/action/mean": [0.0, 0.0],
            }
        )
        first += rows
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), root / EPISODES)
    if kind == "video":
        for file in sorted(set(VIDEO_FILES.values())):
            episodes = [episode for episode in lengths if VIDEO_FILES[episode] == file]
            if episodes:
                film(lab, video(root, file), episodes, lengths, codec)
    return root


def write_data(lab: Any, root: Path, kind: str, lengths: Mapping[int, int]) -> None:
    for file in sorted(set(DATA_FILES.values())):
        parts = []
        for episode in (episode for episode in lengths if DATA_FILES[episode] == file):
            columns = lab.numbers(episode, lengths[episode])
            if kind == "image":
                encoded = [cv2.imencode(".png", lab.picture(episode, row))[1] for row in range(lengths[episode])]
                columns[CAMERA] = [{"bytes": item.tobytes(), "path": f"{i}.png"} for i, item in enumerate(encoded)]
            parts.append(pyarrow.table(columns))
        if parts:
            data(root, file).parent.mkdir(parents=True, exist_ok=True)
            # row groups that begin and end within episodes
            pyarrow.parquet.write_table(pyarrow.concat_tables(parts), data(root, file), row_group_size=6)


@pytest.fixture
def counter(lab: Any, tmp_path: Path) -> Path:
    return write(lab, tmp_path / "counter")


def imported(source: Path, **options: Any) -> FrameStore:
    import_sources([source], source.parent / "out.h5", **options)
    return FrameStore(source.parent / "out.h5")


def described(store: FrameStore) -> list[tuple[int, int]]:
    return [(int(episode), int(row)) for row, episode, _ in store.values("observation.state")]


def everything(lengths: Mapping[int, int] = LENGTHS) -> list[tuple[int, int]]:
    return [(episode, row) for episode, rows in lengths.items() for row in range(rows)]


@pytest.mark.parametrize(
    ("kind", "codec", "size"),
    [("video", "libx264", None), ("video", "libsvtav1", 32), ("image", "", None), ("image", "", 32)],
)
def test_every_frame_stays_with_its_row(
    lab: Any, tmp_path: Path, kind: str, codec: str, size: int | None, told: Any
) -> None:
    store = imported(write(lab, tmp_path / "set", kind, codec), size=size)
    assert store.shape == ((64, 80, 3) if size is None else (size, size, 3))
    assert told(lab, store) == described(store) == everything()
    assert np.bincount(store.episodes).tolist() == list(LENGTHS.values())
    np.testing.assert_array_equal(store.values("actions"), -store.values("observation.state")[:, :2])


def test_embedded_pictures_lose_nothing(lab: Any, tmp_path: Path) -> None:
    store = imported(write(lab, tmp_path / "set", "image"))
    expected = np.stack([lab.picture(episode, row) for episode, row in everything()])
    np.testing.assert_array_equal(store.take(np.arange(len(store))), expected)


def test_provenance_and_tasks(counter: Path) -> None:
    store = imported(counter)
    assert {"source": "counter", "source_format": "LeRobot v3.0", "fps": FPS}.items() <= store.attributes.items()
    assert json.loads(store.attributes["tasks"]) == TASKS
    assert [demo.facts["task"] for demo in store.demonstrations] == [TASKS[0], TASKS[1]] * 2


def test_a_video_of_many_episodes_is_decoded_once(counter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, seeks = [], []
    step = _reel.Reel._step
    monkeypatch.setattr(_reel.Reel, "_step", lambda reel: (steps.append(1), step(reel))[1])
    monkeypatch.setattr(_reel.Reel, "_seek", lambda reel, *_: seeks.append(1))
    imported(counter)
    assert len(steps) == sum(LENGTHS.values())
    assert not seeks


def test_episodes_can_be_read_in_any_order_and_side_by_side(counter: Path, lab: Any) -> None:
    episodes = Lerobot(counter, None, ()).episodes()
    for number in (2, 0, 3, 1, 0):
        seen = [lab.read_picture(row.frames["cam_high"]) for row in episodes[number].rows()]
        assert seen == [(number, row) for row in range(LENGTHS[number])]
    pairs = list(zip(episodes[0].rows(), episodes[2].rows(), strict=False))
    for row, (one, other) in enumerate(pairs):
        assert lab.read_picture(one.frames["cam_high"]) == (0, row)
        assert lab.read_picture(other.frames["cam_high"]) == (2, row)


def test_frames_far_apart_are_found_by_seeking(
    counter: Path, lab: Any, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    monkeypatch.setattr(_reel, "_FORWARD", 0.0)
    assert told(lab, imported(counter)) == everything()


def test_rows_of_their_own_are_independent(lab: Any, tmp_path: Path, told: Any) -> None:
    lengths = {0: 1, 2: 1}
    store = imported(write(lab, tmp_path / "set", "image", lengths=lengths))
    assert [(demo.rows, demo.independent) for demo in store.demonstrations] == [(2, True)]
    assert told(lab, store) == everything(lengths)


def no_data(root: Path) -> None:
    data(root, 1).unlink()


def cut_data(root: Path) -> None:
    data(root, 1).write_bytes(data(root, 1).read_bytes()[:-40])


def lost_rows(root: Path) -> None:
    table = pyarrow.parquet.read_table(data(root, 1))
    pyarrow.parquet.write_table(table.slice(2), data(root, 1))


def lost_episode(root: Path) -> None:
    table = pyarrow.parquet.read_table(data(root, 1))
    pyarrow.parquet.write_table(table.slice(LENGTHS[2]), data(root, 1))


def mixed_rows(root: Path) -> None:
    table = pyarrow.parquet.read_table(data(root, 1))
    pyarrow.parquet.write_table(table.take([*range(1, len(table)), 0]), data(root, 1))


def lost_column(root: Path) -> None:
    table = pyarrow.parquet.read_table(data(root, 1))
    pyarrow.parquet.write_table(table.drop_columns(["action"]), data(root, 1))


def no_video(root: Path) -> None:
    video(root, 0).unlink()


def cut_video(root: Path) -> None:
    video(root, 0).write_bytes(video(root, 0).read_bytes()[: video(root, 0).stat().st_size * 9 // 10])


def span(root: Path, episode: int, edge: str, change: float | None) -> None:
    """Move the beginning or end of an episode's stretch of the video."""
    records = pyarrow.parquet.read_table(root / EPISODES).to_pylist()
    key = f"videos/{CAMERA}/{edge}_timestamp"
    records[episode][key] = None if change is None else records[episode][key] + change
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), root / EPISODES)


def short_span(root: Path) -> None:
    span(root, 2, "to", -0.1)


def late_span(root: Path) -> None:
    span(root, 2, "from", 0.1)
    span(root, 2, "to", 0.1)


def shifted_span(root: Path) -> None:
    span(root, 2, "from", 0.049)
    span(root, 2, "to", 0.049)


def no_span(root: Path) -> None:
    span(root, 2, "from", None)


DAMAGES = [
    (no_data, 2, "data/chunk-000/file-001.parquet is missing"),
    (cut_data, 2, "file-001.parquet cannot be read"),
    (lost_rows, 2, "has 11 rows of it where meta/episodes says 13"),
    (lost_episode, 2, "has no rows of it"),
    (mixed_rows, 2, "has rows of other episodes among its own"),
    (lost_column, 2, "no column action"),
    (no_video, 0, "file-000.mp4 is missing"),
    (short_span, 2, "has 12 frames of it where it has 13 rows"),
    (late_span, 2, "has no frame at 4.000 s, where row 12 of 13 belongs"),
    (no_span, 2, f"meta/episodes has no videos/{CAMERA}/from_timestamp"),
]


@pytest.mark.parametrize(("damage", "episode", "sentence"), DAMAGES)
def test_a_damaged_episode_is_told_and_can_be_left_out(
    counter: Path, lab: Any, damage: Any, episode: int, sentence: str, told: Any
) -> None:
    damage(counter)
    out = counter.parent / "out.h5"
    with pytest.raises(InputError) as caught:
        import_sources([counter], out)
    message = str(caught.value)
    assert message.startswith(f"Episode {episode} of {counter} is damaged: ")
    assert sentence in message
    assert "\n" not in message
    assert not out.exists()
    import_sources([counter], out, skip_bad=True)
    assert told(lab, FrameStore(out)) == described(FrameStore(out))
    assert episode not in {number for number, _ in described(FrameStore(out))}


def test_less_than_half_a_frame_is_no_damage(counter: Path, lab: Any, told: Any) -> None:
    shifted_span(counter)
    assert told(lab, imported(counter)) == everything()


def test_flipped_bits_in_a_video_are_seldom_painted_over(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    film(lab, path, [0, 1, 2], LENGTHS, "libx264")
    whole = path.read_bytes()

    def seen() -> list[Any] | None:
        reel = _reel.Reel()
        try:
            frames = [reel.at(path, "it", row / FPS, 0.05) for row in range(40)]
        except DamageError:
            return None
        finally:
            reel.close()
        return None if None in frames else [pixels(frame).tobytes() for frame in frames if frame is not None]

    sound, painted = seen(), 0
    places = range(len(whole) * 3 // 5, len(whole), 11)  # pictures alone: the index is at the front
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        painted += seen() not in (None, sound)
    assert painted < len(places) / 10  # without care, most of them


def test_frames_after_a_key_frame_may_need_those_before_it(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "open.mp4"
    film(lab, path, [0, 1, 2, 3], dict.fromkeys(range(4), 60), "libx264", {"g": "24", "x264-params": "open-gop=1"})
    for place in range(130, 240):
        reel = _reel.Reel()
        reel.at(path, "it", 0, 0.05)
        found = reel.at(path, "it", place / FPS, 0.05)
        assert found is not None
        assert lab.read_picture(pixels(found)) == divmod(place, 60)


def test_tags_of_a_video_may_be_in_any_encoding(counter: Path, lab: Any, told: Any) -> None:
    path = video(counter, 0)
    content = path.read_bytes()
    assert content.count(b"Lavf") == 1
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert told(lab, imported(counter)) == everything()


def test_episodes_before_the_cut_of_a_video_are_kept(counter: Path, lab: Any, told: Any) -> None:
    cut_video(counter)
    out = counter.parent / "out.h5"
    done = import_sources([counter], out, skip_bad=True)
    assert told(lab, FrameStore(out)) == described(FrameStore(out))
    assert {episode for episode, _ in described(FrameStore(out))} == {0, 1, 3}
    assert done.skipped
    assert all("mp4" in sentence for sentence in done.skipped)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(EPISODES, "has no parquet file"), ("meta/tasks.parquet", "tasks.parquet cannot be read")],
)
def test_missing_lists_are_refused(counter: Path, name: str, sentence: str) -> None:
    (counter / name).unlink()
    with pytest.raises(InputError, match=sentence):
        Lerobot(counter, None, ())


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("length", None, "has no column length"),
        ("length", [20, 7, 13, -5], "count nothing"),
        ("length", [0, 0, 0, 0], "has no frames"),
        ("data/file_index", [0, 0, None, 1], "count nothing"),
    ],
)
def test_damaged_lists_are_refused(counter: Path, column: str, values: list[Any] | None, sentence: str) -> None:
    table = pyarrow.parquet.read_table(counter / EPISODES).drop_columns([column])
    table = table if values is None else table.append_column(column, pyarrow.array(values, pyarrow.int64()))
    pyarrow.parquet.write_table(table, counter / EPISODES)
    with pytest.raises(InputError, match=sentence):
        Lerobot(counter, None, ())


def test_depth_kept_as_video_is_left_out(counter: Path) -> None:
    path = counter / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.depth"] = {
        "dtype": "video",
        "shape": [64, 80, 1],
        "info": {"video.is_depth_map": True},
    }
    path.write_text(json.dumps(info))
    importer = Lerobot(counter, None, ())
    assert list(importer.schema.cameras) == ["cam_high"]
    assert "observation.images.depth is left out: it is a map of depth kept as a video." in importer.warnings
