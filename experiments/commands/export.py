"""Write a recording or an encoder for other programs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction


@dataclass(frozen=True)
class Export:
    """Write a recording as a dataset that LeRobot or Minari reads, every pixel kept, or an encoder for other programs.

    Attributes:
        source: Recording; or run directory or encoder file.
        out: Folder to make, whose name is the dataset's for minari, as in pusht-v0; for an encoder, file to make.
        format: For a recording lerobot or minari; for an encoder onnx, torch-export or torchscript (preprocessing
            inside), timm or torchvision (weights that they load), or safetensors (our own).
        camera: Camera to write, may be given again; all if not given.
        video: Write lossy videos instead (lerobot).
        codec: Encoder of the videos, with --video; libsvtav1 if not given.
        fps: Frames per second, where the recording does not say.
    """

    source: Positional[Path]
    out: Path
    format: str
    camera: Annotated[tuple[str, ...], UseAppendAction] = ()
    video: bool = False
    codec: Literal["libsvtav1", "h264"] | None = None
    fps: float | None = None

    def run(self) -> int:
        """Export what the source is; what does not go with the format is said, with what does."""
        import ssl_robot.datasets.exporters
        from ssl_robot import catalogue
        from ssl_robot.datasets.layout import is_ours
        from ssl_robot.errors import InputError

        name, layouts = self.format.replace("-", "_"), catalogue.names(ssl_robot.datasets.exporters)
        recording = self.source.is_file() and is_ours(self.source)
        try:
            if name in layouts and not _is_encoder(self.source):
                return self._recording()
            if not recording and name not in layouts:
                return self._encoder(name)
        except KeyboardInterrupt:
            print(f"ssl-robot: interrupted; {self.out} was not written.", file=sys.stderr)
            return 130
        if recording:
            raise InputError(
                f"{self.source} is a recording: choose --format {' or '.join(layouts)}, or name a run to export its "
                "encoder."
            )
        raise InputError(
            f"{self.source} is an encoder, and {self.format} takes recordings: choose --format {_encoders()}."
        )

    def _recording(self) -> int:
        """Say what was written and what there was no place for."""
        from ssl_robot.datasets.exports import export_store
        from ssl_robot.errors import InputError

        if self.codec and not self.video:
            raise InputError(f"--codec {self.codec} is an encoder of videos: add --video, or leave it out.")
        codec = (self.codec or "libsvtav1") if self.video else None
        done = export_store(self.source, self.out, self.format, self.camera, codec, self.fps)
        for sentence in done.warnings:
            print(f"warning: {sentence}", file=sys.stderr)
        print(f"{self.out}: {done.frames:,} frames in {done.episodes:,} episode(s)")
        return 0

    def _encoder(self, name: str) -> int:
        """Say how the file is used."""
        from ssl_robot.encoder import load
        from ssl_robot.errors import InputError
        from ssl_robot.exports import export_encoder

        if self.camera or self.video or self.codec or self.fps:
            raise InputError("--camera, --video, --codec and --fps are for recordings: leave them out for an encoder.")
        lines = export_encoder(load(self.source), name, self.out)
        print(f"{self.out}: {self.out.stat().st_size / 1e6:,.1f} MB, gives the encoder's own features")
        print("\n".join(f"    {line}" for line in lines))
        return 0


def _is_encoder(source: Path) -> bool:
    """Whether a path can only be an encoder."""
    return source.is_dir() or source.suffix == ".safetensors"


def _encoders() -> str:
    from ssl_robot.exports import formats

    *most, last = (name.replace("_", "-") for name in formats())
    return f"{', '.join(most)} or {last}"
