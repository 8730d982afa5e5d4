"""``torch.export``: the whole computation in one file that PyTorch runs without our code, or compiles ahead of time."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.encoder import Encoder
from ssl_robot.portable import check, example, papers, still


def export(encoder: Encoder, path: Path) -> list[str]:
    """Write an ``ExportedProgram`` (.pt2): uint8 frames, (b, h, w, 3) of any number and size, to features, (b, d).

    Recipe, fingerprint and card are its extra files, by these names.

    Args:
        encoder: To be written.
        path: The file.

    Raises:
        InputError: If the program that is read back gives other features.
    """
    portable = still(encoder)
    sizes = {dimension: torch.export.Dim.DYNAMIC for dimension in range(3)}
    program = torch.export.export(portable, (example(),), dynamic_shapes=(sizes,))
    with path.open("wb") as written:  # by a path torch takes only the suffix .pt2
        torch.export.save(program, written, extra_files=papers(encoder.card))
    with path.open("rb") as read:
        module = torch.export.load(read).module()

    def route(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = module(torch.from_numpy(frames)).numpy()
        return features

    check(portable, route, "torch.export")
    return [
        "network = torch.export.load('PATH').module()",
        "features = network(frames)  # uint8 (b, h, w, 3), any size -> (b, d)",
    ]
