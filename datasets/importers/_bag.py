"""A recording of messages laid out as rows: one for each picture of a camera, with what else was known by then."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers._names import chosen, side_by_side
from ssl_robot.datasets.importers._ros import Topic
from ssl_robot.datasets.importers._track import Times, Track, common_times, numbers_in, picture_in, read_message, said
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import LOSSY, DamageError, reported, squared
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, Row, Schema

_WIDEST = 1000  # numbers that a message may have to be a label
_LISTED = 8  # topics named in a message


class Bag(Protocol):
    """A recording that can be read again and again.

    Attributes:
        topics: What can be read, by name.
        unread: Why other topics cannot be read, by name.
    """

    topics: Mapping[str, Topic]
    unread: Mapping[str, str]

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of receipt (nanoseconds) and bytes of each message, those of a topic in order of receipt."""


class Tape:
    """A recording as one episode.

    Each picture of the first camera makes a row, with the latest picture of every other camera and the latest numbers
    of every other topic at its time; before the first of these, with the first. Times are those that messages say
    they were made at; where a topic's do not, go backwards, or are of another clock than the recorder's while other
    topics have only the recorder's, those of receipt.

    Args:
        bag: The recording.
        source: What to call it in a message.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: Those to keep, by topic or name; all if none is given.

    Raises:
        InputError: If it is damaged, or has no pictures that can be read or no such camera.
    """

    def __init__(self, bag: Bag, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        self._bag, self._source, self._size = bag, source, size
        tracks = self._scan()
        names = _cameras(tracks)
        if not names:
            raise InputError(f"{source} has no pictures that can be read: {self._contents(tracks)}.")
        self._cameras = {name: tracks[names[name]] for name in chosen(names, cameras, source)}
        numeric = {track.topic.name: track for track in tracks.values() if 0 < len(track.names) <= _WIDEST}
        short = {_short(name): name for name in numeric}
        self._labels = {name: numeric[short[name]] for name in side_by_side(short, list(names))}
        labels = tuple(Label.plain(name, len(item.names), tuple(item.names)) for name, item in self._labels.items())
        self.schema = Schema({name: self._shape(track) for name, track in self._cameras.items()}, labels)
        self._times, clocks = common_times([*self._cameras.values(), *self._labels.values()])
        self._clock = self._times[next(iter(self._cameras.values())).topic.name]
        self.attributes = self._facts(tracks)
        self.warnings = [*self._lossy(), *clocks, *self._left(tracks)]

    def episodes(self) -> list[Episode]:
        """The recording, as the only episode."""
        return [Episode(self._source.name, len(self._clock), self._rows)]

    def _scan(self) -> dict[str, Track]:
        tracks = {name: Track(topic) for name, topic in sorted(self._bag.topics.items())}
        try:
            for name, received, data in self._messages(tracks):
                tracks[name].add(received, data)
            for track in tracks.values():
                there, promised = len(track.received), track.topic.count
                if promised is not None and there < promised:
                    raise DamageError(f"topic {track.topic.name} has {there} of {promised} messages")
        except DamageError as error:
            raise InputError(f"{self._source} is damaged: {error}; copy it again.") from None
        return {name: track for name, track in tracks.items() if track.received}

    def _messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        messages = iter(self._bag.messages(list(topics)))
        while True:
            try:
                message = next(messages, None)
            except Exception as error:  # the libraries raise whatever damaged bytes lead them to
                raise DamageError(f"it cannot be read to its end ({said(error)})") from None
            if message is None:
                return
            yield message

    def _shape(self, track: Track) -> tuple[int, int, int]:
        assert track.shape is not None
        return track.shape if self._size is None else (self._size, self._size, 3)

    def _facts(self, tracks: Mapping[str, Track]) -> dict[str, Any]:
        beats = np.diff(self._clock)
        fps = round(1e9 / float(np.median(beats)), 3) if beats.size and np.median(beats) > 0 else 0
        lenses = {name: track.lens for name, track in tracks.items() if track.lens}
        found = {
            "source": self._source.resolve().name,
            "fps": fps,
            "topics": json.dumps({name: track.topic.name for name, track in self._cameras.items()}),
            "lenses": json.dumps(lenses) if lenses else "",
            "lossy": "JPEG" if any(track.lossy for track in self._cameras.values()) else "",
        }
        return {name: value for name, value in found.items() if value}

    def _lossy(self) -> Iterator[str]:
        lossy = [name for name, track in self._cameras.items() if track.lossy]
        if lossy:
            yield LOSSY.format(", ".join(lossy))

    def _left(self, tracks: Mapping[str, Track]) -> Iterator[str]:
        """A warning that names the topics which say something that is not taken over."""
        kept = {track.topic.name for track in (*self._cameras.values(), *self._labels.values())}
        left = {name: track.trouble for name, track in tracks.items() if name not in kept and track.trouble}
        wide = {name: f"{len(track.names)} numbers" for name, track in tracks.items() if len(track.names) > _WIDEST}
        found = {**left, **wide, **self._bag.unread}
        if found:
            yield f"Topics of {self._source.name} are left out: {_list(found)}."

    def _contents(self, tracks: Mapping[str, Track]) -> str:
        found = {name: track.trouble or track.topic.kind for name, track in tracks.items()} | dict(self._bag.unread)
        if not found:
            return "it is empty; give a recording with a camera's topic"
        return f"it has {_list(found)}; give one with sensor_msgs/Image or CompressedImage"

    def _rows(self) -> Iterator[Row]:
        return reported(self._read(), str(self._source), "recordings")

    def _read(self) -> Iterator[Row]:
        values = self._numbers()
        streams = [self._pictures(name, track) for name, track in self._cameras.items()]
        for row, pictures in enumerate(zip(*streams, strict=True)):
            yield Row(
                frames=dict(zip(self._cameras, pictures, strict=True)),
                labels={name: column[row] for name, column in values.items()},
                truncated=row + 1 == len(self._clock),
                time=(int(self._clock[row]) - int(self._clock[0])) / 1e9,
            )

    def _latest(self, track: Track) -> Times:
        """The message of a topic that each row takes, counted from its first."""
        places = np.searchsorted(self._times[track.topic.name], self._clock, side="right") - 1
        if track is next(iter(self._cameras.values())):  # its own, also where two have the same time
            places = np.arange(len(self._clock))
        return np.maximum(places, 0)

    def _pictures(self, name: str, track: Track) -> Iterator[NDArray[np.uint8]]:
        """What each row saw through a camera."""
        messages = self._messages([track.topic.name])
        place, seen = -1, None
        for wanted in self._latest(track):
            if wanted != place or seen is None:
                for _ in range(wanted - place):
                    _, _, data = next(messages)
                place, seen = int(wanted), self._seen(name, track, data)
            yield seen

    def _seen(self, name: str, track: Track, data: bytes) -> NDArray[np.uint8]:
        seen = picture_in(track.topic, read_message(track.topic, data))
        if self._size is None and seen.shape != track.shape:
            (h, w, _), (height, width, _) = self._shape(track), seen.shape
            raise InputError(
                f"Camera {name} of {self._source} has pictures of {w} x {h} and of {width} x {height} pixels: "
                "bring them to one size with --size."
            )
        return squared(seen, self._size)

    def _numbers(self) -> dict[str, NDArray[np.float64]]:
        """The numbers of each label for every row, (rows, numbers); what a message lacks is NaN."""
        latest = {track.topic.name: self._latest(track) for track in self._labels.values()}
        wanted = {name: np.unique(places) for name, places in latest.items()}
        columns = {
            track.topic.name: np.full((len(wanted[track.topic.name]), len(track.names)), np.nan)
            for track in self._labels.values()
        }
        heard, filled = dict.fromkeys(latest, 0), dict.fromkeys(latest, 0)
        tracks = {track.topic.name: track for track in self._labels.values()}
        for name, _, data in self._messages(tracks) if tracks else ():
            row = filled[name]
            if row < len(wanted[name]) and wanted[name][row] == heard[name]:
                found = numbers_in(tracks[name].topic, data)
                columns[name][row] = [found.get(key, np.nan) for key in tracks[name].names]
                filled[name] += 1
            heard[name] += 1
        return {
            label: columns[track.topic.name][np.searchsorted(wanted[track.topic.name], latest[track.topic.name])]
            for label, track in self._labels.items()
        }


def begins(source: Path, magic: bytes) -> bool:
    """Whether a file's first bytes are these."""
    with source.open("rb") as file:
        return file.read(len(magic)) == magic


def _short(topic: str) -> str:
    return topic.strip("/").replace("/", ".")


def _cameras(tracks: Mapping[str, Track]) -> dict[str, str]:
    """Topic of each camera by its name, in order of their topics."""
    topics = [name for name, track in tracks.items() if track.shape is not None]
    return {name: {_short(topic): topic for topic in topics}[name] for name in side_by_side(map(_short, topics))}


def _list(topics: Mapping[str, str]) -> str:
    listed = [f"{name} ({what})" for name, what in topics.items()]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more
