"""Bags of ROS 1 (a ``.bag`` file) and ROS 2 (a folder with ``metadata.yaml``), read without ROS."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_typestore

from ssl_robot.datasets.importers._bag import Tape, begins
from ssl_robot.datasets.importers._ros import Topic, ros_topic
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import line
from ssl_robot.errors import InputError

_MAGIC = b"#ROSBAG V"
_FILES = {".bag", ".db3"}


class Rosbag:
    """A bag, which is one episode; topics of pictures are its cameras, other topics of numbers its labels.

    Which message belongs to which frame is told by ``Tape``. A camera is called by its topic, with dots for slashes,
    and so is a label. What a camera's lens is, is kept among the attributes.

    Args:
        source: The file of ROS 1, the folder of ROS 2, or the ``.db3`` file in one.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep, by topic or name, the first of which sets the clock; all if none is given.

    Raises:
        InputError: If it is damaged, or has no pictures that can be read or no such camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        if not self.knows(source):
            raise InputError(
                f"{source} is no bag: give the .bag file of ROS 1, or the folder of ROS 2 with its metadata.yaml."
            )
        bag = _Bag(source)
        self._tape = Tape(bag, source, size, cameras)
        self.schema, self.warnings = self._tape.schema, self._tape.warnings
        self.attributes = {**self._tape.attributes, "source_format": "ROS 1 bag" if bag.ros1 else "ROS 2 bag"}

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is a bag of ROS 1 by its first bytes, or one of ROS 2 by its names."""
        try:
            if source.is_dir():
                return (source / "metadata.yaml").is_file()
            return source.suffix.lower() in _FILES or begins(source, _MAGIC)
        except OSError:
            return False

    def episodes(self) -> list[Episode]:
        """The bag, as the only episode."""
        return self._tape.episodes()


class _Bag:
    """A bag and the types of its messages."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.ros1 = source.is_file() and source.suffix != ".db3"
        # bags of ROS 2 before Iron do not tell what their messages look like
        older = get_typestore(Stores.ROS2_HUMBLE)
        try:
            with AnyReader([source], default_typestore=older) as reader:
                store = reader.typestore
                found = {name: (info.msgtype, info.msgcount) for name, info in reader.topics.items()}
        except Exception as error:  # the library raises whatever damaged bytes lead it to
            remedy = "'rosbag reindex'" if self.ros1 else "'ros2 bag reindex'"
            raise InputError(
                f"{source} is damaged or not closed ({line(error) or type(error).__name__}): "
                f"copy it again, or mend it with {remedy}."
            ) from None
        known = {name: kind for name, (kind, _) in found.items() if kind in store.fielddefs}
        self.topics: Mapping[str, Topic] = {
            name: ros_topic(name, kind, store, self.ros1, found[name][1]) for name, kind in known.items() if kind
        }
        self.unread: Mapping[str, str] = {
            name: f"unknown type {kind}" for name, (kind, _) in found.items() if name not in known
        }

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of receipt (nanoseconds) and bytes of each message."""
        # a reader of its own for each pass: they have one place in the file, and passes go on side by side
        with Reader1(self._source) if self.ros1 else Reader2(self._source) as reader:
            wanted = [connection for connection in reader.connections if connection.topic in topics]
            if wanted:
                for connection, time, data in reader.messages(wanted):
                    yield connection.topic, time, data
