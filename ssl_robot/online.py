"""What labels say about an encoder while it is trained: quick answers, not those of a probe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.encoder import Encoder
from ssl_robot.frames import Frames

_SAMPLE, _FEWEST = 512, 64
_NEIGHBOURS = 10
_PENALTY = 1e-3
_BATCH = 64


Watch = Callable[[Encoder], Mapping[str, float]]


@dataclass(frozen=True)
class Watched:
    """Frames of the training rows with what is known about them.

    Attributes:
        frames: (n, h, w, 3) uint8.
        targets: Standardised, (n, targets).
        read: Which of them the read-out is fitted on; the others' episodes are others.
        half: Whether the encoder computes in bf16, as it does when it is trained so.
    """

    frames: NDArray[np.uint8]
    targets: Tensor
    read: NDArray[np.bool_]
    half: bool

    @classmethod
    def of(cls, frames: Frames, rows: NDArray[np.int64], half: bool) -> "Watched | None":
        """At most 512 frames, evenly spread; none where there are no labels that vary, or only one episode.

        And at most a sixteenth of the rows: to look must stay cheap beside an epoch.
        """
        count = min(len(rows), _SAMPLE, max(_FEWEST, len(rows) // 16))
        chosen = rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
        names = [name for name in frames.label_names if name != "actions"]
        episodes = frames.episodes[chosen]
        read = np.isin(episodes, np.unique(episodes)[::4], invert=True)
        if not names or read.all() or not read.any():
            return None
        values = torch.from_numpy(np.concatenate([frames.values(name)[chosen] for name in names], 1))
        values = values[:, values.std(0) > 1e-9]
        if not values.shape[1] or not bool(values.isfinite().all()):
            return None
        return cls(frames.take(chosen), ((values - values.mean(0)) / values.std(0)).float(), read, half)

    @torch.no_grad()
    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """Mean R2 over the labels' components, read by ridge regression and by the nearest neighbours."""
        training, kind = encoder.training, next(encoder.parameters()).device.type
        encoder.eval()
        with torch.autocast(kind, torch.bfloat16, enabled=self.half):
            parts = [encoder(self.frames[i : i + _BATCH]).float().cpu() for i in range(0, len(self.frames), _BATCH)]
        encoder.train(training)
        features, read = torch.cat(parts), torch.from_numpy(self.read)
        seen, asked = features[read], features[~read]
        return {
            "ridge_r2": _r2(_ridge(seen, self.targets[read], asked), self.targets[~read]),
            "knn_r2": _r2(_nearest(seen, self.targets[read], asked), self.targets[~read]),
        }


def _ridge(seen: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
    mean, std = seen.mean(0), seen.std(0).clamp(min=1e-6)
    x, query = (torch.cat([(part - mean) / std, torch.ones(len(part), 1)], 1).double() for part in (seen, asked))
    gram = x.T @ x / len(x) + _PENALTY * torch.eye(x.shape[1], dtype=x.dtype)
    weights: Tensor = torch.linalg.solve(gram, x.T @ targets.double() / len(x))
    return (query @ weights).float()


def _nearest(seen: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
    """The mean of the ten frames with the highest cosine, each weighed by it."""
    cosine = F.normalize(asked, dim=1) @ F.normalize(seen, dim=1).T
    weights, places = cosine.topk(min(_NEIGHBOURS, len(seen)), dim=1)
    weights = (weights / 0.1).softmax(1)
    return (targets[places] * weights[:, :, None]).sum(1)


def _r2(predicted: Tensor, actual: Tensor) -> float:
    spread = (actual - actual.mean(0)).square().sum(0).clamp(min=1e-6)
    return float((1 - (predicted - actual).square().sum(0) / spread).mean())
