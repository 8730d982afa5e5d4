"""Video files: each is an episode of one camera.

The picture is taken as it is stored: marks that ask a player to turn it, or to stretch its pixels, are ignored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.importers._names import chosen
from ssl_robot.datasets.imports import Episode
from ssl_robot.datasets.pictures import (
    LOSSY_VIDEO,
    DamageError,
    film,
    frames_of,
    in_order,
    is_lossy,
    listed,
    pixels,
    reported,
    squared,
)
from ssl_robot.errors import InputError
from ssl_robot.frames import Row, Schema

_CAMERA = "video"
_SUFFIXES = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
_SLACK = 0.1  # seconds that a sound video may end before its head says


@dataclass(frozen=True)
class _Clip:
    """What the head of a video says.

    Attributes:
        path: The file.
        shape: Height, width and channels of its pictures.
        codec: How they are compressed, as in ``h264``.
        lossy: Whether that loses detail, or may.
        fps: Frames per second on average; 0 where it does not say.
        seconds: How long it is; 0 where it does not say.
        frames: How many there are, or about how many.
        damage: Why it cannot be opened; empty if it can.
    """

    path: Path
    shape: tuple[int, int, int] = (0, 0, 3)
    codec: str = ""
    lossy: bool = False
    fps: float = 0.0
    seconds: float = 0.0
    frames: int = 0
    damage: str = ""


class Video:
    """A video file, or a folder of them in natural order; frames may come at any times.

    Args:
        source: The file or folder; other files in the folder are ignored.
        size: Height and width of the frames, pixels, whatever their aspect was; ``None`` keeps them as they are.
        cameras: ``video`` or nothing: a video has one camera.

    Raises:
        InputError: If no video can be opened, they differ in size and none is given, or another camera is asked for.
    """

    def __init__(self, source: Path, size: int | None, cameras: Sequence[str]) -> None:
        chosen({_CAMERA: _CAMERA}, cameras, source)
        self._size = size
        self._clips = [_clip(path) for path in _videos(source)]
        sound = [clip for clip in self._clips if not clip.damage]
        if not self._clips:
            raise InputError(
                f"{source} has no video ({', '.join(sorted(_SUFFIXES))}): give a file or a folder of them."
            )
        if not sound:
            raise InputError(f"{self._clips[0].path} is damaged: {self._clips[0].damage}; copy it again.")
        if size is None:
            _check_sizes(sound)
        self.schema = Schema({_CAMERA: sound[0].shape if size is None else (size, size, 3)})
        common = dict(set.intersection(*(set(_facts(clip).items()) for clip in sound)))
        lossy = ", ".join(sorted({clip.codec for clip in sound if clip.lossy}))
        self.attributes = {"source": source.resolve().name, "source_format": "video", **common}
        if lossy:
            self.attributes["lossy"] = lossy
        lost = [LOSSY_VIDEO.format(source, lossy)] if lossy else []
        self.warnings = [*lost, *_turned(sound[0].path), *_rates(sound), *_others(source)]

    @staticmethod
    def knows(source: Path) -> bool:
        """Whether it is a video by its name, or a folder with one in it."""
        try:
            files = in_order(source.iterdir()) if source.is_dir() else [source]
            return any(_is_video(path) for path in files)
        except OSError:
            return False

    def episodes(self) -> list[Episode]:
        """The videos in natural order of their names."""
        return [
            Episode(clip.path.name, clip.frames, partial(self._rows, clip), attributes=_facts(clip))
            for clip in self._clips
        ]

    def _rows(self, clip: _Clip) -> Iterator[Row]:
        return reported(self._read(clip), str(clip.path), "videos")

    def _read(self, clip: _Clip) -> Iterator[Row]:
        if clip.damage:
            raise DamageError(clip.damage)
        row: Row | None = None
        beat = held = 1 / clip.fps if clip.fps else 0.0
        for frame, time in _timed(frames_of(clip.path, "it"), beat):
            if row is not None:
                yield row
            row = Row({_CAMERA: self._picture(frame, clip)}, time=time)
            held = max(beat, float((frame.duration or 0) * (frame.time_base or 0)))
        if row is None:
            raise DamageError("it has no frames")
        if row.time + beat + held + _SLACK < clip.seconds:
            raise DamageError(f"it ends after {row.time + held:.1f} of {clip.seconds:.1f} s")
        yield replace(row, truncated=True)

    def _picture(self, frame: av.VideoFrame, clip: _Clip) -> NDArray[np.uint8]:
        try:
            picture = pixels(frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise DamageError(f"it has a frame of format {frame.format.name} that has no colours ({error})") from None
        if self._size is None and picture.shape != clip.shape:
            h, w, _ = picture.shape
            raise DamageError(f"its frames change their size to {w} x {h} pixels (--size brings them to one)")
        return squared(picture, self._size)


def _videos(source: Path) -> list[Path]:
    if source.is_dir():
        return list(filter(_is_video, in_order(listed(source))))
    return [source]


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def _others(source: Path) -> Iterator[str]:
    """A warning that names what else is in a folder."""
    others = [path.name for path in in_order(listed(source)) if not _is_video(path)] if source.is_dir() else []
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        yield f"{', '.join(others[:3])}{more} in {source}: no video, left out."


def _clip(path: Path) -> _Clip:
    """What the head of a video says, or why it says nothing."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = film(container, "it")
            context = stream.codec_context
            fps = float(stream.average_rate or 0)
            seconds = _seconds(container, stream)
            shape = (context.height, context.width, 3)
            if 0 in shape:
                raise DamageError("it does not say how large its pictures are")
            lossy = is_lossy(context.name, context.pix_fmt or "")
            return _Clip(path, shape, context.name, lossy, fps, seconds, stream.frames or round(seconds * fps))
    except DamageError as error:
        return _Clip(path, damage=str(error))
    except (av.FFmpegError, OSError) as error:
        return _Clip(path, damage=f"it cannot be opened ({error.strerror})")


def _seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """How long the pictures go on; 0 where the file does not say, or says it of the sound too."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    hours, *rest = stream.metadata.get("DURATION", "").split(":")  # Matroska, as in 00:00:04.000000000
    if len(rest) == 2:
        try:
            return 3600 * float(hours) + 60 * float(rest[0]) + float(rest[1])
        except ValueError:
            return 0.0
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / 1e6 if alone and container.duration else 0.0


def _timed(frames: Iterator[av.VideoFrame], beat: float) -> Iterator[tuple[av.VideoFrame, float]]:
    """Frames with their times in seconds since the first; one without a usable time comes a beat after the last."""
    first = previous = None
    for frame in frames:
        time = None if frame.pts is None or frame.time is None else float(frame.time)
        if first is None:
            first = time or 0.0
        since = None if time is None else time - first
        if previous is not None and (since is None or since <= previous):
            since = previous + beat
        previous = since or 0.0
        yield frame, previous


def _check_sizes(clips: Sequence[_Clip]) -> None:
    for clip in clips:
        if clip.shape != clips[0].shape:
            (h, w, _), (height, width, _) = clips[0].shape, clip.shape
            raise InputError(
                f"{clip.path} is {width} x {height} pixels and {clips[0].path.name} {w} x {h}: "
                "bring them to one size with --size, or import them into two files."
            )


def _facts(clip: _Clip) -> dict[str, Any]:
    found = {"file": clip.path.name, "fps": clip.fps, "codec": clip.codec}
    return {name: value for name, value in found.items() if value}


def _turned(path: Path) -> Iterator[str]:
    """A warning where a player would turn the picture."""
    try:
        turn = next((frame.rotation for frame in frames_of(path, "it")), 0)
    except DamageError:  # reported when its frames are read
        return
    if turn:
        yield f"{path.name} asks to be shown turned by {turn} degrees; its frames are taken as they are stored."


def _rates(clips: Sequence[_Clip]) -> Iterator[str]:
    rates = sorted({round(clip.fps, 2) for clip in clips})
    if len(rates) > 1:
        yield f"The videos have different frames per second ({rates[0]:g} to {rates[-1]:g})."
