"""What a network makes of images on the way to its last map: layers by name."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_robot.errors import InputError


def inside(network: nn.Module, known: Mapping[str, nn.Module], images: Tensor, names: str) -> Tensor:
    """Maps of layers inside a network, averaged to the cells of its last map, so that they fit where that one does.

    Args:
        network: From images to the last map.
        known: Its layers by name.
        images: (b, 3, h, w), squares.
        names: One, or several joined by a plus, as ``layer3+layer4``, whose channels follow each other.

    Returns:
        (b, c, h', w').

    Raises:
        InputError: If there is no such layer.
    """
    wanted, seen = names.split("+"), dict[str, Tensor]()
    for name in wanted:
        if name not in known:
            beside = f"choose output, map, {', '.join(known)}" if known else "choose output or map"
            raise InputError(f"The network has no layer '{name}': {beside}.")
    hooks = [known[name].register_forward_hook(_Keeping(seen, name)) for name in wanted]
    try:
        cells = network(images).shape[2:]
    finally:
        for hook in hooks:
            hook.remove()
    for name in set(wanted) - set(seen):
        raise InputError(f"The network passes '{name}' by: choose another of its layers ({', '.join(known)}).")
    spare = _spare_tokens(network)
    return torch.cat([F.adaptive_avg_pool2d(_as_map(seen[name], spare), cells) for name in wanted], 1)


class _Keeping:
    """Keeps what a layer gives out, before another one changes it in place."""

    def __init__(self, seen: dict[str, Tensor], name: str) -> None:
        self.seen, self.name = seen, name

    def __call__(self, layer: nn.Module, given: object, made: Tensor) -> None:
        self.seen[self.name] = made.clone()


def _spare_tokens(network: nn.Module) -> int:
    """Tokens of a transformer that stand for no part of the image, which come first."""
    return max((getattr(part, "num_prefix_tokens", 0) for part in network.modules()), default=0)


def _as_map(made: Tensor, spare: int) -> Tensor:
    """Channels first: transformers have tokens, (b, n, c), or channels last; images are squares, and so are maps."""
    if made.ndim == 3:
        side = math.isqrt(made.shape[1] - spare)
        made = made[:, spare:].unflatten(1, (side, side))
    return made if made.shape[2] == made.shape[3] else made.permute(0, 3, 1, 2)
