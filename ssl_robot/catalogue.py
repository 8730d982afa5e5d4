"""A folder of files is a catalogue: the file's name is the name on the command line."""

import importlib
import pkgutil
from types import ModuleType

from ssl_robot.errors import InputError


def names(package: ModuleType) -> list[str]:
    """Names of the modules in a package, sorted.

    Args:
        package: Any package, with or without an ``__init__.py``.
    """
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def module(package: ModuleType, name: str) -> ModuleType:
    """The module called ``name`` in a package.

    Raises:
        InputError: If the package has no such module; the message lists those that exist.
    """
    known = names(package)
    if name not in known:
        kind = package.__name__.rpartition(".")[2]
        raise InputError(f"'{name}' is not one of the {kind}: choose from {', '.join(known)}.")
    return importlib.import_module(f"{package.__name__}.{name}")


def found(package: ModuleType, name: str) -> type:
    """The class that a catalogue file defines: the CamelCase of its name.

    >>> import ssl_robot.invariances
    >>> found(ssl_robot.invariances, "rotation").__name__
    'Rotation'

    Raises:
        InputError: If the package has no such module.
    """
    cls: type = getattr(module(package, name), name.title().replace("_", ""))
    return cls
