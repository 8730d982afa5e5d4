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
from ssl_robot.invariances import Source
from ssl_robot.readers import EncoderReader, in_batches

_NETWORK = "wide"  # whose random weights hold a pose already


class Blind:
    """Random features averaged over an invariance's own transformations: the positive control of every probe.

    ``blind:time`` averages over the frames of an episode, and so needs a recording.

    Raises:
        InputError: If the invariance is not known, or is one that a recording does not tell (another camera).
    """

    sees = True
    labels: tuple[str, ...] = ()

    def __init__(self, argument: str, setting: Setting) -> None:
        if not argument:
            raise InputError("'blind' to what? Name an invariance, as blind:rotation.")
        like = Card(_NETWORK, setting.like.size, setting.like.mean, setting.like.std)
        self.name = f"blind:{argument}"
        self.encoder: Encoder = random_encoder(like, setting.seed)
        self.invariance = catalogue.found(ssl_robot.invariances, argument)()
        if isinstance(self.invariance, Source) and argument != "time":
            raise InputError(f"Features cannot be averaged over another {argument}: leave out {self.name}.")
        self.key = f"{EncoderReader(self.encoder, self.name).key}-{self.invariance}"

    @torch.inference_mode()
    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """The mean over the transformations."""
        if layer == "map":
            raise InputError(f"A feature map moves with the frame, so '{self.name}' has none: ask for --layer output.")
        if isinstance(self.invariance, Source):
            raise InputError("'blind:time' is known when an episode is over, not while acting: leave it out.")
        images = self.encoder.images(moments.frames)
        return torch.stack([self.encoder.features(moved) for moved in self.invariance.orbit(images)]).mean(0)

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """The mean over the transformations; for time over all frames of the same episode."""
        if not isinstance(self.invariance, Source):
            return in_batches(self, frames, layer)
        features = EncoderReader(self.encoder, self.name).everything(frames, layer)
        _, place, counts = np.unique(frames.episodes, return_inverse=True, return_counts=True)
        where, many = torch.from_numpy(place), torch.from_numpy(counts)
        sums = torch.zeros(len(counts), features.shape[1]).index_add_(0, where, features)
        return (sums / many[:, None])[where]
