"""Bags and MCAP files: every picture with what was known at its time, whatever the writer, and damage is told."""

import base64
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import mcap.writer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from ssl_robot.datasets.importers._ros import picture
from ssl_robot.datasets.importers.images import Images
from ssl_robot.datasets.importers.mcap import Mcap
from ssl_robot.datasets.importers.rosbag import Rosbag
from ssl_robot.datasets.imports import import_sources, opened
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.frames import Row

START = 1_700_000_000 * 10**9  # nanoseconds
BEAT = 10**8  # between two pictures
ROWS = 12
ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_HUMBLE)


@dataclass(frozen=True)
class Said:
    """A message: where, of what type, when received (nanoseconds), and its fields."""

    topic: str
    kind: str
    time: int
    fields: dict[str, Any]


def header(time: int) -> dict[str, Any]:
    return {"seq": 0, "stamp": {"sec": time // 10**9, "nanosec": time % 10**9}, "frame_id": ""}


def raw(frame: NDArray[np.uint8], time: int, encoding: str = "rgb8") -> dict[str, Any]:
    h, w, c = frame.shape
    padded = np.pad(frame.reshape(h, w * c), ((0, 0), (0, 5)))  # rows may be filled up
    size = {"height": h, "width": w, "encoding": encoding, "is_bigendian": 0, "step": padded.shape[1]}
    return {"header": header(time), **size, "data": padded.reshape(-1)}


def packed(frame: NDArray[np.uint8], time: int, suffix: str = ".png") -> dict[str, Any]:
    data = cv2.imencode(suffix, frame[..., ::-1])[1].reshape(-1)
    return {"header": header(time), "format": suffix[1:], "data": data}


def joints(time: int, values: Sequence[float]) -> dict[str, Any]:
    empty = np.empty(0)
    names = ["elbow", "wrist"][: len(values)]
    return {
        "header": header(time),
        "name": names,
        "position": np.array(values, np.float64),
        "velocity": empty,
        "effort": empty,
    }


def drive(lab: Any) -> Iterator[Said]:
    """A camera, a slower one, joints and a command; all say in numbers which row of the first camera they belong to.

    The wrist's pictures and the joints are made 1 ms before a picture of the front, the command is received 2 ms
    before; nothing of them comes before row 2.
    """
    for row in range(ROWS):
        made = START + row * BEAT
        if row >= 2:
            yield Said("/cmd_vel", "geometry_msgs/msg/Twist", made - 2 * 10**6, twist(row))
            late = made + 5 * 10**7  # received after the picture of its time
            yield Said("/joint_states", "sensor_msgs/msg/JointState", late, joints(made - 10**6, (row, -row)))
        if row >= 2 and row % 3 == 2:
            seen = packed(lab.picture(1, row, 32, 48), made - 10**6)
            yield Said("/wrist/image/compressed", "sensor_msgs/msg/CompressedImage", made + 10**6, seen)
        yield Said("/front/image_raw", "sensor_msgs/msg/Image", made + 3 * 10**6, raw(lab.picture(0, row), made))


def twist(row: float) -> dict[str, Any]:
    zero = {"x": 0.0, "y": 0.0, "z": 0.0}
    return {"linear": zero | {"x": float(row)}, "angular": zero}


def built(store: Any, kind: str, fields: dict[str, Any]) -> Any:
    """A message of a type's class from nested dictionaries."""
    inner = {name: target for name, (_, target) in store.fielddefs[kind][1]}
    values = {
        name: built(store, target, fields[name]) if isinstance(fields[name], dict) else fields[name]
        for name, target in inner.items()
    }
    return store.types[kind](**values)


def recorded(messages: Sequence[Said], add: Any, write: Any, ros1: bool) -> None:
    """Hand messages in order of receipt to a writer."""
    store = ROS1 if ros1 else ROS2
    channels: dict[str, Any] = {}
    for said in sorted(messages, key=lambda said: said.time):
        if said.topic not in channels:
            channels[said.topic] = add(said.topic, said.kind)
        message = built(store, said.kind, said.fields)
        data = store.serialize_ros1(message, said.kind) if ros1 else store.serialize_cdr(message, said.kind)
        write(channels[said.topic], said.time, bytes(data))


def bag1(path: Path, messages: Sequence[Said], compression: Any = None) -> Path:
    path = path.with_suffix(".bag")
    writer = Writer1(path)
    if compression:
        writer.set_compression(compression)

    def add(topic: str, kind: str) -> Connection:
        return writer.add_connection(topic, kind, typestore=ROS1)

    with writer:
        recorded(messages, add, writer.write, ros1=True)
    return path


def bag2(path: Path, messages: Sequence[Said], plugin: Any = StoragePlugin.SQLITE3, mode: Any = None) -> Path:
    writer = Writer2(path, version=9, storage_plugin=plugin)
    if mode:
        writer.set_compression(mode, CompressionFormat.ZSTD)

    def add(topic: str, kind: str) -> Connection:
        return writer.add_connection(topic, kind, typestore=ROS2)

    with writer:
        recorded(messages, add, writer.write, ros1=False)
    return path


def bare(path: Path, messages: Sequence[Said], ros1: bool = False, **options: Any) -> Path:
    path = path.with_suffix(".mcap")
    with path.open("wb") as file:
        writer = mcap.writer.Writer(file, chunk_size=20_000, **options)
        writer.start()

        def add(topic: str, kind: str) -> int:
            text = (ROS1.generate_msgdef(kind) if ros1 else ROS2.generate_msgdef(kind, ros_version=2))[0]
            name = kind.replace("/msg/", "/") if ros1 else kind
            schema = writer.register_schema(name, "ros1msg" if ros1 else "ros2msg", text.encode())
            return writer.register_channel(topic, "ros1" if ros1 else "cdr", schema)

        def write(channel: int, time: int, data: bytes) -> None:
            writer.add_message(channel, time, data, time)

        recorded(messages, add, write, ros1)
        writer.finish()
    return path


def loose(path: Path, messages: Sequence[Said]) -> Path:
    return bare(path, messages, use_chunking=False)


def unsummed(path: Path, messages: Sequence[Said]) -> Path:
    nothing = {"index_types": mcap.writer.IndexType.NONE, "use_statistics": False, "use_summary_offsets": False}
    return bare(path, messages, repeat_channels=False, repeat_schemas=False, **nothing)


WRITERS = {
    "ros1": bag1,
    "ros1 lz4": lambda path, messages: bag1(path, messages, Writer1.CompressionFormat.LZ4),
    "ros1 bz2": lambda path, messages: bag1(path, messages, Writer1.CompressionFormat.BZ2),
    "ros2 sqlite3": bag2,
    "ros2 sqlite3 zstd": lambda path, messages: bag2(path, messages, mode=CompressionMode.MESSAGE),
    "ros2 sqlite3 zstd file": lambda path, messages: bag2(path, messages, mode=CompressionMode.FILE),
    "ros2 mcap": lambda path, messages: bag2(path, messages, StoragePlugin.MCAP),
    "mcap": bare,
    "mcap ros1": lambda path, messages: bare(path, messages, ros1=True),
    "mcap lz4": lambda path, messages: bare(path, messages, compression=mcap.writer.CompressionType.LZ4),
    "mcap without chunks": loose,
    "mcap without a summary": unsummed,
}


def warned(source: Path, **options: Any) -> str:
    return " ".join(import_sources([source], source.parent / "out.h5", if_exists="overwrite", **options).warnings)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_picture_comes_with_what_was_known_by_then(
    lab: Any, tmp_path: Path, kind: str, imported: Any, told: Any
) -> None:
    source = WRITERS[kind](tmp_path / "drive", list(drive(lab)))
    assert [cls.knows(source) for cls in (Images, Mcap, Rosbag)] == [False, kind[:4] == "mcap", kind[:3] == "ros"]
    store = imported(source)
    rows = np.arange(ROWS)
    assert list(store.schema.cameras) == ["front.image_raw", "wrist.image.compressed"]
    assert told(lab, store) == [(0, row) for row in rows]
    wrist = [max((row - 2) // 3 * 3 + 2, 2) for row in rows]
    assert told(lab, FrameStore(store.path, "wrist.image.compressed")) == [(1, row) for row in wrist]
    assert store.label_names == ("cmd_vel", "joint_states")
    assert store.label("joint_states").components == ("position.elbow", "position.wrist")
    np.testing.assert_array_equal(store.values("joint_states")[:, 0], np.maximum(rows, 2))
    np.testing.assert_array_equal(store.values("joint_states")[:, 1], -np.maximum(rows, 2))
    assert store.label("cmd_vel").components[0] == "linear.x"
    np.testing.assert_array_equal(store.values("cmd_vel")[:, 0], np.maximum(rows, 2))
    np.testing.assert_allclose(store.column("timestamps"), rows / 10, atol=1e-9)
    assert store.column("truncated").tolist() == [0] * (ROWS - 1) + [1]
    assert store.attributes["fps"] == 10
    assert store.attributes["source"] == source.name


def test_the_first_camera_named_sets_the_clock(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    source = bag1(tmp_path / "drive", list(drive(lab)))
    store = imported(source, camera=("/wrist/image/compressed", "front.image_raw"))
    assert list(store.schema.cameras) == ["wrist.image.compressed", "front.image_raw"]
    assert told(lab, FrameStore(store.path, "wrist.image.compressed")) == [(1, row) for row in (2, 5, 8, 11)]
    # made 1 ms before the pictures of the front
    assert told(lab, FrameStore(store.path, "front.image_raw")) == [(0, row) for row in (1, 4, 7, 10)]
    alone = imported(source, camera=("front.image_raw",), if_exists="overwrite", size=32)
    assert alone.shape == (32, 32, 3)
    assert list(alone.schema.cameras) == ["front.image_raw"]


def test_an_unknown_camera_is_refused(lab: Any, tmp_path: Path, refused: Any) -> None:
    source = bag1(tmp_path / "drive", list(drive(lab)))
    assert "no camera 'up': choose from front.image_raw, wrist.image.compressed" in refused(source, camera=("up",))


def test_the_file_in_a_bag_of_ros2_will_do(lab: Any, tmp_path: Path, imported: Any) -> None:
    source = bag2(tmp_path / "drive", list(drive(lab)))
    [path] = source.glob("*.db3")
    assert len(imported(path)) == ROWS


def test_pictures_without_a_stamp_count_from_their_receipt(lab: Any, tmp_path: Path, imported: Any) -> None:
    messages = [
        Said("/camera", "sensor_msgs/msg/Image", START + row * BEAT, raw(lab.picture(0, row), 0)) for row in range(5)
    ]
    messages += [
        Said("/value", "std_msgs/msg/Float64", START + row * BEAT - 1, {"data": float(row)}) for row in range(5)
    ]
    store = imported(bare(tmp_path / "drive", messages))
    assert store.values("value")[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(store.column("timestamps"), np.arange(5) / 10)


def test_a_clock_apart_from_the_recorders_is_not_believed(lab: Any, tmp_path: Path) -> None:
    values = [Said("/value", "std_msgs/msg/Float64", START + row * BEAT - 1, {"data": float(row)}) for row in range(5)]
    for name, stamp in (("simulated", lambda row: 5 + row), ("backwards", lambda row: START - row)):
        seen = [
            Said("/camera", "sensor_msgs/msg/Image", START + row * BEAT, raw(lab.picture(0, row), stamp(row)))
            for row in range(5)
        ]
        source = bare(tmp_path / name, values + seen)
        assert "times of receipt" in warned(source)
        assert FrameStore(tmp_path / "out.h5").values("value")[:, 0].tolist() == [0, 1, 2, 3, 4]
        alone = bare(tmp_path / f"{name}_alone", seen)
        assert ("times of receipt" in warned(alone)) is (name == "backwards")


def test_numbers_that_come_and_go_are_nan(lab: Any, tmp_path: Path, imported: Any) -> None:
    messages = [said for said in drive(lab) if said.topic == "/front/image_raw"]
    for row in range(ROWS):
        values = (1.0, 2.0) if row % 2 else (3.0,)
        time = START + row * BEAT - 1
        messages.append(Said("/joint_states", "sensor_msgs/msg/JointState", time, joints(time, values)))
    values = imported(bag1(tmp_path / "drive", messages)).values("joint_states")
    assert values[1::2].tolist() == [[1, 2]] * 6
    assert values[::2, 0].tolist() == [3] * 6
    assert np.isnan(values[::2, 1]).all()


def test_lenses_are_kept_and_distances_left_out(lab: Any, tmp_path: Path) -> None:
    messages = [said for said in drive(lab) if said.topic == "/front/image_raw"]
    depth = raw(np.zeros((8, 16, 1), np.uint8), START, "16UC1") | {"width": 8, "step": 21}
    messages.append(Said("/depth/image", "sensor_msgs/msg/Image", START, depth))
    region = {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
    lens = {"header": header(START), "height": 64, "width": 80, "distortion_model": "plumb_bob", "d": np.zeros(5)}
    lens |= {"k": np.arange(9.0), "r": np.zeros(9), "p": np.zeros(12), "binning_x": 0, "binning_y": 0, "roi": region}
    messages.append(Said("/front/camera_info", "sensor_msgs/msg/CameraInfo", START, lens))
    source = bag2(tmp_path / "drive", messages)
    assert "/depth/image (distances, not pictures)" in warned(source)
    store = FrameStore(tmp_path / "out.h5")
    assert list(store.schema.cameras) == ["front.image_raw"]
    assert json.loads(json.loads(store.attributes["lenses"])["/front/camera_info"])["K"] == list(range(9))


def plane(encoding: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as a camera of some layout sends it."""
    red, green, blue = np.moveaxis(frame, 2, 0)
    if encoding.startswith("bayer"):
        colours = dict(zip("rgb", (red, green, blue), strict=True))
        mosaic = np.empty_like(red)
        for place, letter in enumerate(encoding[6:10]):
            y, x = divmod(place, 2)
            mosaic[y::2, x::2] = colours[letter][y::2, x::2]
        return mosaic[..., None]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    opaque = np.full_like(red, 9)
    return np.stack(
        {
            "rgb8": (red, green, blue),
            "bgr8": (blue, green, red),
            "8UC3": (blue, green, red),
            "rgba8": (red, green, blue, opaque),
            "bgra8": (blue, green, red, opaque),
            "mono8": (gray,),
            "8UC1": (gray,),
            "mono16": (opaque, gray),
            "rgb16": (opaque, red, opaque, green, opaque, blue),
        }[encoding],
        axis=-1,
    )


LAYOUTS = ["rgb8", "bgr8", "8UC3", "rgba8", "bgra8", "mono8", "8UC1", "mono16", "rgb16"]
LAYOUTS += [f"bayer_{order}8" for order in ("rggb", "bggr", "gbrg", "grbg")]


@pytest.mark.parametrize("encoding", LAYOUTS)
def test_layouts_become_rgb(encoding: str) -> None:
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[...] = 200, 120, 40
    sent = plane(encoding, frame)
    fields = raw(sent, 0, encoding) | {"width": 24}
    message = built(ROS2, "sensor_msgs/msg/Image", fields)
    gray = int(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[0, 0])
    expected = [gray] * 3 if encoding in ("mono8", "8UC1", "mono16") else [200, 120, 40]
    found = picture(message)
    assert found.shape == frame.shape
    assert found[4, 4].tolist() == found[5, 5].tolist() == expected


def test_big_endian_pictures_keep_their_upper_bytes() -> None:
    sent = np.stack([np.full((4, 6), 7, np.uint8), np.zeros((4, 6), np.uint8)], axis=-1)
    fields = raw(sent, 0, "mono16") | {"is_bigendian": 1}
    assert (picture(built(ROS2, "sensor_msgs/msg/Image", fields)) == 7).all()


def foxglove(path: Path, lab: Any, add: Any, encoding: str) -> Path:
    """Pictures and a number as Foxglove's own recorder writes them."""
    path = path.with_suffix(".mcap")
    with path.open("wb") as file:
        writer = mcap.writer.Writer(file)
        writer.start()
        channels = add(writer)
        for row in range(5):
            time = START + row * BEAT
            data = cv2.imencode(".png", lab.picture(0, row))[1].tobytes()
            for channel, message in channels(row, time, data):
                writer.add_message(channel, time + 7, message, time + 7)
        writer.finish()
    return path


def test_foxgloves_json_is_read(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    def add(writer: Any) -> Any:
        schema = writer.register_schema("foxglove.CompressedImage", "jsonschema", b"{}")
        camera, value = (writer.register_channel(name, "json", schema) for name in ("/camera", "/unused"))
        value = writer.register_channel("pose", "json", writer.register_schema("Pose", "jsonschema", b"{}"))

        def messages(row: int, time: int, data: bytes) -> Any:
            stamp = {"sec": time // 10**9, "nsec": time % 10**9}
            image = {"timestamp": stamp, "frame_id": "", "format": "png", "data": base64.b64encode(data).decode()}
            pose = {"timestamp": stamp, "position": {"x": row}, "list": [row, 2], "text": "a", "none": None}
            return [(camera, json.dumps(image).encode()), (value, json.dumps(pose).encode())]

        return messages

    store = imported(foxglove(tmp_path / "fox", lab, add, "json"))
    assert told(lab, store) == [(0, row) for row in range(5)]
    assert store.label("pose").components == ("position.x", "list.0", "list.1")
    assert store.values("pose")[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_foxgloves_protobuf_is_read(lab: Any, tmp_path: Path, imported: Any, told: Any) -> None:
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="image.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    kind = file.message_type.add(name="CompressedImage")
    stamp = ".google.protobuf.Timestamp"
    kind.field.add(name="timestamp", number=1, type=field.TYPE_MESSAGE, label=1, type_name=stamp)
    kind.field.add(name="data", number=2, type=field.TYPE_BYTES, label=1)
    kind.field.add(name="format", number=3, type=field.TYPE_STRING, label=1)
    other = file.message_type.add(name="Speed")
    other.field.add(name="metres", number=1, type=field.TYPE_DOUBLE, label=1)
    time_file = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(time_file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(time_file)
    pool.Add(file)
    files = descriptor_pb2.FileDescriptorSet(file=[file, time_file]).SerializeToString()
    image_class, speed_class = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}"))
        for name in ("CompressedImage", "Speed")
    )

    def add(writer: Any) -> Any:
        camera, speed = (
            writer.register_channel(topic, "protobuf", writer.register_schema(f"foxglove.{name}", "protobuf", files))
            for topic, name in (("/camera", "CompressedImage"), ("/speed", "Speed"))
        )

        def messages(row: int, time: int, data: bytes) -> Any:
            image = image_class(data=data, format="png")
            image.timestamp.FromNanoseconds(time)
            return [(speed, speed_class(metres=row).SerializeToString()), (camera, image.SerializeToString())]

        return messages

    store = imported(foxglove(tmp_path / "fox", lab, add, "protobuf"))
    assert told(lab, store) == [(0, row) for row in range(5)]
    assert store.label("speed").components == ("metres",)
    np.testing.assert_allclose(store.column("timestamps"), np.arange(5) / 10)


def test_topics_that_cannot_be_read_are_named(lab: Any, tmp_path: Path, refused: Any) -> None:
    def add(writer: Any) -> Any:
        schema = writer.register_schema("foxglove.CompressedImage", "flatbuffer", b"")
        channel = writer.register_channel("/camera", "flatbuffer", schema)
        return lambda row, time, data: [(channel, data)]

    message = refused(foxglove(tmp_path / "fox", lab, add, "flatbuffer"))
    assert "no pictures that can be read: it has /camera (flatbuffer, an encoding that is not read)" in message


def test_a_bag_without_cameras_is_refused(lab: Any, tmp_path: Path, refused: Any) -> None:
    messages = [said for said in drive(lab) if "image" not in said.topic]
    message = refused(bag2(tmp_path / "drive", messages))
    assert "no pictures that can be read: it has /cmd_vel (Twist), /joint_states (JointState)" in message
    assert "it is empty" in refused(bare(tmp_path / "empty", []))


def test_different_sizes_need_one(lab: Any, tmp_path: Path, imported: Any, refused: Any) -> None:
    messages = list(drive(lab))
    seen = raw(lab.picture(0, ROWS, 32, 48), START + ROWS * BEAT)
    messages.append(Said("/front/image_raw", "sensor_msgs/msg/Image", START + ROWS * BEAT + 1, seen))
    source = bag1(tmp_path / "drive", messages)
    message = refused(source)
    assert "Camera front.image_raw" in message
    assert "of 80 x 64 and of 48 x 32 pixels" in message
    assert "--size" in message
    assert len(imported(source, size=32)) == ROWS + 1


def test_a_damaged_picture_can_be_left_out_with_its_recording(lab: Any, tmp_path: Path, refused: Any) -> None:
    messages = list(drive(lab))
    bad = packed(lab.picture(1, 20, 32, 48), START + 5 * BEAT)
    bad["data"] = bad["data"][:-20]
    messages.append(Said("/wrist/image/compressed", "sensor_msgs/msg/CompressedImage", START + 5 * BEAT, bad))
    bad_bag, good_bag = bag1(tmp_path / "bad", messages), bag1(tmp_path / "good", list(drive(lab)))
    message = refused(bad_bag)
    assert message.startswith(f"{bad_bag} is damaged: topic /wrist/image/compressed: it has a picture that cannot be")
    assert "--skip-bad" in message
    done = import_sources([bad_bag, good_bag], tmp_path / "out.h5", skip_bad=True)
    assert (done.episodes, done.frames, len(done.skipped)) == (1, ROWS, 1)


@pytest.mark.parametrize("kind", ["ros1", "ros2 sqlite3", "ros2 mcap", "mcap", "mcap without chunks"])
@pytest.mark.parametrize("part", [0, 0.4, 0.95])
def test_a_cut_recording_is_refused(lab: Any, tmp_path: Path, kind: str, part: float, refused: Any) -> None:
    source = WRITERS[kind](tmp_path / "drive", list(drive(lab)))
    path = source if source.is_file() else next(path for path in source.iterdir() if path.suffix != ".yaml")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    message = refused(source)
    assert message.startswith(f"{source} is damaged")
    assert "copy it again" in message


def test_lost_messages_are_noticed(lab: Any, tmp_path: Path, refused: Any) -> None:
    source = bag2(tmp_path / "drive", list(drive(lab)))
    path = source / "metadata.yaml"
    path.write_text(path.read_text().replace(f"message_count: {ROWS}\n", f"message_count: {ROWS + 3}\n"))
    assert f"topic /front/image_raw has {ROWS} of {ROWS + 3} messages" in refused(source)
    path.write_text("rosbag2_bagfile_information: [")
    assert "is damaged or not closed" in refused(source)
    path.unlink()
    assert not Rosbag.knows(source)


def test_other_files_are_not_claimed(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "text.txt").write_text("text")
    for cls in (Mcap, Rosbag):
        assert not cls.knows(tmp_path / "text.txt")
        assert not cls.knows(tmp_path)
        assert not cls.knows(tmp_path / "nowhere")
    (tmp_path / "text.bag").write_text("text")
    assert "is damaged or not closed" in refused(tmp_path / "text.bag")
    with pytest.raises(InputError, match="is no MCAP file"):
        opened(tmp_path / "text.txt", "mcap", None, ())


@pytest.fixture(scope="module")
def bags(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bags")
    messages = list(drive(lab))[:12]
    found = [bag1(folder / "one", messages), bag2(folder / "two", messages), bare(folder / "three", messages)]
    return [*found, bag2(folder / "four", messages, StoragePlugin.MCAP)]


def read(source: Path) -> list[Row] | str:
    """The rows of a source, or the sentence that says why there are none."""
    try:
        importer = opened(source, "mcap" if source.suffix == ".mcap" else "rosbag", None, ())
        return [row for episode in importer.episodes() for row in episode.rows()]
    except InputError as error:
        return str(error)


@settings(max_examples=120)
@given(st.data())
def test_any_damage_is_a_sentence_or_a_recording(bags: list[Path], data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(bags))
    source = whole.parent / "damaged" / whole.name
    shutil.rmtree(source.parent, ignore_errors=True)
    source.parent.mkdir()
    (shutil.copytree if whole.is_dir() else shutil.copyfile)(whole, source)
    path = data.draw(st.sampled_from(sorted(source.iterdir()) if source.is_dir() else [source]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = read(source)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert 1 <= len(found) <= ROWS
        assert all(row.frames.keys() == found[0].frames.keys() for row in found)
