"""Every example in a docstring gives what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

from ssl_robot.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
INSIDE = ("datasets", "envs", "experiments")  # installed inside the library
# Imported by the program it is for, which pins other versions than we do.
ELSEWHERE = ROOT / "ssl_robot" / "plugins" / "lerobot.py"
FILES = [file for folder in ("ssl_robot", *INSIDE) for file in sorted((ROOT / folder).rglob("*.py"))]
FILES.remove(ELSEWHERE)


def dotted(file: Path) -> str:
    """The name a file is imported by."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("ssl_robot", *parts) if parts[0] in INSIDE else parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", [dotted(file) for file in FILES])
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except InputError as error:  # a plugin whose host is an extra
        assert name.startswith("ssl_robot.plugins.")
        pytest.skip(str(error))
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    found = doctest.DocTestFinder().find(importlib.import_module("ssl_robot.recipes"))
    assert sum(len(test.examples) for test in found) >= 2
