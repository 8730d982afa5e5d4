"""Tiny LeRobot datasets whose frames say which they are."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError

HEIGHT, WIDTH, BITS = 64, 80, 8
FPS = 10
STATE = ["shoulder", "elbow", "grip"]


def picture(episode: int, row: int, h: int = HEIGHT, w: int = WIDTH) -> NDArray[np.uint8]:
    """Black and white bars: the bits of the row above those of the episode; they survive lossy video and resizing."""
    bits = [[number >> bit & 1 for bit in range(BITS)] for number in (row, episode)]
    bars = np.array(bits, np.uint8).repeat(h // 2, 0).repeat(w // BITS, 1)
    return np.stack([255 * bars] * 3, axis=-1)


def read_picture(frame: NDArray[np.uint8]) -> tuple[int, int]:
    """Episode and row that a frame says it is."""
    h, w, _ = frame.shape
    blocks = frame.mean(-1).reshape(2, h // 2, BITS, w // BITS).mean((1, 3)) > 127
    row, episode = (int((bits << np.arange(BITS)).sum()) for bits in blocks.astype(int))
    return episode, row


def film(path: Path, episode: int, rows: int, codec: str, first: float = 0.0) -> None:
    """A video of an episode, that begins at a time given in frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # Frames presented in another order than they are stored in, as encoders like it.
        stream.options = {"bf": "3", "g": "12"} if codec == "libx264" else {"preset": "12", "svtav1-params": "lp=1"}
        for row in range(rows):
            frame = av.VideoFrame.from_ndarray(picture(episode, row), format="rgb24")
            frame.pts = round(row + first)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def numbers(episode: int, rows: int) -> dict[str, Any]:
    """The columns of an episode; the state is (row, episode, 0.5), the action its negative."""
    state = [[float(row), float(episode), 0.5] for row in range(rows)]
    return {
        "observation.state": state,
        "action": [[-x for x in values[:2]] for values in state],
        "timestamp": np.arange(rows, dtype=np.float32) / FPS,
        "frame_index": np.arange(rows),
        "episode_index": np.full(rows, episode),
        "index": 1000 + np.arange(rows),
        "task_index": np.zeros(rows, np.int64),
    }


@dataclass(frozen=True)
class Recipe:
    """A dataset to make.

    Attributes:
        lengths: Rows of each episode by its number.
        videos: Cameras kept as video.
        images: Cameras kept as bytes beside the numbers.
        codec: Encoder of the videos.
        names: Component names of the state.
        extra: Further features, each with a function of the row that gives its ``value``.
    """

    lengths: Mapping[int, int] = field(default_factory=lambda: {2: 20, 5: 7, 11: 13})
    videos: Sequence[str] = ("observation.images.cam_high",)
    images: Sequence[str] = ()
    codec: str = "libx264"
    names: Any = field(default_factory=lambda: [STATE])
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        (root / "meta").mkdir(parents=True)
        (root / "LICENSE").write_text("MIT License\n\nCopyright (c) somebody\n")
        (root / "meta/info.json").write_text(json.dumps(self._info()))
        (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "Count."}\n')
        episodes = [{"episode_index": n, "tasks": ["Count."], "length": rows} for n, rows in self.lengths.items()]
        (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in episodes))
        for number, rows in self.lengths.items():
            self._episode(root, number, rows)
        return root

    def _info(self) -> dict[str, Any]:
        number = {"dtype": "int64", "shape": [1], "names": None}
        features: dict[str, Any] = {
            "observation.state": {"dtype": "float32", "shape": [3], "names": self.names},
            "action": {"dtype": "float32", "shape": [2], "names": {"motors": ["pull", "push"]}},
            **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), number),
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            **{key: {"dtype": item["dtype"], "shape": item["shape"]} for key, item in self.extra.items()},
        }
        for kind, keys in (("video", self.videos), ("image", self.images)):
            features |= {key: {"dtype": kind, "shape": [HEIGHT, WIDTH, 3]} for key in keys}
        return {
            "codebase_version": "v2.1",
            "robot_type": "counter",
            "fps": FPS,
            "chunks_size": 10,
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
            "features": features,
        }

    def _episode(self, root: Path, number: int, rows: int) -> None:
        columns = numbers(number, rows)
        columns |= {key: [feature["value"](row) for row in range(rows)] for key, feature in self.extra.items()}
        for key in self.images:
            columns[key] = [
                {"bytes": cv2.imencode(".png", picture(number, row))[1].tobytes(), "path": None} for row in range(rows)
            ]
        table = data(root, number)
        table.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), table)
        for key in self.videos:
            film(video(root, number, key), number, rows, self.codec)


def data(root: Path, number: int) -> Path:
    return root / f"data/chunk-{number // 10:03d}/episode_{number:06d}.parquet"


def video(root: Path, number: int, key: str = "observation.images.cam_high") -> Path:
    return root / f"videos/chunk-{number // 10:03d}/{key}/episode_{number:06d}.mp4"


class Lab:
    """Makes datasets, and knows their files and pictures."""

    recipe = Recipe
    picture = staticmethod(picture)
    read_picture = staticmethod(read_picture)
    film = staticmethod(film)
    numbers = staticmethod(numbers)
    data = staticmethod(data)
    video = staticmethod(video)


@pytest.fixture(scope="session")
def lab() -> type[Lab]:
    return Lab


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    """A sound dataset: episodes 2, 5 and 11 of 20, 7 and 13 frames."""
    return Recipe().write(tmp_path / "counter")


@pytest.fixture(scope="session")
def imported() -> Callable[..., FrameStore]:
    """Imports a source into the folder it lies in."""

    def run(source: Path, **options: Any) -> FrameStore:
        out = source.parent / "out.h5"
        import_sources([source], out, **options)
        return FrameStore(out)

    return run


@pytest.fixture(scope="session")
def refused() -> Callable[..., str]:
    """The one line with which an import is refused, which leaves nothing behind."""

    def run(source: Path, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            import_sources([source], source.parent / "out.h5", **options)
        assert list(source.parent.glob("out.h5*")) == []
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


@pytest.fixture(scope="session")
def told() -> Callable[[type[Lab], FrameStore], list[tuple[int, int]]]:
    """Episode and row that every frame of a recording says it is."""
    return lambda lab, store: [lab.read_picture(frame) for frame in store.take(np.arange(len(store)))]
