"""A LeRobot dataset to features beside its actions and states, which robomimic or a few lines of PyTorch learn from.

ssl-robot pretrain robot.h5 --out runs/robot          (robot.h5: see --recording)
python experiments/examples/lerobot_to_features.py path/to/lerobot_dataset runs/robot --out features.h5
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tyro

from ssl_robot.baselines import named
from ssl_robot.datasets.features import FeatureFile, encode_store
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError


def main(
    source: tyro.conf.Positional[Path],
    encoder: tyro.conf.Positional[str],
    out: Path,
    size: int | None = None,
    recording: Path | None = None,
) -> None:
    """Import, encode, and show what there is to learn from.

    Args:
        source: Root folder of a LeRobot dataset, v2.0 to v3.0.
        encoder: Run directory, encoder file, or a baseline.
        out: File of features to write.
        size: Height and width of the frames between the two steps; their own size if not given.
        recording: Keep our recording too, as this file.
    """
    with _kept(recording) as frames:
        import_sources([source], frames, "lerobot", size)
        cameras = FrameStore(frames).schema.cameras
        encode_store(frames, out, {camera: named(encoder, FrameStore(frames, camera)) for camera in cameras})
    found = FeatureFile.opened(out)
    for camera in found.made:
        features, actions = found.read(camera), found.column("actions")  # row by row, for any regression
        print(f"{camera}: features {features.shape} {features.dtype}, actions {actions.shape} {actions.dtype}")


@contextmanager
def _kept(recording: Path | None) -> Iterator[Path]:
    """Where our recording goes: the file that was named, or a place that is cleared afterwards."""
    if recording is not None:
        yield recording
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "recording.h5"


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        sys.exit(str(error))
