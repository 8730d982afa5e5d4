"""What a method's projector makes of an encoder's vectors: kept with a run, to ask what only it forgets."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ssl_robot.config import key
from ssl_robot.encoder import Encoder, Layer
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Seen
from ssl_robot.methods import Method
from ssl_robot.readers import EncoderReader, in_batches

PROJECTOR = "projector.safetensors"


def save(objective: nn.Module, folder: Path) -> None:
    """Keep a projector's weights in a run directory; nothing, where the method has no single one (DINO, LooC)."""
    projector = getattr(objective, "projector", None)
    if isinstance(projector, nn.Module):
        weights = {name: value.detach().cpu().contiguous() for name, value in projector.state_dict().items()}
        partial = folder / f"{PROJECTOR}.partial"
        save_file(weights, partial)
        partial.replace(folder / PROJECTOR)


def kept(method: Method) -> bool:
    """Whether runs of a method keep a projector."""
    return isinstance(getattr(method.build(nn.Identity(), 8), "projector", None), nn.Module)


class ProjectorReader:
    """An encoder with its projector on top.

    Args:
        encoder: Of the run.
        method: That it was trained with.
        folder: The run directory.
        name: What a report calls it.

    Raises:
        InputError: If the run kept no projector.
    """

    sees = True
    labels: tuple[str, ...] = ()

    def __init__(self, encoder: Encoder, method: Method, folder: Path, name: str) -> None:
        if not (folder / PROJECTOR).is_file():
            raise InputError(f"{folder} keeps no projector: its method has none, or an older version ran it.")
        self.encoder, self.name = encoder, name
        built = method.build(encoder.backbone, encoder.width)
        projector = built.get_submodule("projector")
        projector.load_state_dict(load_file(folder / PROJECTOR))
        self._projector = projector.eval().requires_grad_(False)

    @property
    def key(self) -> str:
        """Hash of the weights of both."""
        sums = [value.double().sum().item() for value in self._projector.state_dict().values()]
        return key(EncoderReader(self.encoder, self.name).key, sums)

    @torch.inference_mode()
    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """Embeddings."""
        if layer != "output":
            raise InputError(f"A projector has one layer, its output, not '{layer}'.")
        embeddings: Tensor = self._projector(self.encoder(moments.frames))
        return embeddings.clone()

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """Embeddings of each frame."""
        return in_batches(self, frames, layer)
