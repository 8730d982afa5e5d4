"""What makes a run repeatable: its configuration and surroundings, as YAML and as a key."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import yaml

_VERSIONS = ("torch", "torchvision", "kornia", "numpy", "h5py", "gymnasium")


def plain(value: Any) -> Any:
    """Dataclasses, tuples and paths as what YAML and JSON know."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def key(*values: Any) -> str:
    """A short text that is the same for the same content, in any process.

    >>> key({"a": (1, 2), "b": 0}) == key({"b": 0, "a": [1, 2]})
    True
    """
    return hashlib.sha256(json.dumps(plain(values), sort_keys=True, default=str).encode()).hexdigest()[:16]


def surroundings() -> dict[str, Any]:
    """Versions, interpreter, machine and git revision of this process."""
    from ssl_robot import __version__

    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    return {
        "ssl_robot": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "git": revision(),
    }


def revision() -> str:
    """The git revision of the checkout this code runs from, or an empty text for an install."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(plain(values), sort_keys=False))
    partial.replace(path)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    return values
