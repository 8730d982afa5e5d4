"""What the importers of others' formats share: the choice of cameras, and the sentence for a damaged episode."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ssl_robot.datasets.importers import _names
from ssl_robot.datasets.pictures import DamageError
from ssl_robot.errors import InputError
from ssl_robot.frames import Row


def chosen(cameras: Mapping[str, str], wanted: Sequence[str], source: Path) -> list[str]:
    """The names of the cameras to keep, in the dataset's order.

    Args:
        cameras: Name of each camera, and what else it may be called.
        wanted: Those asked for, by either; none given means all.
        source: The dataset.

    Raises:
        InputError: If there are none, or one that is asked for is not among them.
    """
    if not cameras:
        raise InputError(f"{source} has no camera, only numbers: give a dataset with pictures or video.")
    kept = _names.chosen(cameras, wanted, source)
    return [name for name in cameras if name in kept]


def reported(rows: Iterator[Row], name: str, source: Path) -> Iterator[Row]:
    """The rows of an episode; damage met on the way becomes a sentence with its remedy.

    Raises:
        InputError: Where the episode is damaged.
    """
    try:
        yield from rows
    except DamageError as error:
        raise InputError(
            f"{name} of {source} is damaged: {error}; copy it again, or leave such episodes out with --skip-bad."
        ) from None
