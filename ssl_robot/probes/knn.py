"""Which class a frame belongs to, by its nearest neighbours (Wu 2018, https://arxiv.org/abs/1805.01978)."""

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
from ssl_robot.ranges import number
from ssl_robot.readers import Reader
from ssl_robot.splits import split

_AT_ONCE = 1000  # queries whose cosines with the whole bank are held in memory


@dataclass(frozen=True)
class Knn(Reading):
    """Which class a frame belongs to, by a vote of its nearest neighbours (Wu 2018); nothing is fitted.

    The bank holds the training frames as they are, without augmentation.

    Attributes:
        target: Label whose values are classes; ``name:component`` where it has several numbers.
        k: Neighbours that vote, by cosine; at most as many as there are. 20 as in DINO; Wu has 200, for ImageNet.
        temperature: Each vote counts exp(cosine / temperature).
        layer: The vector a policy reads (output), the feature map (map), or a layer inside the network by name, as
            block2, layer3 or blocks.3; layer3+layer4 for several. Those are averaged to the cells of the map.
    """

    target: str = "class"
    k: int = number(20, 1)
    temperature: float = number(0.1, 0.001, 1000)
    layer: str = "output"

    def ask(self, reader: Reader, frames: Frames) -> Sequence[Score]:
        """Accuracy on the test episodes."""
        wanted, parts = classes(frames, self.target), split(frames)
        features = cache.features(reader, frames, self.layer).flatten(1)
        bank, queries = (torch.from_numpy(rows) for rows in (parts.train, parts.test))
        said = classify(features[bank], wanted.places[bank], features[queries], self.k, self.temperature)
        truth = wanted.places[queries]
        weights = resampling.counts(frames.episodes[parts.test])
        right, guess = (
            resampling.means(torch.eq(truth, answer).numpy(), weights) for answer in (said, wanted.commonest(parts))
        )
        many = len(set(frames.episodes[parts.test].tolist()))
        return [
            Score(
                wanted.name, "class", "accuracy", "", *resampling.interval(right), len(parts.test), float(guess[0]),
                many, right[1:], self.layer, f"{min(self.k, len(bank))} neighbours at temperature {self.temperature:g}",
                note=few(many),
            )
        ]  # fmt: skip


def classify(bank: Tensor, classes: Tensor, queries: Tensor, k: int = 200, temperature: float = 0.1) -> Tensor:
    """The class with the most votes of the k neighbours of highest cosine, each counted exp(cosine / temperature).

    >>> bank, classes = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([3, 5])
    >>> classify(bank, classes, torch.tensor([[0.9, 0.1], [0.1, 0.9]]), k=1).tolist()
    [3, 5]

    Args:
        bank: Features of frames that are known, without augmentation, (n, d).
        classes: Theirs, int64, (n,).
        queries: (m, d).
        k: Neighbours; at most as many as there are.
        temperature: How fast votes fade with the distance.

    Returns:
        (m,) int64.
    """
    known, found = F.normalize(bank.float(), dim=1), []
    count = int(classes.max()) + 1
    for part in F.normalize(queries.float(), dim=1).split(_AT_ONCE):
        cosines, places = (part @ known.T).topk(min(k, len(known)), dim=1)
        votes = torch.zeros(len(part), count, device=part.device)
        votes.scatter_add_(1, classes[places], ((cosines - cosines[:, :1]) / temperature).exp())
        found.append(votes.argmax(1))
    return torch.cat(found)
