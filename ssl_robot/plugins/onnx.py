"""ONNX: one file for any runtime, preprocessing inside (https://onnx.ai); extra ``onnx``."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.portable import Portable, check, example, papers, still

OPSET = 18  # the first whose Resize antialiases


def export(encoder: Encoder, path: Path) -> list[str]:
    """Write an ONNX model: input ``frames``, uint8 (b, h, w, 3) of any number and size; output ``features``, (b, d).

    Recipe, fingerprint and card are its metadata.

    Args:
        encoder: To be written.
        path: The file.

    Raises:
        InputError: If the extra is not installed, the network cannot be written, or ONNX Runtime disagrees.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter asks for it late)
    except ImportError:
        raise InputError("ONNX needs its libraries: pip install 'ssl-robot[onnx]'.") from None
    portable = still(encoder)
    program = _translated(portable)
    program.model.metadata_props.update(papers(encoder.card))
    program.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def route(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = session.run(None, {"frames": frames})[0]
        return features

    check(portable, route, "ONNX Runtime")
    return [
        "session = onnxruntime.InferenceSession('PATH')",
        "features = session.run(None, {'frames': frames})[0]  # uint8 (b, h, w, 3), any size -> (b, d)",
    ]


def _translated(portable: Portable) -> Any:
    """The network in ONNX's words; what torch's exporter has to say on the way is of no use to a user."""
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
    chatter = logging.getLogger("torch.onnx")
    level = chatter.level
    chatter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                portable, (example(),), dynamo=True, opset_version=OPSET, verbose=False, input_names=["frames"],
                output_names=["features"], dynamic_shapes=(sizes,),
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        why = str(error).strip().splitlines()[0]
        raise InputError(
            f"'{portable.encoder.card.backbone}' cannot be written as ONNX ({why}): try --format torch-export."
        ) from None
    finally:
        chatter.setLevel(level)
