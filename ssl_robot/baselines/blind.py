"""What an encoder could still read if it were exactly invariant."""

import numpy as np
import torch
from torch import Tensor

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.baselines import Setting
from ssl_robot.encoder import Card, Encoder, Layer
from ssl_robot.errors import InputError
from ssl_robot.features import random_encoder
from ssl_robot.frames import Frames, Seen
from ssl_robot.invariances import Invariance, Source
from ssl_robot.invariances.time import Time
from ssl_robot.readers import EncoderReader, in_batches

_NETWORK = "wide"  # whose random weights hold a pose already


class Averaged:
    """An encoder's features averaged over an invariance's own transformations.

    Over time they are averaged over the frames of an episode, for which a recording is needed.

    Args:
        encoder: Usually a random one: no training is needed.
        invariance: What the features become blind to.
        name: What a report calls it.

    Raises:
        InputError: If the invariance is one that a recording does not show (another camera).
    """

    sees = True
    labels: tuple[str, ...] = ()

    def __init__(self, encoder: Encoder, invariance: Invariance, name: str) -> None:
        if isinstance(invariance, Source) and not isinstance(invariance, Time):
            raise InputError(f"Features cannot be averaged over what a recording does not show: leave out {name}.")
        self.encoder, self.invariance, self.name = encoder, invariance, name

    @property
    def key(self) -> str:
        """The encoder's, and what it is averaged over."""
        return f"{EncoderReader(self.encoder, self.name).key}-{self.invariance}"

    @torch.inference_mode()
    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """The mean over the transformations."""
        self._check(layer)
        if isinstance(self.invariance, Source):
            raise InputError(f"'{self.name}' is known when an episode is over, not while acting: leave it out.")
        images = self.encoder.images(moments.frames)
        total, count = torch.zeros(()), 0
        for moved in self.invariance.orbit(images):
            total, count = total + self.encoder.features(moved), count + 1
        return total / count

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """The mean over the transformations; for time over all frames of the same episode."""
        if not isinstance(self.invariance, Source):
            return in_batches(self, frames, layer)
        self._check(layer)
        features = EncoderReader(self.encoder, self.name).everything(frames, layer)
        _, place, counts = np.unique(frames.episodes, return_inverse=True, return_counts=True)
        where, many = torch.from_numpy(place), torch.from_numpy(counts)
        sums = torch.zeros(len(counts), features.shape[1]).index_add_(0, where, features)
        return (sums / many[:, None])[where]

    def _check(self, layer: Layer) -> None:
        if layer != "output":
            raise InputError(f"A feature map moves with the frame, so '{self.name}' has none: ask for --layer output.")


class Blind(Averaged):
    """Random features that are exactly blind to an invariance of usual strength: the positive control of every probe.

    Raises:
        InputError: If the invariance is not known, or is one that a recording does not show (another camera).
    """

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise InputError("'blind' to what? Name an invariance, as blind:rotation.")
        like = Card(_NETWORK, setting.like.size, setting.like.mean, setting.like.std)
        invariance: Invariance = catalogue.found(ssl_robot.invariances, argument)()
        super().__init__(random_encoder(like, setting.seed), invariance, f"blind:{argument}")
