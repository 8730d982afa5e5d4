"""Which class a frame belongs to, by a linear read-out of its features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot import cache
from ssl_robot.frames import Frames
from ssl_robot.probes import Reading, Score, few
from ssl_robot.probing import resampling
from ssl_robot.probing.classes import classes
from ssl_robot.probing.regression import standardised
from ssl_robot.ranges import number
from ssl_robot.readers import Reader
from ssl_robot.splits import split

_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Linear(Reading):
    """Which class a frame belongs to, by softmax regression on frozen features.

    It is fitted to its optimum by L-BFGS, so that no rate or schedule decides; frames are not augmented. The penalty
    is chosen on the validation episodes, with the encoder's features standardised on the training ones.

    Attributes:
        target: Label whose values are classes; ``name:component`` where it has several numbers.
        iterations: Most steps of L-BFGS for each penalty.
        layer: The vector a policy reads (output), the feature map (map), or a layer inside the network by name, as
            block2, layer3 or blocks.3; layer3+layer4 for several. Those are averaged to the cells of the map.
    """

    target: str = "class"
    iterations: int = number(200, 1)
    layer: str = "output"

    def ask(self, reader: Reader, frames: Frames) -> Sequence[Score]:
        """Accuracy on the test episodes."""
        wanted, parts = classes(frames, self.target), split(frames)
        train, validation, test = (torch.from_numpy(rows) for rows in (parts.train, parts.validation, parts.test))
        x = standardised(cache.features(reader, frames, self.layer).flatten(1).double(), train)
        y, count = wanted.places, len(wanted.values)
        fits = [fitted(x[train], y[train], count, penalty, self.iterations) for penalty in _PENALTIES]
        losses = [float(F.cross_entropy(told(x[validation], fit), y[validation])) for fit in fits]
        best = min(range(len(fits)), key=losses.__getitem__)
        said = told(x[test], fits[best]).argmax(1)
        weights = resampling.counts(frames.episodes[parts.test])
        right, guess = (
            resampling.means(torch.eq(y[test], answer).numpy(), weights) for answer in (said, wanted.commonest(parts))
        )
        many = len(set(frames.episodes[parts.test].tolist()))
        return [
            Score(
                wanted.name, "class", "accuracy", "", *resampling.interval(right), len(test), float(guess[0]),
                many, right[1:], self.layer, f"softmax regression, penalty {_PENALTIES[best]:g}", note=few(many),
            )
        ]  # fmt: skip


def fitted(x: Tensor, y: Tensor, count: int, penalty: float, iterations: int = 200) -> Tensor:
    """Weights and biases that minimise the mean cross-entropy plus half the penalty times the squared weights.

    Args:
        x: Standardised features, (n, d).
        y: Classes from 0, int64, (n,).
        count: Of classes.
        penalty: On the weights, not on the biases.
        iterations: Most steps of L-BFGS.

    Returns:
        (d + 1, count), the biases last.
    """
    weights = torch.zeros(x.shape[1] + 1, count, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=iterations, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(told(x, weights), y) + penalty / 2 * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def told(x: Tensor, weights: Tensor) -> Tensor:
    """Logits, (n, count)."""
    return x @ weights[:-1] + weights[-1]
