"""A recipe: which invariances a pair of views asks for, and how strongly. Data, not code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.invariances import Invariance

_GEOMETRY: dict[str, dict[str, float]] = {"crop": {}, "flip": {}}
_JITTER = {"brightness": {"p": 0.8}, "contrast": {"p": 0.8}, "saturation": {"p": 0.8}, "hue": {"p": 0.8, "turn": 0.1}}

_NAMED: dict[str, Mapping[str, Mapping[str, float]]] = {
    "simsiam": {**_GEOMETRY, **_JITTER, "gray": {}, "blur": {}},
    "crop": {"crop": {}},
    "colour": {**_JITTER, "gray": {}, "blur": {}},
    "shift": {"shift": {}},
    "none": {},
}


@dataclass(frozen=True)
class Recipe:
    """The invariances of a pair of views, in the order in which they act.

    Attributes:
        invariances: At most one of each kind.
    """

    invariances: tuple[Invariance, ...] = ()

    @classmethod
    def named(cls, name: str) -> "Recipe":
        """A recipe by name: simsiam, crop ("ventral"), colour ("dorsal"), shift (DrQ), none.

        SimSiam draws once whether to jitter and then jitters all four in random order; here each of the four is
        drawn by itself, in a fixed order.

        >>> Recipe.named("simsiam").without("flip").names
        ('crop', 'brightness', 'contrast', 'saturation', 'hue', 'gray', 'blur')

        Raises:
            InputError: If there is none of that name.
        """
        if name not in _NAMED:
            raise InputError(f"There is no recipe '{name}': choose from {', '.join(_NAMED)}.")
        return cls.from_dict(_NAMED[name])

    @classmethod
    def from_dict(cls, strengths: Mapping[str, Mapping[str, float]]) -> "Recipe":
        """A recipe from names and strengths, as kept with an encoder.

        Raises:
            InputError: If an invariance or one of its strengths is not known.
        """
        return cls(tuple(_invariance(name, values) for name, values in strengths.items()))

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Names and strengths: what ``from_dict`` takes."""
        return {name: asdict(item) for name, item in zip(self.names, self.invariances, strict=True)}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the invariances, as on the command line."""
        return tuple(name_of(item) for item in self.invariances)

    def having(self, name: str, **strengths: float) -> "Recipe":
        """The recipe with one invariance more, or with that one's strengths changed.

        >>> Recipe.named("crop").having("rotation", degrees=30).as_dict()["rotation"]
        {'p': 1.0, 'degrees': 30}
        """
        kept = self.as_dict()
        return Recipe.from_dict({**kept, name: {**kept.get(name, {}), **strengths}})

    def without(self, name: str) -> "Recipe":
        """The recipe with one invariance less.

        Raises:
            InputError: If it does not have that one.
        """
        if name not in self.names:
            raise InputError(f"The recipe has no '{name}' to leave out: it has {', '.join(self.names) or 'nothing'}.")
        return Recipe(tuple(item for item in self.invariances if name_of(item) != name))


def name_of(invariance: Invariance) -> str:
    """An invariance's name on the command line: that of its file."""
    return type(invariance).__module__.rpartition(".")[2]


def _invariance(name: str, strengths: Mapping[str, Any]) -> Invariance:
    cls = catalogue.found(ssl_robot.invariances, name)
    known = [field.name for field in fields(cls)]
    wrong = sorted(set(strengths) - set(known))
    if wrong:
        raise InputError(f"'{name}' has no strength '{wrong[0]}': it has {', '.join(known)}.")
    made: Invariance = cls(**strengths)
    return made
