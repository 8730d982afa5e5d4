"""An encoder as a transform of TorchRL, beside its own R3MTransform."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.pixels import ready, vectors

try:
    from tensordict import TensorDictBase
    from torchrl.data.tensor_specs import Composite, Unbounded
    from torchrl.envs.transforms import Transform
except ModuleNotFoundError:
    raise InputError("TorchRL is not installed: pip install 'ssl-robot[torchrl]'.") from None


class EncoderTransform(Transform):  # type: ignore[misc,unused-ignore]
    """Puts features in the place of pixels, however many environments they come from, in one forward pass.

    >>> pixels = GymEnv("Reacher-v5", from_pixels=True, pixels_only=True)  # doctest: +SKIP
    >>> env = TransformedEnv(pixels, EncoderTransform("runs/reacher"))  # doctest: +SKIP

    The encoder is a frozen copy. Pixels are taken as the environment gives them, uint8 of any size with channels first
    or last; after ``ToTensorImage``, floats in [0, 1] with channels first, they give the same features.

    Args:
        encoder: An encoder, or what ``ssl_robot.load`` takes.
        in_keys: Where pixels are.
        out_keys: Where features, (..., d) float32, are put: as many.
        del_keys: Whether the pixels are left out then.
        device: Where the encoder computes, if it shall be moved; features come back to where the pixels are.

    Raises:
        InputError: If the keys are not as many, or the environment has no pixels of that name.
    """

    def __init__(
        self,
        encoder: Encoder | str | Path,
        in_keys: Sequence[Any] = ("pixels",),
        out_keys: Sequence[Any] = ("features",),
        del_keys: bool = True,
        device: str | None = None,
    ) -> None:
        if len(in_keys) != len(out_keys):
            raise InputError(f"There are {len(in_keys)} in_keys and {len(out_keys)} out_keys: give one for each.")
        super().__init__(in_keys=list(in_keys), out_keys=list(out_keys))
        own = copy.deepcopy(ready(encoder))
        self.encoder = own.to(device or own.device).requires_grad_(False).eval()
        self._drops = [key for key in in_keys if key not in out_keys] if del_keys else []

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        pixels: list[torch.Tensor] = [next_tensordict.get(key) for key in self.in_keys]
        found = vectors(self.encoder, pixels)
        for key, seen, features in zip(self.out_keys, pixels, found, strict=True):
            # what was made in inference mode could not be learnt from
            next_tensordict.set(key, features.to(seen.device).clone())
        return next_tensordict.exclude(*self._drops, inplace=True)

    forward = _call

    def _reset(self, tensordict: TensorDictBase, tensordict_reset: TensorDictBase) -> TensorDictBase:
        return self._call(tensordict_reset)

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """What the environment says of its observations, with features in the place of pixels."""
        spec, known = observation_spec.clone(), list(observation_spec.keys(True, True))
        for key, out in zip(self.in_keys, self.out_keys, strict=True):
            if key not in known:
                raise InputError(f"The environment has no {key!r} to encode: give in_keys out of {known}.")
            shape, device = spec[key].shape[:-3], spec[key].device
            spec[out] = Unbounded(shape=(*shape, self.encoder.width), device=device, dtype=torch.float32)
        for key in self._drops:
            del spec[key]
        return spec
