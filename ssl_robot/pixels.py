"""Observations with images in them, and the same with features in the images' place: what all plugins share."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.backbones import used
from ssl_robot.encoder import Encoder, load
from ssl_robot.errors import InputError

Named = Mapping[str, Any]
_ALONE = ""  # the name of an observation that is an image itself
_LOOSE = 1e-3  # what resizing may add to black and white


def ready(encoder: Encoder | str | Path, device: str | None = None) -> Encoder:
    """The encoder that a plugin was given, or what ``load`` finds.

    Args:
        encoder: An encoder, or whatever ``load`` takes; that is frozen.
        device: Where it computes; if not given, an encoder stays where it is, and one that is loaded is on the CPU.
    """
    if isinstance(encoder, Encoder):
        return encoder if device is None else encoder.to(device)
    if not isinstance(encoder, str | Path):
        raise InputError(
            f"A {type(encoder).__name__} is no encoder of ours: give one that ssl_robot.load gave, or what it takes."
        )
    return load(encoder, device or "cpu")


@torch.inference_mode()
def vectors(encoder: Encoder, frames: Iterable[Tensor | NDArray[np.uint8]]) -> list[Tensor]:
    """Features of frames from several cameras, in one forward pass and in evaluation mode.

    Args:
        encoder: Learning or not; it is left as it was.
        frames: For each camera (..., h, w, 3) or (..., 3, h, w) of any size: uint8, or floats in [0, 1] with channels
            first.

    Returns:
        For each camera (..., d) float32, on the encoder's device.
    """
    leads: list[tuple[int, ...]] = []
    images: list[Tensor] = []
    for camera in frames:
        leads.append(tuple(camera.shape[:-3]))
        folded: Any = camera if len(leads[-1]) == 1 else camera.reshape(-1, *camera.shape[-3:])
        floats = isinstance(folded, Tensor) and folded.is_floating_point()
        images.append(encoder.resized(scaled(folded).to(encoder.device)) if floats else encoder.images(folded))
    with used(encoder):
        features = encoder.features(images[0] if len(images) == 1 else torch.cat(images)).float()
    parts = [features] if len(leads) == 1 else features.split([math.prod(lead) for lead in leads])
    return [part if len(lead) == 1 else part.reshape(*lead, -1) for part, lead in zip(parts, leads, strict=True)]


def scaled(images: Tensor) -> Tensor:
    """Floats that a host says are images, after a look at whether they can be.

    Args:
        images: (b, 3, h, w) in [0, 1].

    Raises:
        InputError: If they have other channels, or values that no picture has: features of these would be nonsense.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"Floats must be images of (b, 3, h, w), not {tuple(images.shape)}: put channels first.")
    if images.numel() and not (float(images.amin()) >= -_LOOSE and float(images.amax()) <= 1 + _LOOSE):
        raise InputError(
            f"Images lie in [{float(images.amin()):.3g}, {float(images.amax()):.3g}], not in [0, 1]: leave normalising "
            "to the encoder, and divide by 255 once."
        )
    return images


class Features:
    """Puts features in the place of an observation's images, in one forward pass however many there are.

    Args:
        space: Of a single observation: an image, or what lies under several names.
        encoder: What looks at the images.
        images: Names of the images; all there are, if not given.
        keep: Names of what else is kept; everything, if not given. Where nothing is kept beside a single image, its
            features are the whole observation.

    Attributes:
        space: What a single observation becomes; features are unbounded float32, (d,).
        width: Length of a feature vector, d.

    Raises:
        InputError: If there is no image, or nothing of a name that was given.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        encoder: Encoder,
        images: Sequence[str] | None = None,
        keep: Sequence[str] | None = None,
    ) -> None:
        parts: Named = space.spaces if isinstance(space, spaces.Dict) else {_ALONE: space}
        self.encoder, self.width = encoder, encoder.width
        images, keep = ([given] if isinstance(given, str) else given for given in (images, keep))
        self._images = _images_of(parts, images)
        others = [name for name in parts if name not in self._images]
        self._kept = others if keep is None else list(keep)
        if unknown := [name for name in self._kept if name not in others]:
            raise InputError(f"There is no {unknown[0]!r} to keep beside the images: the observation {_told(parts)}.")
        self._alone = len(self._images) == 1 and not self._kept and (_ALONE in parts or keep is not None)
        made = {name: _unbounded((*parts[name].shape[:-3], self.width)) for name in self._images}
        everything: dict[str, spaces.Space[Any]] = {name: parts[name] for name in parts if name in self._kept}
        self.space: spaces.Space[Any] = made[self._images[0]] if self._alone else spaces.Dict({**everything, **made})

    def one(self, observation: Any) -> Any:
        """A single observation."""
        named = _named(observation)
        images = self._encoded({name: np.asarray(named[name])[None] for name in self._images})
        return self._joined({name: value[0] for name, value in images.items()}, named)

    def batch(self, observations: Any, last: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
        """Observations of several environments as a vector of them gives them, and single ones beside them.

        Args:
            observations: An array, or one under each name, of (environments, ...).
            last: Single observations, such as those that episodes ended with.
        """
        named, ended = _named(observations), [_named(observation) for observation in last]
        frames: dict[str, Any] = {name: named[name] for name in self._images}
        if ended:
            frames = {name: np.concatenate([value, [one[name] for one in ended]]) for name, value in frames.items()}
        images = self._encoded(frames)
        n = len(named[self._images[0]])
        now = {name: value[:n] for name, value in images.items()}
        then = [self._joined({k: v[n + i] for k, v in images.items()}, one) for i, one in enumerate(ended)]
        return self._joined(now, named), then

    def _encoded(self, frames: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        found = vectors(self.encoder, frames.values())
        return {name: value.cpu().numpy() for name, value in zip(frames, found, strict=True)}

    def _joined(self, images: Named, named: Named) -> Any:
        if self._alone:
            return images[self._images[0]]
        return {name: images.get(name, value) for name, value in named.items() if name in images or name in self._kept}


def _named(observation: Any) -> Named:
    return observation if isinstance(observation, Mapping) else {_ALONE: observation}


def _unbounded(shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _is_image(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(shape) >= 3 and 3 in (shape[-3], shape[-1])


def _images_of(parts: Named, chosen: Sequence[str] | None) -> list[str]:
    images = [name for name in parts if _is_image(parts[name])] if chosen is None else list(chosen)
    if not images:
        raise InputError(
            f"There is no image to encode: the observation {_told(parts)}, and an image is uint8 of (h, w, 3) or "
            "(3, h, w); have the environment rendered into it (gymnasium's AddRenderObservation, or for a vector "
            "ssl_robot.plugins.gymnasium.RenderObservation)."
        )
    for name in images:
        if name not in parts or not _is_image(parts[name]):
            raise InputError(
                f"{name!r} is no image: the observation {_told(parts)}, and an image is uint8 of (h, w, 3) or "
                "(3, h, w), as the camera took it, not scaled."
            )
    return images


def _told(parts: Named) -> str:
    """What an observation holds, in words."""
    told = {name: f"{space.dtype} of {space.shape}" for name, space in parts.items()}
    return f"is {told[_ALONE]}" if _ALONE in told else f"has {', '.join(f'{n!r} ({t})' for n, t in told.items())}"
