"""safetensors: our own file, for any program that reads the format (https://huggingface.co/docs/safetensors)."""

from pathlib import Path

from safetensors.torch import save_file

from ssl_robot.encoder import Encoder
from ssl_robot.portable import papers, prefixed


def export(encoder: Encoder, path: Path) -> list[str]:
    """Write the encoder file; recipe and fingerprint stand in its metadata by themselves too.

    Args:
        encoder: To be written.
        path: The file.
    """
    save_file(prefixed(encoder.backbone.state_dict(), ""), path, metadata={"format": "pt", **papers(encoder.card)})
    return ["encoder = ssl_robot.load('PATH')", "features = encoder(frames)  # uint8, any size -> (b, d)"]
