"""A batch of frames in, augmented views out, on the device, with the parameters that made them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.invariances import Colour, Filter, Geometry, Invariance
from ssl_robot.random import table
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.sampling import Kind, on, planar, reduced, sampled

Parameters = Mapping[str, Tensor]
_CHUNK = 32  # frames at a time on a CPU: larger pieces spend their time in page faults
_STREAMS = 64  # more than a recipe has views


@dataclass(frozen=True)
class View:
    """One augmented view of a batch.

    Attributes:
        images: (b, 3, size, size) in [0, 1].
        parameters: What each invariance drew, (b, parameters) float32 each, on the CPU: enough to make the same view
            again.
    """

    images: Tensor
    parameters: Parameters


class Views:
    """Makes views of batches.

    Parameters depend on the seed, the step, the view and each sample's own number, not on the batch it is in, the
    pieces the batch is cut into, or the device. All geometry is one resampling, colours that follow each other are
    one compiled pass where that is asked for, and filters see only the samples that drew them.

    Args:
        recipe: Which invariances.
        size: Height and width of the largest views.
        seed: The run's seed.
        compiled: Have sampling and colours compiled into one kernel: half a minute once, then two to three times as
            fast. The pixels agree to 1e-5.
        dtype: Of the images.
    """

    def __init__(
        self, recipe: Recipe, size: int, seed: int, compiled: bool = False, dtype: torch.dtype = torch.float32
    ) -> None:
        self.recipe, self.size, self.seed, self.compiled, self.dtype = recipe, size, seed, compiled, dtype
        self._looks = [_Look(items, max(1, round(size * share)), compiled) for items, share in recipe.views]

    def __len__(self) -> int:
        return len(self._looks)

    def draw(self, samples: Tensor, step: int, view: int) -> dict[str, Tensor]:
        """What each invariance would do to each sample.

        Args:
            samples: Each sample's own number, int64, (b,), on the CPU.
            step: Counts the batches.
            view: 0 for the first view, 1 for the second, ...
        """
        look = self._looks[view]
        if not look.items:
            return {}
        u = table(self.seed, step, samples, look.streams * _STREAMS + view, look.columns)
        parts = u.split([1 + item.draws for item in look.items], 1)
        return {name_of(item): item.sample(part) for item, part in zip(look.items, parts, strict=True)}

    def __call__(self, frames: Tensor, samples: Tensor, step: int, view: int, copied: Parameters | None = None) -> View:
        """One view of a batch.

        Args:
            frames: (b, h, w, 3) uint8.
            samples: Each sample's own number, int64, (b,), on the CPU.
            step: Counts the batches.
            view: Which of the views.
            copied: Parameters that are taken over, as from another view, instead of drawn.

        Raises:
            InputError: If the frames are not what they must be.
        """
        parameters = {**self.draw(samples, step, view), **(copied or {})}
        return View(self.replay(frames, parameters, view), parameters)

    def replay(self, frames: Tensor, parameters: Parameters, view: int = 0) -> Tensor:
        """The view that these parameters make, (b, 3, size, size) in [0, 1]; the same pixels every time.

        Raises:
            InputError: If the frames are not what they must be, or a parameter is missing.
        """
        _check(frames)
        look = self._looks[view]
        missing = {name_of(item) for item in look.items} - set(parameters)
        if missing:
            raise InputError(f"There are no parameters for '{min(missing)}': give all that the view drew.")
        frames = reduced(frames, look.size)
        if frames.is_cuda:
            return look(frames, parameters).to(self.dtype)
        pieces = [
            look(frames[i : i + _CHUNK], {name: drawn[i : i + _CHUNK] for name, drawn in parameters.items()})
            for i in range(0, len(frames), _CHUNK)
        ]
        return torch.cat(pieces).to(self.dtype)


def _check(frames: Tensor) -> None:
    shape = tuple(frames.shape)
    if frames.dtype != torch.uint8 or frames.ndim != 4 or shape[3] != 3:
        raise InputError(
            f"Frames must be uint8 of shape (b, h, w, 3), not {frames.dtype} of {shape}: convert grey or transparent "
            "pictures to RGB, and do not scale them."
        )
    if min(shape[1:3]) < 2:
        raise InputError(f"Frames are {shape[1]} x {shape[2]} pixels: views need at least 2 x 2.")


class _Look:
    """What makes one of a recipe's views.

    Args:
        items: The invariances, in the order in which they act.
        size: Height and width of the view.
        compiled: Have the first pass, sampling and the colours that follow it, compiled.
    """

    def __init__(self, items: tuple[Invariance, ...], size: int, compiled: bool) -> None:
        self.items, self.size = items, size
        wanted = [column for item in items for column in _random_columns(item)]
        self.streams, self.columns = (torch.tensor([pair[i] for pair in wanted], dtype=torch.int64) for i in (0, 1))
        self._geometry = [item for item in items if isinstance(item, Geometry)]
        self._kind = Kind(
            projective=any(item.projective for item in self._geometry),
            upright=all(item.upright for item in self._geometry),
        )
        seen = [item for item in items if isinstance(item, Colour | Filter)]
        runs = [(kind, list(group)) for kind, group in groupby(seen, key=lambda item: isinstance(item, Colour))]
        self._colours = [item for item in runs.pop(0)[1] if isinstance(item, Colour)] if runs and runs[0][0] else []
        self._rest = [item for _, group in runs for item in group]
        self._first: Callable[[Tensor, Parameters], Tensor] = self._sampled_and_coloured
        self._compiled = torch.compile(self._sampled_and_coloured, fullgraph=True, dynamic=False) if compiled else None
        self._piece: int | None = None

    def __call__(self, frames: Tensor, parameters: Parameters) -> Tensor:
        active = {name_of(item): _active(item, parameters[name_of(item)]) for item in self._rest}
        there = _uploaded(parameters, frames.device)
        images = self._pass(frames)(frames, there)
        for item in self._rest:
            images = _touched(item, images, there[name_of(item)], active[name_of(item)])
        return images

    def _pass(self, frames: Tensor) -> Callable[[Tensor, Parameters], Tensor]:
        """The compiled pass for pieces of the usual length: another length would be compiled again."""
        self._piece = self._piece or len(frames)
        return self._compiled if self._compiled is not None and len(frames) == self._piece else self._first

    def _sampled_and_coloured(self, frames: Tensor, parameters: Parameters) -> Tensor:
        images = self._sampled(frames, parameters)
        for item in self._colours:
            images = item.apply(images, parameters[name_of(item)])
        return images

    def _sampled(self, frames: Tensor, parameters: Parameters) -> Tensor:
        if not self._geometry:
            images = planar(frames).contiguous()
            same = images.shape[2:] == (self.size, self.size)
            return images if same else F.interpolate(images, self.size, mode="bilinear", antialias=True)
        matrix = torch.eye(3, device=frames.device)
        for item in self._geometry:
            matrix = matrix @ item.matrix(parameters[name_of(item)])
        return sampled(frames, matrix, self.size, self._kind)


def _random_columns(item: Invariance) -> list[tuple[int, int]]:
    """Stream and number of each random number that an invariance needs; first comes whether it acts at all."""
    name = name_of(item)
    gate = crc32(f"whether {item.together or name}".encode())
    return [(gate, 0), *((crc32(name.encode()), i) for i in range(item.draws))]


def _active(item: Invariance, drawn: Tensor) -> Tensor:
    """Which samples drew anything, found on the CPU so that no device has to be waited for, int64."""
    return (drawn != item.neutral()).any(1).nonzero()[:, 0]


def _touched(item: Colour | Filter, images: Tensor, parameters: Tensor, active: Tensor) -> Tensor:
    if len(active) == len(images):
        return item.apply(images, parameters)
    if len(active) == 0:
        return images
    places = on(images.device, active)
    return images.index_copy_(0, places, item.apply(images[places], parameters[places]))


def _uploaded(parameters: Parameters, device: torch.device) -> Parameters:
    """All parameters in one copy, which nobody waits for."""
    if device.type == "cpu" or not parameters:
        return parameters
    together = on(device, torch.cat(list(parameters.values()), 1))
    widths = [drawn.shape[1] for drawn in parameters.values()]
    return dict(zip(parameters, together.split(widths, 1), strict=True))
