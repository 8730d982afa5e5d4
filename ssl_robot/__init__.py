"""Learn an encoder from what a robot saw, and ask which invariances cost it control.

Public names are loaded when first used, so that `import ssl_robot` stays quick.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl_robot.encoder import Encoder, load
    from ssl_robot.plugins.gymnasium import EncodeObservation
    from ssl_robot.recipes import Recipe
    from ssl_robot.views import Views

__version__ = "0.1.0"
__all__ = ["EncodeObservation", "Encoder", "Recipe", "Views", "__version__", "load"]

_PUBLIC = {
    "EncodeObservation": "ssl_robot.plugins.gymnasium",
    "Encoder": "ssl_robot.encoder",
    "Recipe": "ssl_robot.recipes",
    "Views": "ssl_robot.views",
    "load": "ssl_robot.encoder",
}

# In a checkout envs/, datasets/ and experiments/ lie beside this folder; an install has them inside.
# FORMAT.md tells the checkout from a site-packages that holds someone else's `datasets`.
_ROOT = Path(__file__).resolve().parent.parent
if (_ROOT / "datasets" / "FORMAT.md").is_file():
    __path__.append(str(_ROOT))


def __getattr__(name: str) -> object:
    """The public name, from the module that defines it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What is loaded and what could be."""
    return sorted({*globals(), *__all__})
