"""Encoders in files of other programs: which there are, and a file that appears when it is whole."""

import contextlib
import importlib
from pathlib import Path

import ssl_robot.plugins
from ssl_robot import catalogue
from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.portable import Export


def formats() -> list[str]:
    """Names of what an encoder can be exported as: files of ``plugins/`` that have a function ``export``."""
    return [name for name in catalogue.names(ssl_robot.plugins) if _export(name) is not None]


def _export(name: str) -> Export | None:
    with contextlib.suppress(ImportError, InputError):  # a program that is not installed, and may say so
        found: Export | None = getattr(importlib.import_module(f"ssl_robot.plugins.{name}"), "export", None)
        return found
    return None


def export_encoder(encoder: Encoder, format: str, out: Path) -> list[str]:
    """Write an encoder for another program; every route to its features is asked once before the file is there.

    Args:
        encoder: To be written.
        format: One of ``formats()``.
        out: The file to make.

    Returns:
        The lines of Python that use it.

    Raises:
        InputError: If there is no such format, the file exists, or the format cannot hold this network.
    """
    export = _export(format) if format in catalogue.names(ssl_robot.plugins) else None
    if export is None:
        known = ", ".join(name.replace("_", "-") for name in formats())
        raise InputError(f"'{format}' is no format of encoders: choose from {known}.")
    if out.exists():
        raise InputError(f"{out} exists: choose another --out.")
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist: make it, or choose another --out.")
    partial = out.with_name(f"{out.stem}.partial{out.suffix}")
    try:
        lines = export(encoder, partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return [line.replace("PATH", str(out)) for line in lines]
