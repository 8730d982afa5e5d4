"""Keep an encoder's features of a recording in a file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction

if TYPE_CHECKING:
    from ssl_robot.datasets.store import FrameStore
    from ssl_robot.readers import Reader


@dataclass(frozen=True)
class Encode:
    """Write the features of every frame, with actions and labels, to a file that robomimic reads.

    Attributes:
        encoder: Run directory, encoder file, or a baseline: random, pixels, efficientnet_lite0, timm:NAME, state.
        data: Recording.
        out: File to write.
        layer: output for the vector a policy reads, map for the feature map before pooling.
        camera: Camera to look through, may be given again; all if not given.
        if_exists: What to do with a file that is there already.
        device: auto, cpu or cuda.
    """

    encoder: Positional[str]
    data: Positional[Path]
    out: Path
    layer: Literal["output", "map"] = "output"
    camera: Annotated[tuple[str, ...], UseAppendAction] = ()
    if_exists: Literal["error", "overwrite"] = "error"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def run(self) -> int:
        """Encode, and say what was written."""
        from torch.backends import cudnn

        from ssl_robot.datasets.features import encode_store
        from ssl_robot.datasets.store import FrameStore

        cameras = self.camera or tuple(FrameStore(self.data).schema.cameras)
        readers = {camera: self._reader(FrameStore(self.data, camera)) for camera in dict.fromkeys(cameras)}
        try:
            with cudnn.flags(enabled=True, allow_tf32=False):  # as exact on a GPU as the encoder is elsewhere
                done = encode_store(self.data, self.out, readers, self.layer, self.if_exists)
        except KeyboardInterrupt:
            print(f"ssl-robot: interrupted; {self.out} was not written.", file=sys.stderr)
            return 130
        for camera, made in done.made.items():
            shape = " x ".join(str(size) for size in made["shape"])
            print(f"{camera}_features: {sum(done.rows.values()):,} x {shape}, float32")
        print(f"{self.out}: {self.out.stat().st_size / 1e6:,.1f} MB, {done.episodes:,} episode(s)")
        return 0

    def _reader(self, frames: "FrameStore") -> "Reader":
        """The encoder or baseline, on the device."""
        from ssl_robot.baselines import named
        from ssl_robot.training import Training

        reader = named(self.encoder, frames)
        encoder = getattr(reader, "encoder", None)
        if encoder is not None:
            encoder.to(Training(device=self.device).chosen_device())
        return reader
