"""What a policy is given of a moment: features of what is seen, and what the robot knows of itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.arena import Places
from ssl_robot.encoder import Layer
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Seen, find_label, seen
from ssl_robot.readers import Reader

_CELLS = 4  # a side: feature maps are read coarsely, as by the pose probe
_FAR = 10.0  # standard deviations


def own_of(frames: Frames, said: Sequence[str], usual: Places) -> Places:
    """What the robot knows of itself: as the world has it, or as the user says.

    Args:
        frames: The recording.
        said: As ``state:0,1,2`` or ``agent_pos``; ``none`` for nothing; empty for what is usual.
        usual: What the world says.

    Raises:
        InputError: If there is no such label or no such number of it.
    """
    if not said:
        return usual
    places: dict[str, tuple[int, ...]] = {}
    for word in said if tuple(said) != ("none",) else ():
        name, _, numbers = word.partition(":")
        label = find_label(frames, name)
        width = len(label.components)
        try:
            places[label.name] = tuple(int(n) for n in numbers.split(",")) if numbers else tuple(range(width))
        except ValueError:
            raise InputError(f"'{word}' does not say which numbers: write it as {name}:0,1,2.") from None
        if not all(0 <= place < width for place in places[label.name]):
            raise InputError(f"'{word}' asks for a number that {label.name} lacks: it has 0 to {width - 1}.")
    return places


def felt_by(labels: Mapping[str, NDArray[np.float64]], own: Places, count: int) -> Tensor:
    """What robots know of themselves, out of what is known about their moments, (count, k)."""
    chosen = [labels[name][:, list(places)] for name, places in own.items()]
    return torch.from_numpy(np.concatenate([np.zeros((count, 0)), *chosen], 1)).float()


def check_sight(reader: Reader, frames: Frames, layer: Layer) -> None:
    """Look at a single moment, as a policy that acts will: better refused now than after everything was learnt.

    Raises:
        InputError: If the reader has no such layer, or needs more than one moment.
    """
    reader.read(seen(frames, np.zeros(1, np.int64), reader.labels), layer)


def flat(features: Tensor) -> Tensor:
    """Features as vectors, (b, d): maps are averaged to at most 4x4 cells and flattened."""
    if features.ndim == 4 and max(features.shape[2:]) > _CELLS:
        features = F.adaptive_avg_pool2d(features, _CELLS)
    return features.flatten(1).float()


class Eye:
    """Features of moments as a learner takes them, standardised.

    Args:
        reader: What is looked through.
        layer: Of the reader.
        own: What the robot knows of itself.
        frames: Whose features have mean 0 and standard deviation 1.
    """

    def __init__(self, reader: Reader, layer: Layer, own: Places, frames: Frames) -> None:
        self._reader, self._layer, self._own, self.sees = reader, layer, own, reader.sees
        felt = felt_by({name: frames.values(name) for name in own}, own, len(frames))
        known = torch.cat([flat(reader.everything(frames, layer)).cpu(), felt], 1)
        self._mean, spread = known.mean(0), known.std(0)
        self._std = spread.clamp(min=float(1e-3 * spread.mean()) + 1e-12)

    @property
    def width(self) -> int:
        """Numbers of a moment."""
        return len(self._mean)

    def __call__(self, now: Seen) -> NDArray[np.float32]:
        """(copies, width); what lies far outside of the recording is held at 10 standard deviations."""
        features = flat(self._reader.read(now, self._layer)).cpu()
        known = torch.cat([features, felt_by(now.labels, self._own, len(features))], 1)
        standard: NDArray[np.float32] = ((known - self._mean) / self._std).clamp(-_FAR, _FAR).numpy()
        return standard
