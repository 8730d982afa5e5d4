"""What all versions of LeRobot's layout have in common: where files lie, and how a parquet file fails."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow

from ssl_robot.datasets.pictures import DamageError, line
from ssl_robot.errors import InputError


def located(source: Path, info: Mapping[str, Any], template: str, fields: Mapping[str, Any]) -> Path:
    """The file that a template of ``meta/info.json`` names.

    Raises:
        InputError: If there is no such template, or it asks for other fields.
    """
    try:
        return source / str(info[template].format(**fields))
    except (KeyError, IndexError, ValueError, AttributeError):
        raise InputError(f"{source}/meta/info.json has no usable {template}: copy the dataset again.") from None


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turns what pyarrow raises into what is wrong with an episode.

    Args:
        name: What to call the file in a message.

    Raises:
        DamageError: If it is missing or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise DamageError(f"{name} is missing") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise DamageError(f"{name} cannot be read ({line(error)})") from None
