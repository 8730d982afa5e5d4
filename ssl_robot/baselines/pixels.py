"""Raw pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.baselines import Setting, no_argument
from ssl_robot.encoder import Layer
from ssl_robot.frames import Frames, Seen
from ssl_robot.readers import in_batches

_SIDE = 32


class Pixels:
    """Frames at 32x32 as they are, 3,072 numbers: what every encoder must beat."""

    name = "pixels"
    key = f"pixels-{_SIDE}"
    sees = True
    labels: tuple[str, ...] = ()

    def __init__(self, argument: str, setting: Setting) -> None:
        no_argument("pixels", argument)

    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """Colours in [0, 1]; their map, whatever layer it is asked for as, is (b, 3, 32, 32)."""
        images = torch.from_numpy(moments.frames).permute(0, 3, 1, 2).float() / 255
        small = F.interpolate(images, (_SIDE, _SIDE), mode="area")
        return small.flatten(1) if layer == "output" else small

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """Pixels of each frame."""
        return in_batches(self, frames, layer)
