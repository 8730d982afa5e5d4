"""A batch of frames in, augmented views out, on the device, with the parameters that made them."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.invariances import Colour, Filter, Geometry, Invariance, Place, Source
from ssl_robot.random import table
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.sampling import Kind, on, planar, reduced, sampled

Parameters = Mapping[str, Tensor]
_PIXELS = 3e5  # of a view, made at a time on a CPU: larger pieces spend their time in page faults
_RECOMPILED = 256
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
            fast. The pixels agree to 1e-4.
        dtype: Of the images.
    """

    def __init__(
        self, recipe: Recipe, size: int, seed: int, compiled: bool = False, dtype: torch.dtype = torch.float32
    ) -> None:
        self.recipe, self.size, self.seed, self.compiled, self.dtype = recipe, size, seed, compiled, dtype
        kinds = [(items, max(1, round(size * share))) for items, share in recipe.views]
        looks = {kind: _Look(*kind, compiled) for kind in dict.fromkeys(kinds)}
        self._looks = [looks[kind] for kind in kinds]

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
        drawn = {name_of(item): item.sample(part) for item, part in zip(look.items, parts, strict=True)}
        for item in look.sources if view == 0 else ():
            drawn[name_of(item)] = item.neutral().expand(len(samples), -1)
        return drawn

    @property
    def moves(self) -> bool:
        """Whether some views show other frames than their own: another time or camera."""
        return any(look.sources for look in self._looks)

    def where(self, place: Place, step: int) -> list[Place]:
        """Which frames each of the views shows.

        Args:
            place: The batch's own frames.
            step: Counts the batches.
        """
        return [self._where(place, step, view) for view in range(len(self))]

    def _where(self, place: Place, step: int, view: int) -> Place:
        if view == 0 or not self._looks[view].sources:
            return place
        drawn = self.draw(place.rows, step, view)
        for item in self._looks[view].sources:
            place = item.elsewhere(drawn[name_of(item)], place)
        return place

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
        piece = 2 ** max(0, round(math.log2(_PIXELS / look.size**2)))
        pieces = [
            look(frames[i : i + piece], {name: drawn[i : i + piece] for name, drawn in parameters.items()})
            for i in range(0, len(frames), piece)
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
        self.sources = [item for item in items if isinstance(item, Source)]
        self._geometry = [item for item in items if isinstance(item, Geometry)]
        self._kind = Kind(
            projective=any(item.projective for item in self._geometry),
            upright=all(item.upright for item in self._geometry),
        )
        seen = [item for item in items if isinstance(item, Colour | Filter)]
        runs = [(kind, list(group)) for kind, group in groupby(seen, key=lambda item: isinstance(item, Colour))]
        self._colours = [item for item in runs.pop(0)[1] if isinstance(item, Colour)] if runs and runs[0][0] else []
        self._rest = [item for _, group in runs for item in group]
        if compiled:  # each kind of view is compiled by itself, and torch counts them together
            limit = torch._dynamo.config.recompile_limit
            torch._dynamo.config.recompile_limit = max(limit, _RECOMPILED)
        self._compiled = torch.compile(self._pass, fullgraph=True, dynamic=False) if compiled else None
        self._steps = {name_of(item): _compiled_step(item) for item in self._rest} if compiled else {}
        self._piece: int | None = None

    def __call__(self, frames: Tensor, parameters: Parameters) -> Tensor:
        """One view of these frames."""
        active = {name_of(item): _active(item, parameters[name_of(item)]) for item in self._rest}
        there = _uploaded(parameters, frames.device)
        images = self._fast(frames, there) if self._compiled is not None else self._pass(frames, there)
        for item in self._rest:
            images = self._touched(item, images, there[name_of(item)], active[name_of(item)])
        return images

    def _fast(self, frames: Tensor, parameters: Parameters) -> Tensor:
        """The compiled pass for pieces of the usual length; another length would have to be compiled again."""
        first = self._piece is None
        self._piece = self._piece or len(frames)
        if self._compiled is None or len(frames) != self._piece:
            return self._pass(frames, parameters)
        try:
            return self._compiled(frames, parameters)
        except Exception as error:  # whatever a compiler may not like: what it would have made is only faster
            if not first:
                raise
            why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            warnings.warn(f"Views are not compiled ({why}): install a C++ compiler, as g++.", stacklevel=2)
            self._compiled = None
            return self._pass(frames, parameters)

    def _pass(self, frames: Tensor, parameters: Parameters) -> Tensor:
        images = self._sampled(frames, parameters)
        for item in self._colours:
            images = item.apply(images, parameters[name_of(item)])
        return images

    def _touched(self, item: Colour | Filter, images: Tensor, parameters: Tensor, active: Tensor) -> Tensor:
        """A later step, on the samples that drew it."""
        if len(active) == 0:
            return images
        if len(active) == len(images):
            return self._applied(item, images, parameters)
        places = on(images.device, active)
        return images.index_copy_(0, places, self._applied(item, images[places], parameters[places]))

    def _applied(self, item: Colour | Filter, images: Tensor, parameters: Tensor) -> Tensor:
        if self._compiled is None or len(images) < 2:  # torch would compile single samples by themselves
            return item.apply(images, parameters)
        shown = (images, item.padded(images)) if isinstance(item, Filter) else (images,)
        for tensor in (*shown, parameters):
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return self._steps[name_of(item)](*shown, parameters)

    def _sampled(self, frames: Tensor, parameters: Parameters) -> Tensor:
        if not self._geometry:
            images = planar(frames).contiguous()
            same = images.shape[2:] == (self.size, self.size)
            return images if same else F.interpolate(images, self.size, mode="bilinear", antialias=True)
        matrix = torch.eye(3, device=frames.device)
        for item in self._geometry:
            matrix = matrix @ item.matrix(parameters[name_of(item)])
        return sampled(frames, matrix, self.size, self._kind)


def _compiled_step(item: Colour | Filter) -> Callable[..., Tensor]:
    step: Callable[..., Tensor] = item.filtered if isinstance(item, Filter) else item.apply
    return torch.compile(step, fullgraph=True)


def _random_columns(item: Invariance) -> list[tuple[int, int]]:
    """Stream and number of each random number that an invariance needs; first comes whether it acts at all."""
    name = name_of(item)
    gate = crc32(f"whether {item.together or name}".encode())
    return [(gate, 0), *((crc32(name.encode()), i) for i in range(item.draws))]


def _active(item: Invariance, drawn: Tensor) -> Tensor:
    """Which samples drew anything, found on the CPU so that no device has to be waited for, int64."""
    return (drawn != item.neutral()).any(1).nonzero()[:, 0]


def _uploaded(parameters: Parameters, device: torch.device) -> Parameters:
    """All parameters in one copy, which nobody waits for."""
    if device.type == "cpu" or not parameters:
        return parameters
    together = on(device, torch.cat(list(parameters.values()), 1))
    widths = [drawn.shape[1] for drawn in parameters.values()]
    return dict(zip(parameters, together.split(widths, 1), strict=True))
