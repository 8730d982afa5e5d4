"""Names of cameras and labels: which are asked for, and which can lie side by side in one file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ssl_robot.errors import InputError


def chosen(names: Mapping[str, str], wanted: Sequence[str], source: Path) -> list[str]:
    """The cameras asked for in the order asked, or all in their own.

    Args:
        names: What the source calls each camera, by the name it has here.
        wanted: Names of either kind; none asks for all.
        source: What to name in a message.

    Raises:
        InputError: If there are none, or one that is asked for is not among them.
    """
    if not names:
        raise InputError(f"{source} has no camera, only numbers: give a dataset with pictures or video.")
    ours = {**{theirs: name for name, theirs in names.items()}, **{name: name for name in names}}
    for name in wanted:
        if name not in ours:
            raise InputError(f"{source} has no camera '{name}': choose from {', '.join(names)}.")
    return list(dict.fromkeys(ours[name] for name in wanted)) or list(names)


def side_by_side(names: Iterable[str], taken: Sequence[str] = ()) -> list[str]:
    """Those names that a file can keep beside each other, earlier ones first.

    A name is a path in the file: it has no empty part, and is neither another's nor the beginning of another's.

    Args:
        names: Of labels.
        taken: Of cameras, which lie at the same place.
    """
    kept: list[str] = []
    for name in names:
        sound = not {"", ".", ".."} & set(name.split("/")) and "\0" not in name
        if sound and not any(_touch(name, other) for other in (*taken, *kept)):
            kept.append(name)
    return kept


def _touch(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
