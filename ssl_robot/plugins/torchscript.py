"""TorchScript: for C++ and robots that run an older PyTorch."""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.encoder import Encoder
from ssl_robot.portable import check, example, papers, still


def export(encoder: Encoder, path: Path) -> list[str]:
    """Write a TorchScript module: uint8 frames, (b, h, w, 3) of any number and size, to features, (b, d).

    Recipe, fingerprint and card are its extra files, by these names; ``papers`` lists them.

    Args:
        encoder: To be written.
        path: The file.

    Raises:
        InputError: If the module that is read back gives other features.
    """
    portable = still(encoder)
    written = papers(encoder.card)
    with warnings.catch_warnings():  # torch would rather see torch.export used; a robot's PyTorch may be older
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(portable, (example(),), check_trace=False)
        torch.jit.save(traced, str(path), _extra_files={**written, "papers": json.dumps(list(written))})
        module = torch.jit.load(str(path), map_location="cpu")

    def route(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            features: NDArray[np.float32] = module(torch.from_numpy(frames)).numpy()
        return features

    check(portable, route, "TorchScript")
    return [
        "network = torch.jit.load('PATH')",
        "features = network(frames)  # uint8 (b, h, w, 3), any size -> (b, d)",
    ]
