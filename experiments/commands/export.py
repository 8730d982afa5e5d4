"""Write a recording as a dataset of another format."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction


@dataclass(frozen=True)
class Export:
    """Write a recording as a dataset that LeRobot or Minari reads, every pixel kept.

    Attributes:
        data: Recording.
        out: Folder to make; for minari, its name is the dataset's, as in pusht-v0.
        format: Layout of the dataset.
        camera: Camera to write, may be given again; all if not given.
        video: Write lossy videos instead (lerobot).
        codec: Encoder of the videos, with --video; libsvtav1 if not given.
        fps: Frames per second, where the recording does not say.
    """

    data: Positional[Path]
    out: Path
    format: Literal["lerobot", "minari"]
    camera: Annotated[tuple[str, ...], UseAppendAction] = ()
    video: bool = False
    codec: Literal["libsvtav1", "h264"] | None = None
    fps: float | None = None

    def run(self) -> int:
        """Export, and say what was written and what there was no place for."""
        from ssl_robot.datasets.exports import export_store
        from ssl_robot.errors import InputError

        if self.codec and not self.video:
            raise InputError(f"--codec {self.codec} is an encoder of videos: add --video, or leave it out.")
        codec = (self.codec or "libsvtav1") if self.video else None
        try:
            done = export_store(self.data, self.out, self.format, self.camera, codec, self.fps)
        except KeyboardInterrupt:
            print(f"ssl-robot: interrupted; {self.out} was not written.", file=sys.stderr)
            return 130
        for sentence in done.warnings:
            print(f"warning: {sentence}", file=sys.stderr)
        print(f"{self.out}: {done.frames:,} frames in {done.episodes:,} episode(s)")
        return 0
