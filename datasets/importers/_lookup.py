"""Pictures found by name anywhere below a folder; of several of one name, the one of the right part of a dataset."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ssl_robot.datasets.pictures import DamageError, in_order, listed


def located(root: Path, names: Collection[str]) -> dict[str, list[Path]]:
    """Where files of these names lie in a folder or below it; hidden folders are passed over.

    Args:
        root: The folder.
        names: Names of files, without their folders.

    Raises:
        InputError: If a folder cannot be read.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _walked(root, names, set()):
        found[path.name].append(path)
    return {name: in_order(paths) for name, paths in found.items()}


def picked(places: Mapping[str, Sequence[Path]], name: str, root: Path, file: Path) -> Path:
    """The picture that a file of annotations means.

    Of several, it is the one whose folders the file is named after, as ``val`` by ``instances_val.json``: the larger
    the share of its folders that the file's name holds, the better. Else it is the one that lies beside the file.

    Args:
        places: What ``located`` found.
        name: As the file gives it; it may begin with folders.
        root: The folder that was looked through.
        file: The file of annotations.

    Raises:
        DamageError: If there is none, or it cannot be told which of several it is.
    """
    parts, beside = Path(name).parts, file.parent / name
    found = [path for path in places.get(Path(name).name, ()) if path.parts[-len(parts) :] == parts]
    if not found:
        if beside.is_file():  # as by ../images/1.png
            return beside
        raise DamageError(f"its picture {name} is missing")
    shares = [_share(path.parent.relative_to(root).parts, file.stem) for path in found]
    best = [path for path, share in zip(found, shares, strict=True) if share == max(shares)]
    if len(best) == 1:
        return best[0]
    if beside in best:
        return beside
    one, two = (path.relative_to(root) for path in best[:2])
    raise DamageError(f"its picture {name} may be {one} or {two}, and {file.name} is named after neither folder alone")


def _walked(folder: Path, names: Collection[str], seen: set[Path]) -> Iterator[Path]:
    """Files of these names; a folder that is linked to from several places is seen once, so that no link is a loop."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    for path in listed(folder):
        if path.name in names and path.is_file():
            yield path
        elif not path.name.startswith(".") and path.is_dir():
            yield from _walked(path, names, seen)


def _share(folders: Sequence[str], stem: str) -> float:
    """How many of the folders on the way to a picture a file is named after, 0 to 1."""
    return sum(folder.lower() in stem.lower() for folder in folders) / max(1, len(folders))
