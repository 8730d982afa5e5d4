"""What a first pass over a recording of messages finds about each topic, and when its messages count as made."""

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers._ros import LENSES, PICTURES, SILENT, Topic, encoded, is_distance, numbers, picture
from ssl_robot.datasets.pictures import DamageError, is_jpeg, line

_SAMPLES = 64  # messages of different lengths looked at for the names of their numbers
_DISTANT = "distances, not pictures"
_APART = 10 * 10**9  # nanoseconds between two clocks that cannot be the same

Times = NDArray[np.int64]


@dataclass
class Track:
    """What a first pass over the recording finds about a topic.

    Attributes:
        topic: The topic.
        received: When each message was received, nanoseconds.
        stamps: When each message says it was made, nanoseconds.
        lengths: Lengths of the messages that were looked into.
        names: Of its numbers.
        shape: Of its first picture that can be read.
        lossy: That picture is a JPEG.
        trouble: Why it has no pictures that can be read.
        lens: What its first message says about a camera.
    """

    topic: Topic
    received: "array[int]" = field(default_factory=lambda: array("q"))
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: set[int] = field(default_factory=set)
    names: dict[str, None] = field(default_factory=dict)
    shape: tuple[int, int, int] | None = None
    lossy: bool = False
    trouble: str = ""
    lens: str = ""

    def add(self, received: int, data: bytes) -> None:
        """Take notice of the next message."""
        try:
            self.stamps.append(self.topic.stamp(data))
            self.received.append(received)
        except Exception as error:  # the libraries raise whatever damaged bytes lead them to
            raise DamageError(f"topic {self.topic.name} has a message without a time ({said(error)})") from None
        kind = self.topic.kind
        if kind in PICTURES:
            if self.shape is None and self.trouble != _DISTANT:
                self._look(data)
        elif kind in LENSES:
            self.lens = self.lens or _lens(self.topic, data)
        elif kind not in SILENT and len(data) not in self.lengths and len(self.lengths) < _SAMPLES:
            self.lengths.add(len(data))
            self.names |= dict.fromkeys(numbers_in(self.topic, data))

    def _look(self, data: bytes) -> None:
        try:
            message = read_message(self.topic, data)
            if is_distance(message):
                self.trouble = _DISTANT
                return
            h, w, c = picture_in(self.topic, message).shape
            self.shape, self.lossy = (h, w, c), is_jpeg(encoded(message)[:2])
        except DamageError as error:
            self.trouble = str(error)


def said(error: Exception) -> str:
    """What another library says, or at least the kind of its error."""
    return line(error) or type(error).__name__


def read_message(topic: Topic, data: bytes) -> Any:
    """The message in some bytes.

    Raises:
        DamageError: If it cannot be read.
    """
    try:
        return topic.read(data)
    except Exception as error:  # the libraries raise whatever damaged bytes lead them to
        raise DamageError(f"topic {topic.name} has a message that cannot be read ({said(error)})") from None


def picture_in(topic: Topic, message: Any) -> NDArray[np.uint8]:
    """The picture in a message, RGB (h, w, 3).

    Raises:
        DamageError: If there is none that can be read.
    """
    try:
        return picture(message)
    except DamageError as error:
        raise DamageError(f"topic {topic.name}: {error}") from None
    except Exception as error:  # a message that calls itself a picture may hold anything
        raise DamageError(f"topic {topic.name} has a picture that cannot be read ({said(error)})") from None


def numbers_in(topic: Topic, data: bytes) -> dict[str, float]:
    """The numbers in a message's bytes, by the path of their fields.

    Raises:
        DamageError: If it cannot be read, or has one that is too large.
    """
    try:
        return numbers(read_message(topic, data))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise DamageError(f"topic {topic.name} has numbers that cannot be read ({said(error)})") from None


def _lens(topic: Topic, data: bytes) -> str:
    """What a message says about a camera's lens, as JSON; nothing where that cannot be read."""
    message = read_message(topic, data)
    found = {name: getattr(message, name, None) for name in ("width", "height", "distortion_model")}
    try:
        for name in ("K", "D"):
            values = getattr(message, name, getattr(message, name.lower(), ()))
            found[name] = [float(value) for value in values]
        return json.dumps(found)
    except (TypeError, ValueError):
        return ""


def common_times(tracks: Sequence[Track]) -> tuple[dict[str, Times], list[str]]:
    """When the messages of each topic count as made, never going backwards, and warnings about their clocks."""
    stamps = {track.topic.name: np.array(track.stamps, np.int64) for track in tracks}
    received = {track.topic.name: np.maximum.accumulate(np.array(track.received, np.int64)) for track in tracks}
    stamped = {name for name, times in stamps.items() if times.all()}
    backwards = {name for name in stamped if (np.diff(stamps[name]) < 0).any()}
    usable = stamped - backwards
    apart = {name for name in usable if abs(np.median(stamps[name] - received[name])) > _APART}
    if usable == set(stamps):  # all on one clock, whatever the recorder's was
        apart = set()
    warnings = [
        f"Times in the messages of {', '.join(sorted(names))} {what}: the times of receipt are used."
        for names, what in ((backwards, "go backwards"), (apart, "are not of the recorder's clock"))
        if names
    ]
    return {name: stamps[name] if name in usable - apart else received[name] for name in stamps}, warnings
