"""Weights in safetensors files: opened without running anything, poured only into a network that they fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from ssl_robot.errors import InputError

_ZIP = b"PK\x03\x04"  # how torch.save begins
_PICKLE = b"\x80"  # how any pickle of the last twenty years does


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A safetensors file; only its header is read.

    Raises:
        InputError: If it is a pickle, damaged, or what is done with it meanwhile fails for what the file holds.
    """
    with file.open("rb") as raw:
        begin = raw.read(9)
    # In a safetensors file a length of 8 bytes comes first, and then a brace.
    if begin[8:] not in (b"{", b"") and begin.startswith((_ZIP, _PICKLE)):
        raise InputError(f"{file} is a pickle, which can run anything and is never opened: give a safetensors file.")
    try:
        with safe_open(file, framework="pt") as found:
            yield found
    except (SafetensorError, RuntimeError, OSError, TypeError, OverflowError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{file} is not a whole encoder file ({first_line}): pre-train it again.") from None


def pour(found: Any, network: nn.Module) -> None:
    """Give a network the weights of an opened file; names and shapes are compared before any are read.

    Raises:
        RuntimeError: If they are those of another network; ``opened`` makes a sentence of it.
    """
    wanted = network.state_dict()
    names = set(found.keys())
    if names != set(wanted):
        odd = min(names ^ set(wanted))
        raise RuntimeError(f"{odd} is {'unknown' if odd in names else 'missing'}")
    for name, value in wanted.items():
        shape = tuple(found.get_slice(name).get_shape())
        if shape != tuple(value.shape):
            raise RuntimeError(f"{name} is {shape}, but the network's is {tuple(value.shape)}")
    network.load_state_dict({name: found.get_tensor(name) for name in names})
