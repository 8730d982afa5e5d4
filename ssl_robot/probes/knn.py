"""Which class a frame belongs to, by its nearest neighbours (Wu 2018, https://arxiv.org/abs/1805.01978)."""

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 1000  # queries whose cosines with the whole bank are held in memory


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
        votes.scatter_add_(1, classes[places], (cosines / temperature).exp())
        found.append(votes.argmax(1))
    return torch.cat(found)
