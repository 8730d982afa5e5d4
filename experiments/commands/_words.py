"""A command as it would be typed: what makes a result again."""

import shlex
from dataclasses import MISSING, fields
from typing import Any


def words(name: str, command: Any) -> str:
    """The command line of a command, without what is as usual.

    Args:
        name: Of the command.
        command: Its dataclass; a field without a default is positional, but for ``out``.
    """
    said = ["ssl-robot", name]
    for item in fields(command):
        value, option = getattr(command, item.name), "with" if item.name == "having" else item.name.replace("_", "-")
        needed = item.default is MISSING and item.default_factory is MISSING
        if needed and item.name != "out":
            said.append(str(value))
        elif needed or value != item.default:
            values = [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
            said += [f"--{option}", *values]
    return shlex.join(said)
