"""What a run must know to go on as if it had never stopped, on the disk."""

import pickle
from pathlib import Path
from typing import Any

import torch

from ssl_robot.errors import InputError

FILE, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all; the one before is kept beside it.

    Args:
        folder: The run directory.
        state: Tensors, numbers and texts, in lists and dictionaries: nothing that would have to be unpickled.
    """
    partial = folder / f"{FILE}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
    if (folder / FILE).exists():
        (folder / FILE).replace(folder / PREVIOUS)
    partial.replace(folder / FILE)


def found(folder: Path) -> bool:
    """Whether a run was begun here and not finished."""
    return (folder / FILE).exists() or (folder / PREVIOUS).exists()


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The last checkpoint that is whole, or none if there never was one.

    Raises:
        InputError: If there are some and none is whole.
    """
    paths = [path for path in (folder / FILE, folder / PREVIOUS) if path.exists()]
    for path in paths:
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            continue
        return state
    if paths:
        raise InputError(f"{paths[0]} is damaged, and so is the one before it: delete {folder} and train again.")
    return None


def clear(folder: Path) -> None:
    """Remove them: the run is finished."""
    for name in (FILE, PREVIOUS, f"{FILE}.partial"):
        (folder / name).unlink(missing_ok=True)
