"""No eyes at all."""

import torch
from torch import Tensor

from ssl_robot.baselines import Setting, no_argument
from ssl_robot.encoder import Layer
from ssl_robot.frames import Frames, Seen


class Nothing:
    """One feature that is always 0: what a head guesses, or a policy does by what the robot feels alone."""

    name = "nothing"
    key = "nothing"
    sees = False
    labels: tuple[str, ...] = ()

    def __init__(self, argument: str, setting: Setting) -> None:
        no_argument("nothing", argument)

    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """Zeros, (b, 1); their map is (b, 1, 1, 1)."""
        return torch.zeros(len(moments.frames), *([1] if layer == "output" else [1, 1, 1]))

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """Zeros for each frame."""
        return torch.zeros(len(frames), *([1] if layer == "output" else [1, 1, 1]))
