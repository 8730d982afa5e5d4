"""A camera or a video, and beside each frame what the encoder finds most like it in a recording.

python experiments/examples/nearest_neighbours.py runs/robot robot.h5                         (webcam 0; q ends it)
python experiments/examples/nearest_neighbours.py runs/robot robot.h5 --video drive.mp4 --out seen.mp4
python experiments/examples/nearest_neighbours.py runs/robot robot.h5 --video drive.mp4 --out seen.png
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import tyro
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot import cache
from ssl_robot.baselines import named
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.frames import Seen
from ssl_robot.readers import Reader

TILE = 192  # pixels; the caption lies on it
ROWS = 6  # moments on a picture

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Memory:
    """Recorded frames, to be asked for those most like another.

    Attributes:
        reader: What features come from.
        frames: The recording.
        middle: Mean of its features, (1, d): what all frames have in common tells none from another.
        directions: Features from there, of length 1, (frames, d).
    """

    reader: Reader
    frames: FrameStore
    middle: Tensor
    directions: Tensor

    @classmethod
    def of(cls, reader: Reader, frames: FrameStore) -> "Memory":
        """Every frame of a recording; features come from the user's cache where they are there."""
        features = cache.features(reader, frames)
        middle = features.mean(0, keepdim=True)
        return cls(reader, frames, middle, F.normalize(features - middle, dim=1))

    def nearest(self, frame: Picture, count: int) -> list[tuple[int, float]]:
        """Rows of the frames most like another, each with its cosine, the likest first.

        Args:
            frame: uint8 (h, w, 3), RGB.
            count: How many.
        """
        features = self.reader.read(Seen(frame[None]))
        cosines = self.directions @ F.normalize(features - self.middle, dim=1)[0]
        found = torch.topk(cosines, min(count, len(cosines)))
        return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))


def drawn(memory: Memory, frame: Picture, count: int) -> Picture:
    """A frame and its neighbours side by side, RGB, each with its episode and cosine."""
    tiles = [_tile(frame, "now")]
    for row, cosine in memory.nearest(frame, count):
        [seen] = memory.frames.take(np.array([row]))
        tiles.append(_tile(seen, f"episode {memory.frames.episodes[row]}  {cosine:.2f}"))
    return np.concatenate(tiles, 1)


def _tile(frame: Picture, caption: str) -> Picture:
    tile = np.ascontiguousarray(cv2.resize(frame, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)
    for colour, width in ((0, 3), (255, 1)):  # readable on any ground
        cv2.putText(tile, caption, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (colour,) * 3, width, cv2.LINE_AA)
    return tile


def watched(video: str, every: int) -> Iterator[Picture]:
    """Frames of a camera, by its number, or of a file, RGB.

    Raises:
        InputError: If it cannot be opened.
    """
    capture = cv2.VideoCapture(int(video) if video.isdecimal() else video)
    if not capture.isOpened():
        raise InputError(f"There is no camera or video '{video}': give a number, as 0, or a file OpenCV reads.")
    try:
        number = 0
        while (got := capture.read())[0]:
            if number % every == 0:
                yield np.asarray(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB), np.uint8)
            number += 1
    finally:
        capture.release()


@contextmanager
def shown(out: Path | None, fps: float) -> Iterator[Callable[[Picture], bool]]:
    """Where pictures go: a window, a film, or one below the other on a picture; False says that no more are wanted.

    Raises:
        InputError: If there is no display, or the file is of another kind.
    """
    if out is None:
        yield _in_window
        cv2.destroyAllWindows()
    elif out.suffix == ".png":
        with _sheet(out) as write:
            yield write
    elif out.suffix == ".mp4":
        with _film(out, fps) as write:
            yield write
    else:
        raise InputError(f"{out} is neither a film nor a picture: end --out in .mp4 or .png.")


def _in_window(picture: Picture) -> bool:
    try:
        cv2.imshow("nearest neighbours (q ends)", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) != ord("q")
    except cv2.error:
        raise InputError("There is no display to show it on: give --out FILE.mp4 or FILE.png.") from None


@contextmanager
def _sheet(out: Path) -> Iterator[Callable[[Picture], bool]]:
    rows: list[Picture] = []

    def write(picture: Picture) -> bool:
        rows.append(picture)
        return len(rows) < ROWS

    yield write
    if rows:
        cv2.imwrite(str(out), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


@contextmanager
def _film(out: Path, fps: float) -> Iterator[Callable[[Picture], bool]]:
    film: cv2.VideoWriter | None = None

    def write(picture: Picture) -> bool:
        nonlocal film
        if film is None:
            h, w, _ = picture.shape
            film = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), fps, (w, h))
        film.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return True

    yield write
    if film is not None:
        film.release()


def main(
    encoder: tyro.conf.Positional[str],
    recording: tyro.conf.Positional[Path],
    video: str = "0",
    out: Path | None = None,
    neighbours: int = 4,
    every: int = 1,
    most: int | None = None,
    fps: float = 10.0,
) -> None:
    """Show the recorded frames most like what a camera sees now.

    Args:
        encoder: Run directory, encoder file, or a baseline.
        recording: Where neighbours come from.
        video: Number of a camera, or a video file.
        out: Film (.mp4) or picture (.png, six moments) to write instead of a window.
        neighbours: How many to show.
        every: Look at every n-th frame only.
        most: Frames to look at; until the end, or q, if not given.
        fps: Frames per second of the film.
    """
    frames = FrameStore(recording)
    memory = Memory.of(named(encoder, frames), frames)
    with shown(out, fps) as show:
        for frame in islice(watched(video, every), most):
            if not show(drawn(memory, frame, neighbours)):
                break


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        sys.exit(str(error))
