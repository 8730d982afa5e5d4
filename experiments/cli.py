"""The command line: one file per command in ``commands/``, heavy libraries loaded only by the command that runs."""

import os
import re
import sys
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from typing import Any

import tyro

import ssl_robot.experiments.commands
from ssl_robot import catalogue
from ssl_robot.errors import InputError

USAGE, INTERRUPTED = 2, 130
_STRENGTH = re.compile(r"--(?P<path>[a-z_-]+\.[a-z_-]+)(=(?P<value>.*))?")


def commands() -> dict[str, Callable[..., Any]]:
    """Command names and the dataclasses that describe them."""
    package = ssl_robot.experiments.commands
    return {name.rstrip("_"): catalogue.found(package, name) for name in catalogue.names(package)}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if done, 2 for input that cannot be used, 130 if interrupted."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait starve a busy machine
    try:
        code: int = _chosen(list(sys.argv[1:] if arguments is None else arguments)).run()
    except InputError as error:
        print(f"ssl-robot: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("ssl-robot: interrupted; only what was finished is kept.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        cause = str(error) or "out of memory"
        print(f"ssl-robot: {cause}: choose another --out or --size, or make room.", file=sys.stderr)
        return USAGE
    return code


def _chosen(words: list[str]) -> Any:
    """The command that a line names, with all that the line says."""
    known = commands()
    named = known.get(words[0]) if words else None
    shaped: Callable[[list[str]], type] | None = getattr(named, "shaped", None)
    if shaped is not None:
        known[words[0]] = named = shaped(words)
    return tyro.extras.subcommand_cli_from_dict(
        known,
        prog="ssl-robot",
        description="Frames in, encoder out, a verdict on every invariance.",
        args=_gathered(words, _parts(named)),
    )


def _parts(command: Any) -> set[str]:
    """Fields of a command that have fields themselves."""
    return {item.name for item in fields(command) if is_dataclass(item.type)} if command is not None else set()


def _gathered(words: list[str], parts: Collection[str] = ()) -> list[str]:
    """``--rotation.degrees 30`` as ``--strengths rotation.degrees=30``: which there are only their files say.

    >>> _gathered(["views", "a.h5", "--rotation.degrees", "30", "--blur.p=.1"])
    ['views', 'a.h5', '--strengths', 'rotation.degrees=30', 'blur.p=.1']

    Args:
        words: The command line.
        parts: What is no invariance before the dot, but a part of the command.
    """
    kept: list[str] = []
    strengths: list[str] = []
    left = deque(words)
    while left:
        word = left.popleft()
        found = _STRENGTH.fullmatch(word)
        if found is not None and found["path"].partition(".")[0].replace("-", "_") not in parts:
            value = found["value"] if found["value"] is not None else (left.popleft() if left else "")
            strengths.append(f"{found['path'].replace('-', '_')}={value}")
        elif word == "--strengths":
            while left and not left[0].startswith("--"):
                strengths.append(left.popleft())
        else:
            kept.append(word)
    return kept + (["--strengths", *strengths] if strengths else [])


if __name__ == "__main__":
    sys.exit(main())
