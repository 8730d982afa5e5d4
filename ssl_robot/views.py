"""A batch of frames in, augmented views out, on the device, with the parameters that made them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.invariances import Place
from ssl_robot.look import Look, Parameters
from ssl_robot.random import table
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.sampling import reduced

_PIXELS = 3e5  # of a view, made at a time on a CPU: larger pieces spend their time in page faults
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
    one compiled pass where that is asked for, and filters see only the samples that drew them. Frames are smoothed
    before they are sampled where they are more than twice as large as the view.

    Args:
        recipe: Which invariances.
        size: Height and width of the largest views.
        seed: The run's seed.
        compiled: Have sampling and colours compiled into one kernel: half a minute once, then two to three times as
            fast. The pixels agree to 1e-4.
        dtype: Of the images.
        copies: For each of the last views, of which invariances it repeats what the first view drew.
        alike: Draw once for all frames of a batch, so that nothing but what they show tells them apart.
    """

    def __init__(
        self,
        recipe: Recipe,
        size: int,
        seed: int,
        compiled: bool = False,
        dtype: torch.dtype = torch.float32,
        copies: Sequence[Sequence[str]] = (),
        alike: bool = False,
    ) -> None:
        if size < 1:
            raise InputError(f"Views of {size} pixels show nothing: give a size of at least 1.")
        if not 0 <= seed < 2**63:
            raise InputError(f"seed is {seed}, but must be from 0 to {2**63 - 1}.")
        self.recipe, self.size, self.seed, self.dtype, self.alike = recipe, size, seed, dtype, alike
        kinds = [(items, max(1, round(size * share))) for items, share in recipe.views]
        looks = {kind: Look(*kind, compiled) for kind in dict.fromkeys(kinds)}
        self._looks = [looks[kind] for kind in kinds]
        self._copies = [()] * (len(kinds) - len(copies)) + [tuple(names) for names in copies]

    def __len__(self) -> int:
        return len(self._looks)

    @property
    def compiled(self) -> bool:
        """Whether views are made by compiled kernels: not where there turned out to be no compiler."""
        return all(look.compiled for look in self._looks)

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
        numbers = torch.zeros_like(samples) if self.alike else samples
        u = table(self.seed, step, numbers, look.streams * _STREAMS + view, look.columns)
        parts = u.split([1 + item.draws for item in look.items], 1)
        drawn = {name_of(item): item.sample(part) for item, part in zip(look.items, parts, strict=True)}
        for item in look.sources if view == 0 else ():
            drawn[name_of(item)] = item.neutral().expand(len(samples), -1)
        first = self.draw(samples, step, 0) if self._copies[view] else {}
        return {**drawn, **{name: first[name] for name in self._copies[view]}}

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
            copied: Parameters that are taken over, as from another view, instead of drawn; not those of ``time`` and
                ``camera``, which say where the frames come from.

        Raises:
            InputError: If the frames are not what they must be, or what is copied is not what was drawn.
        """
        if len(samples) != len(frames):
            raise InputError(f"There are {len(frames)} frames and {len(samples)} samples: give each frame its number.")
        drawn = self.draw(samples, step, view)
        for name, values in (copied or {}).items():
            if name not in drawn or name in {name_of(item) for item in self._looks[view].sources}:
                raise InputError(f"'{name}' cannot be copied into this view: it has {', '.join(drawn)}.")
            if values.shape != drawn[name].shape:
                raise InputError(
                    f"'{name}' takes parameters of shape {tuple(drawn[name].shape)}, not {tuple(values.shape)}: copy "
                    "those of the same samples."
                )
        parameters = {**drawn, **(copied or {})}
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
        parts = [
            look(frames[part], {name: drawn[part] for name, drawn in parameters.items()})
            for part in self.pieces(len(frames), view)
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(self.dtype)

    def pieces(self, count: int, view: int) -> list[slice]:
        """The parts in which a CPU makes a view of so many frames: a view of such a part is made in one piece.

        They are of equal length, for each length is compiled by itself; only the last may be shorter.
        """
        most = 2 ** max(0, round(math.log2(_PIXELS / self._looks[view].size ** 2)))
        piece = max(1, math.ceil(count / max(1, math.ceil(count / most))))
        return [slice(start, min(start + piece, count)) for start in range(0, max(1, count), piece)]

    def size_of(self, view: int) -> int:
        """Height and width of a view."""
        return self._looks[view].size


def _check(frames: Tensor) -> None:
    shape = tuple(frames.shape)
    if frames.dtype != torch.uint8 or frames.ndim != 4 or shape[3] != 3:
        raise InputError(
            f"Frames must be uint8 of shape (b, h, w, 3), not {frames.dtype} of {shape}: convert grey or transparent "
            "pictures to RGB, and do not scale them."
        )
    if min(shape[1:3]) < 2:
        raise InputError(f"Frames are {shape[1]} x {shape[2]} pixels: views need at least 2 x 2.")
