"""Messages of ROS 1, ROS 2 and Foxglove: when they were made, and the pictures and numbers in them."""

import base64
import dataclasses
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from ssl_robot.datasets.pictures import DamageError, decoded

PICTURES = {"Image", "RawImage", "CompressedImage"}
LENSES = {"CameraInfo", "CameraCalibration"}
# what the system says about itself, transforms of changing frames, and points too many to be labels
SILENT = {"Clock", "Log", "ParameterEvent", "DiagnosticArray", "TFMessage", "FrameTransforms", "PointCloud2"}

# Channels and conversion to RGB of the pictures' layouts; those of 16 bits are told by their names of 8 bits.
_LAYOUTS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    # OpenCV names a pattern by its second row and column, ROS by its first
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUYV),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUYV),
}
_DISTANCES = ("16UC1", "32FC1", "64FC1")
_HEADS = {"header", "timestamp", "layout", "structure_needs_at_least_one_member"}  # fields that are no measurements
_BLOBS = ("u1", "i1")


@dataclass(frozen=True)
class Topic:
    """What is said under one name.

    Attributes:
        name: As in ``/camera/image_raw``.
        kind: Last part of the messages' type, as in ``CompressedImage``.
        read: Turns the bytes of a message into an object with its fields.
        stamp: When a message says it was made, nanoseconds; 0 where it does not.
        count: How many messages there are; ``None`` where the recording does not say.
    """

    name: str
    kind: str
    read: Callable[[bytes], Any]
    stamp: Callable[[bytes], int]
    count: int | None = None


def ros_topic(name: str, kind: str, store: Typestore, ros1: bool, count: int | None = None) -> Topic:
    """A topic of ROS.

    Args:
        name: Of the topic.
        kind: Type of its messages, as in ``sensor_msgs/msg/Image``.
        store: Knows the type.
        ros1: The bytes are as ROS 1 writes them, else CDR.
        count: How many messages there are.

    Raises:
        KeyError: If the store does not know the type.
    """
    deserialize = store.deserialize_ros1 if ros1 else store.deserialize_cdr
    fields = store.fielddefs[kind][1]
    target = fields[0][1][1] if fields else ""

    def stamp(data: bytes) -> int:
        if target not in ("std_msgs/msg/Header", "builtin_interfaces/msg/Time"):
            return 0
        if ros1:  # a header of ROS 1 begins with a counter
            seconds, nanoseconds = struct.unpack_from("<II", data, 4 if str(target).endswith("Header") else 0)
        else:
            seconds, nanoseconds = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
        return int(seconds) * 10**9 + int(nanoseconds)

    return Topic(name, kind.rpartition("/")[2], lambda data: deserialize(data, kind), stamp, count)


def stamp_of(message: object) -> int:
    """When a decoded message says it was made, nanoseconds; 0 where it does not."""
    time = getattr(getattr(message, "header", None), "stamp", None) or getattr(message, "timestamp", None)
    parts = [
        next((int(getattr(time, name)) for name in names if hasattr(time, name)), 0)
        for names in (("sec", "secs", "seconds"), ("nsec", "nsecs", "nanosec", "nanos"))
    ]
    return parts[0] * 10**9 + parts[1]


def is_distance(message: Any) -> bool:
    """Whether a picture's pixels are distances instead of colours."""
    form = str(getattr(message, "encoding", "") or getattr(message, "format", ""))
    return form.startswith(_DISTANCES) or "compressedDepth" in form


def encoded(message: Any) -> bytes:
    """The bytes of a picture, in whatever way the recording keeps bytes."""
    data = message.data
    return base64.b64decode(data) if isinstance(data, str) else bytes(data)


def picture(message: Any) -> NDArray[np.uint8]:
    """The picture in a message, RGB (h, w, 3); of 16 bits the upper 8, of one colour per pixel the others guessed.

    Raises:
        DamageError: If it cannot be decoded, is of an unknown layout or has too few bytes.
    """
    if not hasattr(message, "encoding"):
        found = decoded(encoded(message))
        if found is None:
            raise DamageError(f"it has a picture that cannot be decoded (format '{getattr(message, 'format', '')}')")
        return found
    name = str(message.encoding)
    bits = 2 if "16" in name else 1
    if name.replace("16", "8") not in _LAYOUTS:
        raise DamageError(f"it has a picture of an unknown encoding '{name}'")
    channels, conversion = _LAYOUTS[name.replace("16", "8")]
    plane = _plane(message, channels, bits)
    if conversion is None:
        return np.ascontiguousarray(plane)
    return cv2.cvtColor(np.ascontiguousarray(plane), conversion).astype(np.uint8, copy=False)


def _plane(message: Any, channels: int, bits: int) -> NDArray[np.uint8]:
    """The pixels of a raw picture without what fills up its rows, (h, w, channels)."""
    h, w, data = int(message.height), int(message.width), np.frombuffer(encoded(message), np.uint8)
    used = w * channels * bits
    step = int(message.step) or used
    if not (h and w) or step < used or data.size < h * step:
        raise DamageError(f"it has a picture of {w} x {h} pixels that takes {data.size} bytes")
    plane = data[: h * step].reshape(h, step)[:, :used]
    if bits == 2:
        plane = plane[:, 0 if getattr(message, "is_bigendian", 0) else 1 :: 2]
    return plane.reshape(h, w, channels)


def numbers(message: object, prefix: str = "") -> dict[str, float]:
    """Every number in a message by the path of its field, as ``pose.position.x`` or ``position.elbow``.

    Arrays of bytes and of messages are left out, and so are headers. Numbers in an array are named by the texts in
    the message's own ``name``, where it has as many, else counted.
    """
    found: dict[str, float] = {}
    for name, value in _fields(message):
        if name in _HEADS or value is None or isinstance(value, (str, bytes)):
            continue
        if isinstance(value, (bool, int, float, np.number, np.bool_)):
            found[prefix + name] = float(value)
        elif not hasattr(value, "__len__"):
            found |= numbers(value, f"{prefix}{name}.")
        elif _is_array(value):
            marks = _marks(getattr(message, "name", None), len(value))
            found |= {f"{prefix}{name}.{mark}": float(number) for mark, number in zip(marks, value, strict=True)}
    return found


def _fields(message: object) -> Iterator[tuple[str, Any]]:
    """Names and values of a message's fields: of ROS, of protobuf, or of JSON."""
    if dataclasses.is_dataclass(message):
        names = [field.name for field in dataclasses.fields(message)]
    elif hasattr(message, "DESCRIPTOR"):
        names = [field.name for field in message.DESCRIPTOR.fields]
    else:
        names = list(getattr(message, "__dict__", ()))
    return ((name, getattr(message, name)) for name in names)


def _is_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" and value.dtype.str[1:] not in _BLOBS
    return all(isinstance(item, (bool, int, float)) for item in value)


def _marks(names: Any, count: int) -> Sequence[object]:
    if isinstance(names, list) and len(set(map(str, names))) == count:
        return names
    return range(count)
