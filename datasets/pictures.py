"""Pictures as others keep them, decoded for the importers: encoded images and video files."""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError
from ssl_robot.frames import Row

_PNG = b"\x89PNG\r\n\x1a\n"
LOSSY = "The pictures of {} are JPEG, which is lossy: not quite what the camera saw."
LOSSY_VIDEO = "The pictures of {} were compressed as {}, which is lossy: not quite what the camera saw."
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}  # endings of files
_FLAT = 2  # grey levels


class DamageError(Exception):
    """What is wrong with a source: the part of a message between its name and the remedy."""


def decoded(data: bytes) -> NDArray[np.uint8] | None:
    """An encoded picture (JPEG, PNG, ...) as RGB (h, w, 3); ``None`` if it is none.

    Marks of orientation are ignored: cameras on robots set them by accident.
    """
    if not data or _cut(data) or _broken(data):
        return None
    level = cv2.utils.logging.setLogLevel(0)  # what is wrong is said by the caller, in a sentence
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a size that no picture has
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return None if picture is None else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name; hidden ones are not."""
    return not path.name.startswith(".") and path.suffix.lower() in PICTURES and path.is_file()


def any_lossy(paths: Iterable[Path]) -> bool:
    """Whether some of these files are JPEG by their names."""
    return any(path.suffix.lower() in (".jpg", ".jpeg") for path in paths)


def picture(path: Path) -> NDArray[np.uint8]:
    """A file's picture as RGB (h, w, 3).

    Raises:
        DamageError: If it cannot be read or decoded.
    """
    try:
        found = decoded(path.read_bytes())
    except OSError as error:
        raise DamageError(f"{path.name} cannot be read ({error.strerror})") from None
    if found is None:
        raise DamageError(f"{path.name} cannot be decoded")
    return found


def _cut(data: bytes) -> bool:
    """Whether a JPEG lacks its end, which OpenCV fills with grey: no end mark follows the last scan's begin."""
    return is_jpeg(data) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")


def _broken(data: bytes) -> bool:
    """Whether a PNG lacks its end or disagrees with its checksums, of which libpng writes to standard error."""
    if not data.startswith(_PNG):
        return False
    place, view = len(_PNG), memoryview(data)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        told = int.from_bytes(view[end : end + 4], "big")
        if kind[:1].isupper() and zlib.crc32(view[place + 4 : end]) != told:
            return True
        if kind == b"IEND":
            return False
        place = end + 4
    return True


def is_jpeg(data: bytes) -> bool:
    """Whether an encoded picture is a JPEG, and so not quite what the camera saw."""
    return data[:2] == b"\xff\xd8"


def is_lossy(codec: str, layout: str) -> bool:
    """Whether a video's pictures are not quite what the camera saw; one that may have lost detail counts as lossy.

    Args:
        codec: As FFmpeg calls it, as in ``h264``.
        layout: Of the pixels, as in ``yuv420p``: with chroma for colours, even a lossless codec rounds them.
    """
    try:
        coder, form = av.Codec(codec, "r"), av.VideoFormat(layout)
    except (av.codec.codec.UnknownCodecError, ValueError):
        return True
    return not coder.lossless or coder.lossy or not (form.is_rgb or layout.startswith("gray"))


def frames_of(path: Path, name: str) -> Iterator[av.VideoFrame]:
    """The frames of a video in order of presentation.

    Args:
        path: The video.
        name: What to call it in a message.

    Raises:
        DamageError: If it is missing or cannot be decoded to its end.
    """
    try:
        with played(path, name) as container:
            for count, frame in enumerate(container.decode(video=0)):
                if frame.is_corrupt:
                    raise DamageError(f"{name} has a damaged frame {count}")
                yield frame
    except av.FFmpegError as error:
        raise DamageError(f"{name} cannot be decoded ({error.strerror})") from None


def played(path: Path, name: str) -> av.container.InputContainer:
    """A video ready to be decoded, in which damage is an error.

    Args:
        path: The video.
        name: What to call it in a message.

    Raises:
        DamageError: If it is missing or has no pictures.
    """
    if not path.is_file():
        raise DamageError(f"{name} is missing")
    container = av.open(str(path), metadata_errors="replace")
    try:
        stream = film(container, name)
    except DamageError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"err_detect": "explode"}  # else damage is painted over
    return container


def film(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first stream of pictures in an open video.

    Raises:
        DamageError: If it has none whose codec is known.
    """
    if not container.streams.video:
        raise DamageError(f"{name} has no video stream")
    stream = container.streams.video[0]
    if stream.codec_context is None:  # whatever PyAV's annotation says
        raise DamageError(f"{name} has a video stream of an unknown codec")
    return stream


def pixels(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """A decoded frame as RGB (h, w, 3)."""
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def squared(frame: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """The frame at size x size, every pixel the mean of those it covers; as it is where no size is given."""
    if size is None or frame.shape[:2] == (size, size):
        return frame
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def sampled(found: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """A map (h, w, channels) at size x size: what the middle of every pixel shows, for numbers have no mean."""
    if size is None or found.shape[:2] == (size, size):
        return found
    places = [((np.arange(size) + 0.5) * length / size).astype(np.int64) for length in found.shape[:2]]
    return np.ascontiguousarray(found[np.ix_(*places)])


def reported(rows: Iterator[Row], name: str, what: str = "episodes") -> Iterator[Row]:
    """The rows of an episode; damage met on the way becomes a sentence with its remedy.

    Args:
        rows: The rows, read as they are asked for.
        name: What is damaged.
        what: What to call others like it.

    Raises:
        InputError: Where the episode is damaged.
    """
    try:
        yield from rows
    except DamageError as error:
        raise InputError(
            f"{name} is damaged: {error}; copy it again, or leave such {what} out with --skip-bad."
        ) from None


def listed(folder: Path) -> list[Path]:
    """What is in a folder.

    Raises:
        InputError: If that cannot be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}): make it readable, or leave it out.") from None


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Files as people count them: ``frame2`` before ``frame10``; hidden ones are left out."""
    return sorted((path for path in paths if not path.name.startswith(".")), key=_counted)


def _counted(path: Path) -> tuple[list[tuple[str, int]], str]:
    """A name as texts and the numbers behind them."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    texts, numbers = parts[::2], [int(part) for part in parts[1::2]]
    return list(zip(texts, [*numbers, -1], strict=True)), path.name


def line(error: Exception) -> str:
    """The first line of another library's message."""
    return str(error).partition("\n")[0].rstrip(". ")


def is_blank(frame: NDArray[np.uint8]) -> bool:
    """Whether a picture has no more contrast than 2 grey levels; a few pixels tell most that have."""
    return bool(np.ptp(frame[::8, ::8]) <= _FLAT and np.ptp(frame) <= _FLAT)
