"""MCAP files with messages of ROS 1 or ROS 2, or in JSON or protobuf as Foxglove writes them."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mcap.reader
import mcap.records
import mcap.stream_reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.msg import normalize_msgtype

from ssl_robot.datasets.importers._bag import Tape, begins
from ssl_robot.datasets.importers._ros import Topic, ros_topic, stamp_of
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import line
from ssl_robot.errors import InputError

_MAGIC = b"\x89MCAP0\r\n"
_RULE = 80 * "=" + "\n"  # between the definitions of one type


class Mcap:
    """An MCAP file, which is one episode; topics of pictures are its cameras, other topics of numbers its labels.

    Which message belongs to which frame is told by ``Tape``. A camera is called by its topic, with dots for slashes,
    and so is a label. What a camera's lens is, is kept among the attributes.

    Args:
        source: The file.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep, by topic or name, the first of which sets the clock; all if none is given.

    Raises:
        InputError: If it is damaged, or has no pictures that can be read or no such camera.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        if not self.knows(source):
            raise InputError(f"{source} is no MCAP file: give one, or another --format.")
        self._tape = Tape(_File(source), source, size, cameras)
        self.schema, self.warnings = self._tape.schema, self._tape.warnings
        self.attributes = {**self._tape.attributes, "source_format": "MCAP"}

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is an MCAP file by its name or its first bytes."""
        try:
            return source.is_file() and (source.suffix.lower() == ".mcap" or begins(source, _MAGIC))
        except OSError:
            return False

    def episodes(self) -> list[Episode]:
        """The file, as the only episode."""
        return self._tape.episodes()


class _File:
    """An MCAP file and the types of its messages."""

    def __init__(self, source: Path) -> None:
        self._source = source
        try:
            channels, schemas, counts, self._indexed = _described(source)
        except Exception as error:  # the library raises whatever damaged bytes lead it to
            raise InputError(
                f"{source} is damaged or not closed ({line(error) or type(error).__name__}): "
                "copy it again, or mend it with 'mcap recover'."
            ) from None
        topics: dict[str, Topic] = {}
        unread: dict[str, str] = {}
        for channel in channels:
            try:
                topic = _topic(channel, schemas.get(channel.schema_id), counts)
            except Exception as error:  # definitions may be anything
                unread[channel.topic] = f"{channel.message_encoding}, {line(error) or type(error).__name__}"
                continue
            if topics.setdefault(channel.topic, topic).kind != topic.kind:
                unread[channel.topic] = "messages of several types"
        self.topics: Mapping[str, Topic] = {name: topic for name, topic in topics.items() if name not in unread}
        self.unread: Mapping[str, str] = unread

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of receipt (nanoseconds) and bytes of each message."""
        with self._source.open("rb") as file:
            kind = mcap.reader.SeekingReader if self._indexed else mcap.reader.NonSeekingReader
            reader: Any = kind(file, validate_crcs=True)
            # without an index, ordering would take all messages into memory
            for _, channel, message in reader.iter_messages(topics, log_time_order=self._indexed):
                yield channel.topic, message.log_time, message.data


def _described(
    source: Path,
) -> tuple[list[mcap.records.Channel], dict[int, mcap.records.Schema], dict[str, int], bool]:
    """The channels and their schemas, how many messages each topic has, and whether there is an index."""
    with source.open("rb") as file:
        summary = mcap.reader.SeekingReader(file, validate_crcs=True).get_summary()
        if summary is not None and summary.channels and summary.chunk_indexes:
            counts: dict[str, int] = {}
            said = summary.statistics.channel_message_counts if summary.statistics else {}
            for number, count in said.items():
                topic = summary.channels[number].topic
                counts[topic] = counts.get(topic, 0) + count
            return list(summary.channels.values()), summary.schemas, counts, True
        file.seek(0)
        channels: dict[int, mcap.records.Channel] = {}
        schemas: dict[int, mcap.records.Schema] = {}
        for record in mcap.stream_reader.StreamReader(file, validate_crcs=True).records:
            if isinstance(record, mcap.records.Channel):
                channels[record.id] = record
            elif isinstance(record, mcap.records.Schema):
                schemas[record.id] = record
        return list(channels.values()), schemas, {}, False


def _topic(channel: mcap.records.Channel, schema: mcap.records.Schema | None, counts: dict[str, int]) -> Topic:
    """What a channel says; raises anything where that cannot be known."""
    name, encoding, count = channel.topic, channel.message_encoding, counts.get(channel.topic)
    if encoding == "json":
        return _named(name, schema, _from_json, count)
    if schema is None:
        raise ValueError("without a schema")
    if encoding == "protobuf":
        return _named(name, schema, _protobuf(schema), count)
    if encoding not in ("cdr", "ros1"):
        raise ValueError("an encoding that is not read")
    store = get_typestore(Stores.EMPTY)
    text = schema.data.decode()
    if schema.encoding == "ros2idl":
        for part in text.split(_RULE):
            store.register(get_types_from_idl(part.partition("\n")[2] if part.startswith("IDL: ") else part))
    else:
        store.register(get_types_from_msg(text, schema.name))
    return ros_topic(name, normalize_msgtype(schema.name), store, encoding == "ros1", count)


def _named(name: str, schema: mcap.records.Schema | None, read: Callable[[bytes], Any], count: int | None) -> Topic:
    """A topic whose messages must be read to know when they were made."""
    kind = (schema.name if schema else "").replace("/", ".").rpartition(".")[2]
    return Topic(name, kind, read, lambda data: stamp_of(read(data)), count)


def _from_json(data: bytes) -> Any:
    return json.loads(data, object_hook=lambda fields: SimpleNamespace(**fields))


def _protobuf(schema: mcap.records.Schema) -> Callable[[bytes], Any]:
    """Reads messages of a type that the schema describes; protobuf itself is not among what we require."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise ValueError("which needs 'pip install protobuf'") from None
    files = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file}
    pool = descriptor_pool.DescriptorPool()

    def add(name: str) -> None:
        if name in files:
            file = files.pop(name)
            for other in file.dependency:
                add(other)
            pool.Add(file)

    for name in list(files):
        add(name)
    read: Callable[[bytes], Any] = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name)).FromString
    return read
