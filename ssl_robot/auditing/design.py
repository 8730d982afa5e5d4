"""Which recipes are trained, and which of them are set against each other: two that differ in one thing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import ssl_robot.invariances
from ssl_robot import backbones, catalogue
from ssl_robot.errors import InputError
from ssl_robot.invariances import Colour, Filter, Geometry, Invariance, Source
from ssl_robot.methods import Method
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.recipes import Recipe
from ssl_robot.remedies import Remedy
from ssl_robot.training import Training

FULL, BASE, UNTRAINED, RECOMMENDED = "full", "base", "untrained", "recommended"
FEWEST_SEEDS = 3
# Invariances that hide alike mask each other: leaving out one of them changes nothing while the others stay.
GROUPS: Mapping[str, type[Invariance]] = {"geometry": Geometry, "colour": Colour, "filter": Filter, "source": Source}


@dataclass(frozen=True)
class Arm:
    """What encoders of one kind are trained on, one for each seed.

    Attributes:
        name: In reports.
        recipe: The views.
        remedies: Further tasks.
        trained: Whether it is trained at all.
    """

    name: str
    recipe: Recipe
    remedies: tuple[Remedy, ...] = ()
    trained: bool = True


@dataclass(frozen=True)
class Contrast:
    """Two arms that differ in whether they have something.

    Attributes:
        subject: The invariance, or the group of them.
        design: ``leave_one_out``, ``add_one_in``, ``sweep`` (of one strength), or ``remedy``: the recommended recipe
            against the one that the study began with.
        without: Name of the arm that lacks it.
        having: Name of the arm that has it.
        dose: Its strength, where strengths are compared.
    """

    subject: str
    design: Literal["leave_one_out", "add_one_in", "sweep", "remedy"]
    without: str
    having: str
    dose: float | None = None


@dataclass(frozen=True)
class Study:
    """What a trained audit compares.

    Attributes:
        recipe: The full recipe, out of which each invariance is left.
        base: The plain recipe, to which each is added.
        invariances: Those asked about; all of the recipe's, if none are named.
        design: Leave each out of the full recipe, add each to the plain one, or both.
        groups: Kinds of invariances that are left out, or added, together: geometry, colour, filter or source.
        doses: Strengths to compare, as ``{"rotation.degrees": (5, 45, 180)}``.
        seeds: Pre-training runs per recipe.
        first: The first of the seeds.
        backbone: Name of the network.
        method: The objective.
        training: How long and how fast; its seed is replaced.
    """

    recipe: Recipe
    base: Recipe = field(default_factory=lambda: Recipe.named("crop"))
    invariances: tuple[str, ...] = ()
    design: Literal["leave_one_out", "add_one_in", "both"] = "leave_one_out"
    groups: tuple[str, ...] = ()
    doses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    seeds: int = 5
    first: int = 0
    backbone: str = "small"
    method: Method = field(default_factory=lambda: Simsiam.made("small", {}))
    training: Training = field(default_factory=lambda: Training.of(Simsiam, "small", {}))

    @property
    def seed_range(self) -> range:
        """Which seeds they are."""
        return range(self.first, self.first + self.seeds)

    @property
    def anew(self) -> "Study":
        """The same with seeds that follow, as many."""
        return replace(self, first=self.first + self.seeds)

    def only(self, names: Sequence[str]) -> "Study":
        """The same about fewer invariances: without groups and strengths that have lost their members.

        Args:
            names: Those that are left, at least one.
        """
        gone = set(self.asked.names) - set(names)
        groups = tuple(group for group in self.groups if len(set(self.members(group)) - gone) > 1)
        doses = {path: of for path, of in self.doses.items() if path.partition(".")[0] not in gone}
        return replace(self, invariances=tuple(names), groups=groups, doses=doses)

    def members(self, group: str) -> tuple[str, ...]:
        """Which of the invariances asked about belong to a group."""
        kept = zip(self.asked.names, self.asked.invariances, strict=True)
        return tuple(name for name, item in kept if isinstance(item, GROUPS[group]))

    def check(self) -> None:
        """Refuse what cannot be studied, before an hour is spent on the rest.

        Raises:
            InputError: If there is nothing to compare, no interval to be had, or no such backbone.
        """
        if self.seeds < FEWEST_SEEDS:
            raise InputError(
                f"{self.seeds} seed(s) give no interval worth the name: ask for --seeds {FEWEST_SEEDS} or more, "
                "better 5."
            )
        backbones.build(self.backbone, 0)
        if not self.contrasts():
            raise InputError("There is nothing to ask about: name at least one of --invariances.")
        for arm in self.arms().values():
            if arm.trained and not arm.recipe.names:
                raise InputError(
                    f"The arm '{arm.name}' has views that do not differ, from which nothing is learnt: ask about other "
                    "--invariances, or with --design add_one_in."
                )

    @property
    def start(self) -> str:
        """The arm that a recommendation is made for."""
        return BASE if self.design == "add_one_in" else FULL

    @property
    def asked(self) -> Recipe:
        """The invariances asked about, at the strengths that they have, or would have, in the recipe.

        Raises:
            InputError: If one is not known.
        """
        known = {**self.base.as_dict(), **self.recipe.as_dict()}
        names = self.invariances or self.recipe.names
        for name in names:
            catalogue.module(ssl_robot.invariances, name)
        return Recipe.from_dict({name: known.get(name, {}) for name in names})

    def arms(self) -> dict[str, Arm]:
        """The recipes to train, by name, and the encoder that is not trained."""
        found = [Arm(self.start, self.recipe if self.start == FULL else self.base)]
        for _, without, having in self._pairs():
            found += [without, having]
        return {arm.name: arm for arm in (*found, Arm(UNTRAINED, Recipe(), trained=False))}

    def contrasts(self) -> list[Contrast]:
        """What is set against what.

        Raises:
            InputError: If an invariance, a group or a strength is not known, or cannot be left out or added.
        """
        return [
            replace(contrast, without=without.name, having=having.name) for contrast, without, having in self._pairs()
        ]

    def _pairs(self) -> Iterator[tuple[Contrast, Arm, Arm]]:
        subjects = {name: (name,) for name in self.asked.names} | {name: self._several(name) for name in self.groups}
        leaving = self.design in ("leave_one_out", "both")
        adding = self.design in ("add_one_in", "both")
        for subject, names in subjects.items():
            if leaving and self._whole(subject, names):
                without = _less(self.recipe, names)
                yield (Contrast(subject, "leave_one_out", "", ""), Arm(_out(subject), without), Arm(FULL, self.recipe))
            if adding and self._new(subject, names):
                having = self._more(names)
                yield (Contrast(subject, "add_one_in", "", ""), Arm(BASE, self.base), Arm(_in(subject), having))
        for path, values in self.doses.items():
            yield from self._sweep(path, values)

    def _several(self, group: str) -> tuple[str, ...]:
        if group not in GROUPS:
            raise InputError(f"'{group}' is not one of the groups: choose from {', '.join(GROUPS)}.")
        names = self.members(group)
        if len(names) < 2:
            raise InputError(
                f"The group '{group}' has {len(names)} of the invariances asked about: leave it out of --groups, or "
                "name more of --invariances."
            )
        return names

    def _whole(self, subject: str, names: Sequence[str]) -> bool:
        """Whether the full recipe has what is to be left out of it."""
        there = [name for name in names if name in self.recipe.names]
        if not there and self.design == "leave_one_out":
            raise InputError(
                f"The recipe has no '{subject}' to leave out: it has {', '.join(self.recipe.names) or 'nothing'}; ask "
                "with --design add_one_in."
            )
        return bool(there)

    def _new(self, subject: str, names: Sequence[str]) -> bool:
        """Whether the plain recipe lacks what is to be added to it."""
        new = [name for name in names if name not in self.base.names]
        if not new and self.design == "add_one_in":
            raise InputError(
                f"The recipe that invariances are added to has '{subject}' already: leave it out of --invariances, "
                "change --base, or ask with --design leave_one_out."
            )
        return bool(new)

    def _more(self, names: Sequence[str]) -> Recipe:
        recipe = self.base
        strengths = self.asked.as_dict()
        for name in names:
            recipe = recipe if name in recipe.names else recipe.having(name, **strengths[name])
        return recipe

    def _sweep(self, path: str, values: Sequence[float]) -> Iterator[tuple[Contrast, Arm, Arm]]:
        """Strengths of one invariance, each set against its absence."""
        name, _, strength = path.partition(".")
        adding = self.design == "add_one_in"
        if not strength or (name not in self.recipe.names and not adding):
            raise InputError(f"'{path}' is no strength of the recipe: write it as rotation.degrees=5,45,180.")
        if adding and name not in (*self.asked.names, *self.base.names):
            raise InputError(
                f"Strengths of '{name}' are to be compared, which is not asked about: add it to --invariances."
            )
        bare = _less(self.base if adding else self.recipe, [name])
        without = Arm(BASE if bare == self.base else _out(name), bare)
        whole = self._more([name]) if adding else self.recipe
        for value in values:
            having = Arm(f"{path} {value:g}", whole.having(name, **{strength: value}))
            yield Contrast(name, "sweep", "", "", value), without, having


def _less(recipe: Recipe, names: Sequence[str]) -> Recipe:
    for name in names:
        recipe = recipe.without(name) if name in recipe.names else recipe
    return recipe


def _out(subject: str) -> str:
    return f"without {subject}"


def _in(subject: str) -> str:
    return f"with {subject}"
