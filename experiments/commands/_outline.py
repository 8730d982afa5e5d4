"""What methods and remedies can be set to, read from their files without loading them: help must not wait for torch."""

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from inspect import cleandoc
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal

import ssl_robot
from ssl_robot.errors import InputError

_TYPES = {"int": int, "float": float, "bool": bool, "str": str, "tuple": tuple, "Literal": Literal}


@dataclass(frozen=True)
class Outline:
    """What a file of a catalogue says about its class.

    Attributes:
        settings: A dataclass with the same fields, defaults and documentation.
        presets: Keyword arguments of each ``Preset``, by the name it is given to.
    """

    settings: type
    presets: Mapping[str, Mapping[str, Any]]


def folder(kind: str) -> Path:
    """Where files of a kind lie: ``methods`` and ``remedies`` in the library, ``studies`` beside the commands."""
    root = Path(__file__).parents[1] if kind == "studies" else Path(ssl_robot.__file__).parent
    return root / kind


def names(kind: str) -> tuple[str, ...]:
    """Names of the files of a kind, sorted."""
    found = (item.name for item in iter_modules([str(folder(kind))]))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def outline(kind: str, name: str, preset: str = "small") -> Outline:
    """What a file defines, with a preset's values as defaults.

    Args:
        kind: Folder of the library.
        name: Of the file.
        preset: Whose values are shown.
    """
    tree = ast.parse((folder(kind) / f"{name}.py").read_text(encoding="utf-8"))
    wanted = name.title().replace("_", "")
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == wanted)
    given = [node for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    presets = {
        _name(node): {word.arg: ast.literal_eval(word.value) for word in node.value.keywords if word.arg}
        for node in given
        if isinstance(node.value, ast.Call) and _is_preset(node)
    }
    changed = presets.get(preset, {}).get("method", {})
    settings = [
        (_name(node), _type(node.annotation), changed.get(_name(node), _default(node.value)))
        for node in given
        if node.value is not None and not ast.unparse(node.annotation).startswith("ClassVar")
    ]
    made = make_dataclass(
        wanted, [(label, kind_, field(default=value)) for label, kind_, value in settings], frozen=True
    )
    made.__doc__ = ast.get_docstring(found)
    return Outline(made, presets)


def _name(node: ast.AnnAssign) -> str:
    assert isinstance(node.target, ast.Name)
    return node.target.id


def _is_preset(node: ast.AnnAssign) -> bool:
    return isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "Preset"


def _default(value: ast.expr) -> Any:
    """A literal, or what a ``number`` with a range is if nothing is said."""
    return ast.literal_eval(value.args[0] if isinstance(value, ast.Call) else value)


def _type(annotation: ast.expr) -> Any:
    return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), {"__builtins__": {}}, _TYPES)


def shaped(base: type, words: Sequence[str]) -> type:
    """A command's dataclass with the settings of the method and remedies that a command line names.

    ``--simclr.temperature`` is a field of it then, and the defaults of the rate, the batch and so on are those of the
    method's preset.

    Args:
        base: Dataclass with ``method``, ``remedies``, ``preset``, ``recipe`` and fields named like those of
            ``Training``.
        words: The command line.
    """
    methods, remedies = names("methods"), names("remedies")
    method = next(iter(_after(words, "--method", methods, most=1)), "simsiam")
    preset = next(iter(_after(words, "--preset", ("small", "paper"), most=1)), "small")
    outlines = {method: outline("methods", method, preset)}
    outlines |= {name: outline("remedies", name) for name in _after(words, "--remedies", remedies)}
    _check_chosen(words, outlines, {"--method": methods, "--remedies": remedies})
    asked = outlines[method].presets.get(preset, {})
    usual = {"recipe": asked.get("recipe", "simsiam"), **asked.get("training", {})}
    given: list[Any] = [
        (name, kind, field(default=usual[name])) for name, kind in base.__annotations__.items() if name in usual
    ]
    given += [("method", _one_of(methods), field(default="simsiam"))]
    given += [("remedies", _several(_one_of(remedies)), field(default=()))]
    given += [(name, item.settings, field(default_factory=item.settings)) for name, item in outlines.items()]
    made = make_dataclass(base.__name__, given, bases=(base,), frozen=True)
    made.__doc__ = base.__doc__
    return made


def part(base: type, kind: str, name: str) -> type:
    """A command's dataclass with the settings of one file, as ``--methods.seeds``."""
    settings = outline(kind, name).settings
    made = make_dataclass(
        base.__name__, [(name, settings, field(default_factory=settings))], bases=(base,), frozen=True
    )
    made.__doc__ = base.__doc__
    return made


def flat(base: type, kind: str, name: str) -> type:
    """A command's dataclass with the settings of one file among its own, as ``--temperature``."""
    settings = outline(kind, name).settings
    given: list[Any] = [(item.name, item.type, field(default=item.default)) for item in fields(settings)]
    made = make_dataclass(base.__name__, given, bases=(base,), frozen=True)
    made.__doc__ = f"{settings.__doc__}\n\n{_attributes(base)}"
    return made


def _attributes(base: type) -> str:
    """What a command says about its own fields."""
    return cleandoc(base.__doc__ or "").partition("Attributes:")[2].strip("\n")


def _check_chosen(words: Sequence[str], chosen: Collection[str], known: Mapping[str, Sequence[str]]) -> None:
    """Refuse settings of what is not chosen: they would pass for strengths of an invariance.

    Raises:
        InputError: If there are any; the message says what to add.
    """
    for word in words:
        name = word.removeprefix("--").partition(".")[0].replace("-", "_")
        for option, there in known.items():
            if word.startswith("--") and "." in word and name in there and name not in chosen:
                raise InputError(f"{word.partition('=')[0]} is a setting of {name}: add {option} {name}.")


def _one_of(names: tuple[str, ...]) -> Any:
    """A type of which these are the values."""
    return Literal.__getitem__(names)


def _several(kind: Any) -> Any:
    """A type of any number of them."""
    return tuple.__class_getitem__((kind, ...))


def _after(words: Sequence[str], option: str, known: Sequence[str], most: int | None = None) -> list[str]:
    """What is given to an option.

    Args:
        words: The command line.
        option: As ``--method``.
        known: What it may be.
        most: How many words belong to it; none: all up to the next option.

    Raises:
        InputError: If it is not known.
    """
    given: list[str] = []
    for place, word in enumerate(words):
        if word.startswith(f"{option}="):
            given = [word.partition("=")[2]]
        elif word == option:
            rest = words[place + 1 :]
            end = next((i for i, value in enumerate(rest) if value.startswith("--")), len(rest))
            given = list(rest[:end])[:most]
    for value in given:
        if value not in known:
            raise InputError(f"'{value}' is not known to {option}: choose from {', '.join(known)}.")
    return given
