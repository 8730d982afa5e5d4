"""One kind of view: frames and what was drawn for them in, images out."""

import warnings
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Colour, Filter, Geometry, Invariance, Source
from ssl_robot.recipes import name_of
from ssl_robot.sampling import Kind, on, planar, sampled

Parameters = Mapping[str, Tensor]
_RECOMPILED = 256  # kinds of view that one process may compile
# On a CPU: called through C++, so that other threads run meanwhile, and without a check of every pixel that is read,
# for all of them are kept inside the frame.
_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"cpp_wrapper": True, "assert_indirect_indexing": False}


class Look:
    """What makes one of a recipe's views.

    Args:
        items: The invariances, in the order in which they act.
        size: Height and width of the view.
        compiled: Have the first pass, sampling and the colours that follow it, compiled, and the later steps too.

    Attributes:
        sources: Those of the invariances that show another frame.
        streams: Purpose of each random number that a sample needs, int64.
        columns: Which of the purpose's numbers it is, int64.
        compiled: Whether it is made by compiled kernels: no more where there turned out to be no compiler.
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
        self.compiled = compiled
        self._kernels: dict[tuple[str, bool], Callable[..., Tensor]] = {}
        self._piece = 0

    def __call__(self, frames: Tensor, parameters: Parameters) -> Tensor:
        """One view of these frames."""
        active = {name_of(item): _active(item, parameters[name_of(item)]) for item in self._rest}
        there = _uploaded(parameters, frames.device)
        images = self._fast(frames, there)
        for item in self._rest:
            images = self._touched(item, images, there[name_of(item)], active[name_of(item)])
        return images

    def _fast(self, frames: Tensor, parameters: Parameters) -> Tensor:
        """The pass, compiled if that was asked for; a shorter piece is filled up, a longer one is the new usual."""
        b = len(frames)
        self._piece = max(self._piece, b)
        if not self.compiled or 2 * b < self._piece:
            return self._pass(frames, parameters)
        filled = {name: _filled(values, self._piece) for name, values in parameters.items()}
        try:
            return self._kernel("", self._pass, frames.is_cuda)(_filled(frames, self._piece), filled)[:b]
        except Exception as error:  # whatever a compiler may not like: what it would have made is only faster
            images = self._pass(frames, parameters)  # unless it is the frames' or parameters' fault
            why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            hint = ": install a C++ compiler, as g++" if "ompiler" in type(error).__name__ + why else ""
            warnings.warn(f"Views are not compiled ({why}){hint}.", stacklevel=2)
            self.compiled = False
            return images

    def _kernel(self, name: str, function: Callable[..., Tensor], cuda: bool) -> Callable[..., Tensor]:
        """A function compiled for the device, when it is first asked for."""
        if (name, cuda) not in self._kernels:
            dynamic = None if name else False  # the pass has pieces of one length, later steps do not
            self._kernels[name, cuda] = torch.compile(
                function, fullgraph=True, dynamic=dynamic, options=None if cuda else _OPTIONS
            )
        return self._kernels[name, cuda]

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
        if not self.compiled or len(images) < 2:  # torch would compile single samples by themselves
            return item.apply(images, parameters)
        shown = (images, item.padded(images)) if isinstance(item, Filter) else (images,)
        for tensor in (*shown, parameters):
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        step: Callable[..., Tensor] = item.filtered if isinstance(item, Filter) else item.apply
        return self._kernel(name_of(item), step, images.is_cuda)(*shown, parameters)

    def _sampled(self, frames: Tensor, parameters: Parameters) -> Tensor:
        if not self._geometry:
            images = planar(frames).contiguous()
            same = images.shape[2:] == (self.size, self.size)
            return images if same else F.interpolate(images, self.size, mode="bilinear", antialias=True)
        matrix = torch.eye(3, device=frames.device)
        for item in self._geometry:
            matrix = matrix @ item.matrix(parameters[name_of(item)])
        return sampled(frames, matrix, self.size, self._kind)


def _filled(values: Tensor, length: int) -> Tensor:
    """With the last sample repeated up to a length."""
    missing = length - len(values)
    return values if missing == 0 else torch.cat([values, values[-1:].expand(missing, *values.shape[1:])])


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
