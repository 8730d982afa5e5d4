"""What a command line says about a recipe."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl_robot.errors import InputError

if TYPE_CHECKING:
    from ssl_robot.recipes import Recipe


def asked(name: str, having: Sequence[str], without: Sequence[str], strengths: Sequence[str]) -> "Recipe":
    """A recipe by name or file, edited.

    Args:
        name: Of the recipe, or a YAML file.
        having: Invariances to add.
        without: Invariances to leave out.
        strengths: As ``rotation.degrees=30``: what ``--rotation.degrees 30`` becomes.

    Raises:
        InputError: If anything of it is not known or out of range.
    """
    from ssl_robot.recipes import Recipe

    changes: dict[str, dict[str, float]] = {}
    for text in strengths:
        path, _, value = text.partition("=")
        invariance, _, strength = path.partition(".")
        try:
            changes.setdefault(invariance, {})[strength] = float(value)
        except ValueError:
            raise InputError(f"--{path} is '{value}', but must be a number.") from None
    return Recipe.found(name).edited(having, without, changes)


def doses(sweeps: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Strengths to compare, from texts like ``rotation.degrees=5,45,180``.

    Raises:
        InputError: If one is written otherwise.
    """
    found = {}
    for text in sweeps:
        path, _, values = text.partition("=")
        try:
            found[path] = tuple(float(value) for value in values.split(","))
        except ValueError:
            raise InputError(f"'--sweep {text}' names no strengths: write it as rotation.degrees=5,45,180.") from None
    return found
