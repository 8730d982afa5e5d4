"""Features that were computed before, kept by content: the same reader and frames are not asked twice."""

import contextlib
import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssl_robot import __version__
from ssl_robot.config import key
from ssl_robot.encoder import Layer
from ssl_robot.frames import Frames
from ssl_robot.readers import Reader

ENVIRONMENT = "SSL_ROBOT_CACHE"  # names the folder; "off" keeps nothing
MOST = 4 * 2**30  # bytes that are kept; what was not asked for the longest goes first
_FORGOTTEN = 3600  # seconds after which what a killed process left half written is removed
_SUFFIX, _PARTIAL = ".safetensors", ".partial"


def features(reader: Reader, frames: Frames, layer: Layer = "output") -> Tensor:
    """The reader's features of each frame, from the cache where they are there.

    The key is the content: reader, recording (with camera and size), layer, and the code itself. Any number of
    processes may ask at once. Where nothing can be written, nothing is kept.

    Args:
        reader: What is asked.
        frames: The recording.
        layer: What is read of it.
    """
    root = folder()
    if root is None:
        return reader.everything(frames, layer)
    path = root / f"{key(reader.key, reader.labels, frames.fingerprint, layer, _code())}{_SUFFIX}"
    kept = _recalled(path)
    if kept is not None and len(kept) == len(frames):
        return kept
    found = reader.everything(frames, layer)
    with contextlib.suppress(OSError, SafetensorError):  # a full disk must not cost the answer
        _remember(path, found)
        _pruned(root, MOST)
    return found


def folder() -> Path | None:
    """Where features are kept: what SSL_ROBOT_CACHE names, or the platform's place; none if it says off."""
    named = os.environ.get(ENVIRONMENT, "")
    if named:
        return None if named == "off" else Path(named).expanduser()
    try:
        usual = Path.home() / ("Library/Caches" if platform.system() == "Darwin" else ".cache")
    except RuntimeError:  # a user without a home
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "ssl_robot" / "features"


@cache
def _code() -> str:
    """Hash of the library's sources: an edited encoder or invariance makes other features."""
    digest = hashlib.sha256(f"{__version__} {torch.__version__}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _recalled(path: Path) -> Tensor | None:
    try:
        found = load_file(path)["features"]
        os.utime(path)  # asked for just now
    except (OSError, SafetensorError, KeyError):  # not there, removed by another process, or damaged
        return None
    return found


def _remember(path: Path, found: Tensor) -> None:
    """Write whole or not at all, under a name that no other process writes to."""
    if found.numel() * found.element_size() > MOST // 2:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(_PARTIAL, dir=path.parent)
    os.close(handle)
    try:
        save_file({"features": found.detach().cpu().contiguous()}, partial)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _pruned(root: Path, most: int) -> None:
    """Remove what is over the limit, oldest first, and what was never finished."""
    whole = sorted(_listed(root, _SUFFIX), reverse=True)
    total = 0
    for _, size, path in whole:
        total += size
        if total > most:
            path.unlink(missing_ok=True)
    for touched, _, path in _listed(root, _PARTIAL):
        if touched < time.time() - _FORGOTTEN:
            path.unlink(missing_ok=True)


def _listed(root: Path, suffix: str) -> Iterator[tuple[float, int, Path]]:
    """When each file was last asked for, its bytes and its path; others may remove files meanwhile."""
    for path in root.glob(f"*{suffix}"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path
