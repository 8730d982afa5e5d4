"""The truth itself."""

import numpy as np
import torch
from torch import Tensor

from ssl_robot.baselines import Setting
from ssl_robot.encoder import Layer
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Seen, find_label
from ssl_robot.readers import in_batches


class State:
    """Labels instead of frames: the ceiling, which shows what the head or the learner can do.

    Angles that wrap are given as cosine and sine. ``state`` takes every label but the actions, ``state:NAME`` one.

    Raises:
        InputError: If there are no labels.
    """

    sees = False

    def __init__(self, argument: str, setting: Setting) -> None:
        frames = setting.frames
        names = [find_label(frames, argument).name] if argument else sorted(set(frames.label_names) - {"actions"})
        if not names:
            raise InputError("The recording has no labels, so there is no 'state' to compare with: leave it out.")
        self.name = f"state:{argument}" if argument else "state"
        self.key = "-".join(("state", *names))
        self.labels: tuple[str, ...] = tuple(names)
        self._circular = {name: np.array(frames.label(name).circular) for name in names}

    def read(self, moments: Seen, layer: Layer = "output") -> Tensor:
        """The labels, float32, (b, d); what is not known is 0."""
        if layer != "output":
            raise InputError("'state' has no feature map: ask for --layer output.")
        columns: list[np.ndarray] = []
        for name in self.labels:
            values, circular = np.nan_to_num(moments.labels[name]), self._circular[name]
            columns += [values[:, ~circular], np.cos(values[:, circular]), np.sin(values[:, circular])]
        return torch.from_numpy(np.concatenate(columns, 1)).float()

    def everything(self, frames: Frames, layer: Layer = "output") -> Tensor:
        """The labels of each frame."""
        return in_batches(self, frames, layer)
