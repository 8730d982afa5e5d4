"""A recipe: which invariances the views of a frame ask for, and how strongly. Data, not code."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.invariances import Invariance

Strengths = Mapping[str, Mapping[str, float]]

_MOST = 32  # views of a recipe
_VIEWS = "views"  # the one key of a recipe's record that is no invariance
_GEOMETRY: Strengths = {"crop": {}, "flip": {}}


def _jitter(strength: float, hue: float, saturation: float | None = None) -> Strengths:
    gains = {"brightness": strength, "contrast": strength, "saturation": saturation or strength}
    return {**{name: {"p": 0.8, "gain": gain} for name, gain in gains.items()}, "hue": {"p": 0.8, "turn": hue}}


def _large(scale: float) -> Mapping[str, Any]:
    return {"crop": {"scale": scale}}


def _small(times: int, largest: float, side: float = 96 / 224) -> Mapping[str, Any]:
    blur = {"low": 0.1 / 96, "high": 2 / 96}  # of the small view: the papers blur it by as many pixels as the large
    return {"times": times, "size": side, "crop": {"scale": 0.05, "largest": largest}, "blur": blur}


_BYOL: Strengths = {**_GEOMETRY, **_jitter(0.4, 0.1, 0.2), "gray": {}, "blur": {}, "solarize": {}}
_TWO_SIDED = [{"blur": {"p": 1.0}, "solarize": {"p": 0.0}}, {"blur": {"p": 0.1}, "solarize": {"p": 0.2}}]
_FIRST, _SECOND = _TWO_SIDED

_NAMED: dict[str, Mapping[str, Any]] = {
    "simsiam": {**_GEOMETRY, **_jitter(0.4, 0.1), "gray": {}, "blur": {}},
    "simclr": {"crop": {"scale": 0.08}, "flip": {}, **_jitter(0.8, 0.2), "gray": {}, "blur": {}},
    "mocov2": {**_GEOMETRY, **_jitter(0.4, 0.1), "gray": {}, "blur": {}},
    "byol": {**_BYOL, "crop": {"scale": 0.08}, _VIEWS: _TWO_SIDED},
    "swav": {
        **{**_GEOMETRY, **_jitter(0.8, 0.2), "gray": {}, "blur": {}},
        _VIEWS: [{"times": 2, **_large(0.14)}, _small(6, 0.14)],
    },
    "dino": {
        **_BYOL,
        _VIEWS: [
            {**_FIRST, **_large(0.4)},
            {**_SECOND, **_large(0.4)},
            {**_small(8, 0.4), "solarize": {"p": 0.0}},
        ],
    },
    "crop": {"crop": {}},
    "colour": {**_jitter(0.4, 0.1), "gray": {}, "blur": {}},
    "time": {"time": {}, **_GEOMETRY, **_jitter(0.4, 0.1), "gray": {}, "blur": {}},
    "tcn": {
        **{"time": {"nearest": 1, "furthest": 4}, "crop": {"scale": 0.6}, **_jitter(0.4, 0.1)},
        _VIEWS: [{"times": 2}, {"time": {"nearest": 12, "furthest": 60}}],
    },
    "rad": {"shift": {}, "convolution": {}},
    "shift": {"shift": {}},
    "none": {},
}


def names() -> list[str]:
    """The recipes that have a name."""
    return list(_NAMED)


@dataclass(frozen=True)
class Variant:
    """How some of the views differ from the recipe they belong to.

    Attributes:
        changes: Strengths that are other than the recipe's.
        size: Side, as a share of that of the largest views.
        times: How many views are like this.
    """

    changes: Strengths = field(default_factory=dict)
    size: float = 1.0
    times: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise InputError(f"A view's size is {self.size} of the largest, but must be above 0 and at most 1.")
        if not 1 <= self.times <= _MOST:
            raise InputError(f"A view comes {self.times} times, but must come 1 to {_MOST} times.")


_PAIR = (Variant(times=2),)


@dataclass(frozen=True)
class Recipe:
    """The invariances of a frame's views, in the order in which they act.

    Attributes:
        invariances: At most one of each kind.
        variants: The views and what is special about them; two that are alike, if nothing is said.
    """

    invariances: tuple[Invariance, ...] = ()
    variants: tuple[Variant, ...] = _PAIR

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise InputError(f"A recipe has each invariance once, not {', '.join(self.names)}: leave one out.")
        if sum(variant.times for variant in self.variants) > _MOST:
            raise InputError(f"A recipe has at most {_MOST} views: lower 'times'.")
        for variant in self.variants:
            unknown = set(variant.changes) - set(self.names)
            if unknown:
                raise InputError(f"A view changes '{min(unknown)}', which the recipe does not have: name it there too.")
            self._with(variant)

    @classmethod
    def named(cls, name: str) -> "Recipe":
        """A recipe by name.

        Those of the papers: simsiam, simclr, mocov2, byol, swav, dino; crop ("ventral"), colour ("dorsal"), rad, none;
        time, SimSiam's with a later frame in the second view, and tcn, whose third view lies far away in time.

        Strengths are the papers'. Theirs jitter in random order; here the order is fixed. Whether a view is jittered
        is drawn once for brightness, contrast, saturation and hue, as in the papers.

        >>> Recipe.named("simsiam").without("flip").names
        ('crop', 'brightness', 'contrast', 'saturation', 'hue', 'gray', 'blur')

        Raises:
            InputError: If there is none of that name.
        """
        if name not in _NAMED:
            raise InputError(f"There is no recipe '{name}': choose from {', '.join(_NAMED)}, or give a YAML file.")
        return cls.from_dict(_NAMED[name])

    @classmethod
    def found(cls, name: str) -> "Recipe":
        """A recipe by name, or from a YAML file of what ``as_dict`` gives.

        Raises:
            InputError: If there is no such recipe or file, or the file holds something else.
        """
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            return cls.named(name)
        try:
            record = yaml.safe_load(path.read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path} is no recipe ({str(error).splitlines()[0]}): give a YAML file.") from None
        if not isinstance(record, Mapping):
            raise InputError(f"{path} is no recipe: write one invariance per line, as 'rotation: {{degrees: 30}}'.")
        return cls.from_dict(record)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Recipe":
        """A recipe from names and strengths, as kept with an encoder.

        Raises:
            InputError: If an invariance or one of its strengths is not known.
        """
        strengths = {str(name): _checked(name, values) for name, values in record.items() if name != _VIEWS}
        views = record.get(_VIEWS, [])
        if not isinstance(views, list) or not all(isinstance(values, Mapping) for values in views):
            raise InputError(f"'{_VIEWS}' is {views!r}, but must be a list of what is special about each view.")
        variants = tuple(_variant(values) for values in views) or _PAIR
        return cls(tuple(_invariance(name, values) for name, values in strengths.items()), variants)

    def as_dict(self) -> dict[str, Any]:
        """Names and strengths, and what is special about single views: what ``from_dict`` takes."""
        record: dict[str, Any] = {name: asdict(item) for name, item in zip(self.names, self.invariances, strict=True)}
        if self.variants != _PAIR:
            record[_VIEWS] = [{**_marks(item), **item.changes} for item in self.variants]
        return record

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the invariances, as on the command line."""
        return tuple(name_of(item) for item in self.invariances)

    @property
    def views(self) -> tuple[tuple[tuple[Invariance, ...], float], ...]:
        """The invariances of each view, and its side as a share of the largest one's."""
        return tuple((self._with(item), item.size) for item in self.variants for _ in range(item.times))

    def _with(self, variant: Variant) -> tuple[Invariance, ...]:
        kept = dict(zip(self.names, self.invariances, strict=True))
        return tuple(_invariance(name, {**asdict(kept[name]), **variant.changes.get(name, {})}) for name in kept)

    def having(self, name: str, **strengths: float) -> "Recipe":
        """The recipe with one invariance more, or with that one's strengths changed, in all of its views.

        >>> Recipe.named("crop").having("rotation", degrees=30).as_dict()["rotation"]
        {'p': 1.0, 'degrees': 30}
        """
        kept = dict(zip(self.names, self.invariances, strict=True))
        before = asdict(kept[name]) if name in kept else {}
        kept[name] = _invariance(name, {**before, **strengths})
        return Recipe(tuple(kept.values()), _without(self.variants, name, strengths))

    def without(self, name: str) -> "Recipe":
        """The recipe with one invariance less, in all of its views.

        Raises:
            InputError: If it does not have that one.
        """
        if name not in self.names:
            raise InputError(f"The recipe has no '{name}' to leave out: it has {', '.join(self.names) or 'nothing'}.")
        known = [item.name for item in fields(type(self.invariances[self.names.index(name)]))]
        left = tuple(item for item in self.invariances if name_of(item) != name)
        return Recipe(left, _without(self.variants, name, known))

    def having_views(self, more: int) -> "Recipe":
        """The recipe with more views like its second one.

        >>> len(Recipe.named("byol").having_views(2).views)
        4
        """
        alike = [replace(item, times=1) for item in self.variants for _ in range(item.times)]
        return replace(self, variants=(*alike, replace(alike[1], times=more))) if more else self

    def edited(self, having: Sequence[str], without: Sequence[str], strengths: Strengths) -> "Recipe":
        """The recipe with what a command line asks for: more invariances, fewer, other strengths.

        Raises:
            InputError: If an invariance is not known, is not there to be left out, or a strength is out of range.
        """
        recipe = self
        for name in having:
            recipe = recipe.having(name)
        for name, values in strengths.items():
            if name not in recipe.names:
                raise InputError(f"The recipe has no '{name}' whose strength could change: add --with {name}.")
            recipe = recipe.having(name, **values)
        for name in without:
            recipe = recipe.without(name)
        return recipe


def name_of(item: object) -> str:
    """The name of an invariance, or of whatever else is found in a catalogue, on the command line: its file's."""
    return type(item).__module__.rpartition(".")[2]


def _checked(name: str, values: Any) -> Mapping[str, Any]:
    if values is not None and not isinstance(values, Mapping):
        raise InputError(f"'{name}' is given as {values!r}, but takes strengths, as in '{name}: {{p: 0.5}}'.")
    return values or {}


def _invariance(name: str, strengths: Mapping[str, Any]) -> Invariance:
    cls = catalogue.found(ssl_robot.invariances, name)
    known = [item.name for item in fields(cls)]
    wrong = sorted(map(str, set(strengths) - set(known)))
    if wrong:
        raise InputError(f"'{name}' has no strength '{wrong[0]}': it has {', '.join(known)}.")
    made: Invariance = cls(**strengths)
    return made


def _variant(record: Mapping[str, Any]) -> Variant:
    changes = {str(name): _checked(name, values) for name, values in record.items() if name not in ("size", "times")}
    size, times = record.get("size", 1.0), record.get("times", 1)
    if type(size) not in (int, float) or type(times) is not int:
        raise InputError(f"A view has size {size!r} and times {times!r}: give a number and a whole number.")
    return Variant(changes, size, times)


def _marks(variant: Variant) -> dict[str, Any]:
    """What a variant's record says beside strengths; nothing where it is as usual."""
    usual = Variant()
    return {
        name: getattr(variant, name) for name in ("size", "times") if getattr(variant, name) != getattr(usual, name)
    }


def _without(variants: tuple[Variant, ...], name: str, strengths: Iterable[str]) -> tuple[Variant, ...]:
    """Variants that no longer change these strengths of an invariance; two that no longer differ are a usual pair."""
    gone = set(strengths)
    found = []
    for variant in variants:
        left = {key: value for key, value in variant.changes.get(name, {}).items() if key not in gone}
        changes = {**variant.changes, name: left}
        found.append(replace(variant, changes={key: values for key, values in changes.items() if values}))
    return _PAIR if tuple(found) == (Variant(), Variant()) else tuple(found)
