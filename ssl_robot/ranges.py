"""Settings with a range: what is out of it is refused where it is given, in one sentence."""

from dataclasses import field, fields
from typing import Any

from ssl_robot.errors import InputError


def number(default: float, least: float, most: float = 1_000_000) -> Any:
    """A dataclass's field that is a number between two others, both allowed.

    Args:
        default: What it is if nothing is said.
        least: The smallest that makes sense.
        most: The largest.
    """
    return field(default=default, metadata={"least": least, "most": most})


def check(settings: Any) -> None:
    """Refuse settings that are out of their ranges; for a dataclass's ``__post_init__``.

    Args:
        settings: An instance, whose class lies in a file of the name that users know it by.

    Raises:
        InputError: If a field made by ``number`` is none, not a whole one though it says int, or out of its range.
    """
    for item in fields(settings):
        if "least" not in item.metadata:
            continue
        value: Any = getattr(settings, item.name)
        least, most = item.metadata["least"], item.metadata["most"]
        kinds: tuple[type, ...] = (int,) if item.type is int else (int, float)
        known = isinstance(value, kinds) and not isinstance(value, bool)
        if not known or not least <= value <= most:  # nor is what is no number between any two
            name, whole = type(settings).__module__.rpartition(".")[2], "whole " if item.type is int else ""
            raise InputError(f"{name}.{item.name} is {value}, but must be a {whole}number from {least:,} to {most:,}.")
