"""What the numbers of a label are to a head: plain numbers, angles that wrap, rotations; and how far a guess is off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.frames import Label
from ssl_robot.probing import rotations

_QUATERNION = ("qw", "qx", "qy", "qz")
_AXES = ("x", "y", "z")
_MOST = 12  # the finest symmetry but a round one: 15 degrees are the most that a guess could be wrong by
_CANDIDATES, _JUDGES = 200, 1000  # training rows that may be the best constant rotation, and that decide which is


class Quantity(Protocol):
    """One thing that a label tells: it is regressed by several numbers and scored as one, with one error."""

    @property
    def name(self) -> str:
        """What its error is called."""

    @property
    def unit(self) -> str:
        """Of its error."""

    @property
    def parts(self) -> Sequence[tuple[str, int]]:
        """What has an R2 of its own: a name, and how many of the columns belong to it."""

    def columns(self, values: Tensor) -> Tensor:
        """What a head regresses, from a label's numbers, (rows, columns)."""

    def constant(self, columns: Tensor) -> float:
        """Its value where that is always the same, in the unit."""

    def guess(self, known: Tensor) -> Tensor:
        """The best that can be said without looking, (1, columns), given the columns of known rows."""

    def error(self, guessed: Tensor, truth: Tensor) -> Tensor:
        """How far guessed columns are off, (rows,) in the unit."""


@dataclass(frozen=True)
class Number:
    """A number that does not wrap.

    Attributes:
        name: Of the component.
        unit: Its own.
        place: Which of the label's numbers.
    """

    name: str
    unit: str
    place: int

    @property
    def parts(self) -> Sequence[tuple[str, int]]:
        """Itself."""
        return ((self.name, 1),)

    def columns(self, values: Tensor) -> Tensor:
        """As it is."""
        return values[:, self.place, None]

    def constant(self, columns: Tensor) -> float:
        """The number."""
        return float(columns[0, 0])

    def guess(self, known: Tensor) -> Tensor:
        """The mean."""
        return known.mean(0, keepdim=True)

    def error(self, guessed: Tensor, truth: Tensor) -> Tensor:
        """Absolute difference."""
        return (guessed - truth).abs()[:, 0]


@dataclass(frozen=True)
class Angle:
    """An angle in radians, which is regressed as the cosine and sine of as many times itself as look the same.

    Attributes:
        name: Of the component.
        place: Which of the label's numbers.
        fold: How many times a whole turn looks the same.
    """

    name: str
    place: int
    fold: int = 1
    unit: str = "deg"

    @property
    def parts(self) -> Sequence[tuple[str, int]]:
        """Cosine and sine."""
        name = self.name if self.fold == 1 else f"{self.fold} {self.name}"
        return ((f"{name} cos", 1), (f"{name} sin", 1))

    def columns(self, values: Tensor) -> Tensor:
        """Cosine and sine."""
        angle = values[:, self.place] * self.fold
        return torch.stack([angle.cos(), angle.sin()], 1)

    def constant(self, columns: Tensor) -> float:
        """Degrees."""
        return float(torch.rad2deg(torch.atan2(columns[0, 1], columns[0, 0]))) / self.fold

    def guess(self, known: Tensor) -> Tensor:
        """The mean direction."""
        return known.mean(0, keepdim=True)

    def error(self, guessed: Tensor, truth: Tensor) -> Tensor:
        """Degrees, the short way round to the nearest that looks the same."""
        between = torch.atan2(guessed[:, 1], guessed[:, 0]) - torch.atan2(truth[:, 1], truth[:, 0])
        short = torch.remainder(between + math.pi, 2 * math.pi) - math.pi
        return torch.rad2deg(short.abs()) / self.fold


@dataclass(frozen=True)
class Rotation:
    """A rotation given as a quaternion; see ``rotations.numbers`` for what is regressed.

    Attributes:
        places: Which of the label's numbers are w, x, y, z.
        axis: The object's own axis about which it is symmetric: 0, 1 or 2.
        fold: How many times a whole turn about it looks the same.
    """

    places: tuple[int, ...]
    axis: int = 2
    fold: float = 1
    name: str = "rotation"
    unit: str = "deg"

    @property
    def parts(self) -> Sequence[tuple[str, int]]:
        """All numbers together: none of them means anything alone."""
        fold = self.fold
        return ((self.name, 6 if fold == 1 else 3 if math.isinf(fold) else 3 + int((fold + 1) * (fold + 2))),)

    def columns(self, values: Tensor) -> Tensor:
        """Smooth numbers, the same for rotations that look the same."""
        order = [(self.axis + step) % 3 for step in (1, 2, 3)]  # the axis last, the others in their order
        return rotations.numbers(rotations.of_quaternions(values[:, self.places])[:, :, order], self.fold)

    def constant(self, columns: Tensor) -> float:
        """Degrees of the turn from the world's axes."""
        found = rotations.nearest(columns[:1], self.fold)
        return float(rotations.error(found, torch.eye(3, dtype=found.dtype)[None], self.fold))

    def guess(self, known: Tensor) -> Tensor:
        """Of the mean and some of the known rotations the one that the others are least far from."""
        mean = rotations.numbers(rotations.nearest(known.mean(0, keepdim=True), self.fold), self.fold)
        candidates = torch.cat([mean, _thinned(known, _CANDIDATES)])
        judges = _thinned(known, _JUDGES)
        means = torch.stack([self.error(one[None], judges).mean() for one in candidates])
        return candidates[means.argmin(), None]

    def error(self, guessed: Tensor, truth: Tensor) -> Tensor:
        """Degrees of the shortest turn to the nearest that looks the same."""
        one, other = (rotations.nearest(part, self.fold) for part in (guessed, truth))
        return rotations.error(one, other, self.fold)


def quantities(label: Label, symmetric: Sequence[str] = ()) -> list[Quantity]:
    """What a label tells, in the order of its numbers.

    Args:
        label: Components ``qw qx qy qz`` together are a rotation.
        symmetric: Which shapes look the same after a part of a turn, as ``block:z:2``: the end of the label's name
            (left out: any label), the shape's own axis or the name of an angle, and how many times a whole turn looks
            the same, ``inf`` for round shapes.

    Raises:
        InputError: If a symmetry that is meant for the label does not fit it.
    """
    folds = {what: fold for name, what, fold in map(_symmetry, symmetric) if _means(name, label.name)}
    turned = set(_QUATERNION) <= set(label.components)
    axes = [axis for axis in _AXES if turned and axis in folds]
    if len(axes) > 1:
        raise InputError(f"{label.name} is declared symmetric about two axes: name the one with the finer symmetry.")
    axis = axes[0] if axes else "z"
    found: list[Quantity] = []
    for place, (name, unit, wraps) in enumerate(zip(label.components, label.units, label.circular, strict=True)):
        if turned and name in _QUATERNION:
            if name == _QUATERNION[0]:
                places = tuple(label.components.index(part) for part in _QUATERNION)
                found.append(Rotation(places, _AXES.index(axis), folds.get(axis, 1)))
        elif not wraps:
            found.append(Number(name, unit, place))
        elif math.isfinite(folds.get(name, 1)):  # the angle of a round shape means nothing
            found.append(Angle(name, place, int(folds.get(name, 1))))
    return found


def unmet(symmetric: Sequence[str], labels: Sequence[Label]) -> None:
    """Refuse symmetries that no label has a use for: one that is misspelt would go unnoticed.

    Raises:
        InputError: If there are any.
    """
    for text in symmetric:
        name, what, _ = _symmetry(text)
        meant = [label for label in labels if _means(name, label.name)]
        if not any(what in _turns(label) for label in meant):
            turns = sorted({turn for label in labels for turn in _turns(label)})
            raise InputError(
                f"Nothing that is asked about turns as '{text}' says: what turns is {', '.join(turns) or 'nothing'}."
            )


def _turns(label: Label) -> set[str]:
    """Axes and angles that a symmetry of a label may be about."""
    angles = {name for name, wraps in zip(label.components, label.circular, strict=True) if wraps}
    return angles | (set(_AXES) if set(_QUATERNION) <= set(label.components) else set())


def _means(name: str, label: str) -> bool:
    return not name or name == label or label.endswith((f"/{name}", f".{name}"))


def _symmetry(text: str) -> tuple[str, str, float]:
    """Label, axis or angle, and fold."""
    *label, what, fold = ["", *text.split(":")]
    known = fold == "inf" or (fold.isdecimal() and 1 <= int(fold) <= _MOST)
    if not what or not known:
        raise InputError(
            f"'{text}' is no symmetry: write LABEL:AXIS:TIMES as block:z:2, with x, y, z or the name of an angle, and "
            f"how many times a whole turn looks the same, 1 to {_MOST} or inf."
        )
    return ":".join(label).removeprefix(":"), what, float(fold)


def _thinned(rows: Tensor, most: int) -> Tensor:
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), most)).long()]
