"""An encoder as a core of robomimic's observation encoders.

Importing this file is what makes the name known to robomimic; its configuration then asks for it:

    config.observation.encoder.rgb.core_class = "SSLCore"
    config.observation.encoder.rgb.core_kwargs = {"encoder": "runs/robot"}
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.pixels import ready, scaled

try:
    from robomimic.models.base_nets import ConvBase
    from robomimic.models.obs_core import EncoderCore
except ModuleNotFoundError:
    raise InputError("robomimic is not installed: pip install 'ssl-robot[robomimic]'.") from None


class SSLCore(EncoderCore, ConvBase):  # type: ignore[misc,unused-ignore]
    """Features of one camera, in the place of a ``VisualCore``.

    robomimic hands frames over in [0, 1] with channels first, at the size of the recording: no resizing or normalising
    belongs before this. Batch norm stays in evaluation mode, learning or not.

    Args:
        input_shape: (3, h, w) of the camera's frames; robomimic fills it in.
        encoder: What ``ssl_robot.load`` takes, so that the configuration can be written to a file; or an encoder.
        freeze: Whether it does not learn.

    Raises:
        InputError: If the camera's frames are not of three channels.
    """

    def __init__(self, input_shape: Sequence[int], encoder: Encoder | str | Path, freeze: bool = True) -> None:
        if len(input_shape) != 3 or input_shape[0] != 3:
            raise InputError(f"robomimic gives observations of {tuple(input_shape)} here: an encoder sees (3, h, w).")
        super().__init__(input_shape=input_shape)
        self._freeze = freeze
        self.encoder = copy.deepcopy(ready(encoder)).requires_grad_(not freeze).eval()

    def output_shape(self, input_shape: Any = None) -> list[int]:
        """Length of the features, for frames of any size."""
        return [self.encoder.width]

    def forward(self, inputs: Tensor) -> Tensor:
        """Features, (b, d), of frames in [0, 1], (b, 3, h, w).

        Raises:
            InputError: If they lie elsewhere: something has scaled them differently before.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._freeze):
            features: Tensor = self.encoder.features(self.encoder.resized(scaled(inputs)))
        return features

    def train(self, mode: bool = True) -> Self:
        """The encoder stays in evaluation mode: a policy acts with the numbers that it learnt with."""
        super().train(mode)
        self.encoder.eval()
        return self
