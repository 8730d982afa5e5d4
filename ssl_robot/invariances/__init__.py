"""One file per thing made invisible.

Each file holds one frozen dataclass named like the file. Its fields are strengths; ``p`` zero is the identity. Its
methods turn uniform random numbers into parameters and parameters into a part of the view:

- a *geometry* gives one matrix per sample, from places in the view to places in the frame; the matrices of all
  geometries are multiplied and the frame is sampled once;
- a *colour* maps (b, 3, h, w) in [0, 1] to the same, pixel by pixel, without looking at what the numbers are: colours
  that follow each other are compiled into one pass;
- a *filter* maps (b, 3, h, w) in [0, 1] to the same, looking at neighbours, and is given only the samples that drew it;
- a *source* shows another frame instead: the same thing at another time, or through another camera.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.ranges import check, number


def strength(default: float, least: float, most: float) -> Any:
    """A field that is a number between two others, both allowed."""
    return number(default, least, most)


@dataclass(frozen=True)
class Invariance:
    """What an encoder trained on two views cannot tell apart.

    Attributes:
        p: Share of the views it is applied to.

    Raises:
        InputError: If a strength is not a number or out of its range.
    """

    hides: ClassVar[str]
    draws: ClassVar[int]
    circular: ClassVar[bool] = False  # whether its parameters are angles in radians that wrap
    together: ClassVar[str] = ""  # of those with the same word the rarer act only where the more frequent do

    p: float = strength(1.0, 0, 1)

    def __post_init__(self) -> None:
        check(self)

    def _check_order(self, low: str, high: str) -> None:
        """Refuse two strengths of which the first must not be above the second."""
        least, most = getattr(self, low), getattr(self, high)
        if least > most:
            name = type(self).__module__.rpartition(".")[2]
            raise InputError(f"{name}.{low} is {least}, but must be at most {name}.{high}, {most}.")

    def parameters(self, u: Tensor) -> Tensor:
        """Parameters from uniform numbers.

        Args:
            u: (b, draws) in [0, 1).

        Returns:
            (b, parameters).
        """
        raise NotImplementedError

    def neutral(self) -> Tensor:
        """The parameters that change nothing, (parameters,)."""
        raise NotImplementedError

    def sample(self, u: Tensor) -> Tensor:
        """Parameters for a batch; the first uniform number decides whether the sample is touched at all.

        Args:
            u: (b, 1 + draws) in [0, 1).
        """
        drawn = self.parameters(u[:, 1:])
        return torch.where(u[:, :1] < self.p, drawn, self.neutral().to(drawn))

    def orbit(self, images: Tensor) -> Iterator[Tensor]:
        """The images under each of the invariance's own transformations, evenly spread.

        A feature averaged over these cannot see what the invariance hides: exactly, where the transformations form
        a group that maps pixels to pixels, nearly elsewhere.

        Args:
            images: (b, 3, h, w) in [0, 1].
        """
        raise NotImplementedError


class Geometry(Invariance):
    """Moves pixels: contributes a matrix."""

    projective: ClassVar[bool] = False  # whether the matrix's last row may be anything but 0, 0, 1
    upright: ClassVar[bool] = False  # whether rows stay rows and columns columns

    def matrix(self, parameters: Tensor) -> Tensor:
        """From places in the view to places in the frame, both in [-1, 1], x to the right and y down.

        Args:
            parameters: (b, parameters).

        Returns:
            (b, 3, 3).
        """
        raise NotImplementedError


class Colour(Invariance):
    """Changes each pixel by itself."""

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Recoloured images.

        Args:
            images: (b, 3, h, w) in [0, 1].
            parameters: (b, parameters).
        """
        raise NotImplementedError


class Filter(Invariance):
    """Changes each pixel by its neighbours, or its place."""

    def padded(self, images: Tensor) -> Tensor:
        """The images with as much around them as the filter looks at; made before anything is compiled."""
        return images

    def filtered(self, images: Tensor, around: Tensor, parameters: Tensor) -> Tensor:
        """Filtered images.

        Args:
            images: (b, 3, h, w) in [0, 1]; only samples that drew the filter.
            around: What ``padded`` made of them.
            parameters: (b, parameters).
        """
        raise NotImplementedError

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Filtered images, padded first."""
        return self.filtered(images, self.padded(images), parameters)


@dataclass(frozen=True)
class Place:
    """Which frames a batch shows.

    Attributes:
        rows: Places among the rows that are trained on, which lie in order of recording, int64, (b,).
        cameras: Which camera, 0 for the one that is trained on, int64, (b,).
        last: The last row of each one's episode, int64, (b,).
        count: How many cameras there are.
    """

    rows: Tensor
    cameras: Tensor
    last: Tensor
    count: int


class Source(Invariance):
    """Shows another frame: the first view is the frame itself, the others lie elsewhere."""

    def elsewhere(self, parameters: Tensor, place: Place) -> Place:
        """Where to look instead.

        Args:
            parameters: (b, parameters).
            place: Where one would have looked.
        """
        raise NotImplementedError


def matrices(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """A (b, 3, 3) tensor from nine entries, each a number or one number per sample."""
    entries = [
        entry if isinstance(entry, Tensor) else like.new_full((len(like),), entry) for row in rows for entry in row
    ]
    return torch.stack(entries, 1).reshape(-1, 3, 3)


def luma(images: Tensor) -> Tensor:
    """Brightness as the eye weighs it (ITU-R 601; torchvision rounds the weights), (b, 1, h, w)."""
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
