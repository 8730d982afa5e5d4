"""Draw what a method will see."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Views:
    """Draw what a method will see: frames, each invariance of a recipe by itself at three strengths, whole views.

    Attributes:
        data: Recording.
        out: Picture (PNG) to draw.
        recipe: Views: a name, as simsiam, or a YAML file.
        having: Invariances to add to the recipe.
        without: Invariances to leave out of it.
        strengths: Strengths to change; --rotation.degrees 30 says the same as --strengths rotation.degrees=30.
        frames: How many frames, one below the other, from different episodes where there are as many.
        views: How many whole views of each; all of the recipe's and at least four if not given.
        size: Height and width of the views, as in pre-training.
        seed: The views follow from it.
        camera: Camera to look through; the first one if not given.
    """

    data: Positional[Path]
    out: Path
    recipe: str = "simsiam"
    having: Annotated[tuple[str, ...], arg(name="with")] = ()
    without: tuple[str, ...] = ()
    strengths: tuple[str, ...] = ()
    frames: int = 4
    views: int | None = None
    size: int = 64
    seed: int = 0
    camera: str | None = None

    def run(self) -> int:
        """Draw it, whole or not at all, and say where it is."""
        from ssl_robot.contact import sheet
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.errors import InputError
        from ssl_robot.experiments.commands._recipe import asked

        if self.size < 8 or self.frames < 1 or (self.views is not None and self.views < 1):
            raise InputError(
                "Views have 8 pixels or more, and there is at least one: raise --size, --frames or --views."
            )
        if self.out.suffix.lower() != ".png":
            raise InputError(f"{self.out} will be a PNG: give --out a name that ends in .png.")
        if self.out.exists():
            raise InputError(f"{self.out} exists: choose another --out, or delete it.")
        store = FrameStore(self.data, self.camera)
        recipe = asked(self.recipe, self.having, self.without, self.strengths)
        others = [FrameStore(self.data, name) for name in store.schema.cameras if name != store.camera]
        if "camera" in recipe.names and not others:
            raise InputError("The recipe has 'camera', but there is only one: record several, or add --without camera.")
        cameras = [store, *others] if "camera" in recipe.names else [store]
        rows = _rows(store.episodes, self.frames)
        names = [f"episode {store.episodes[row]}\nrow {row}" for row in rows]
        title = f"Recipe {self._name()} on {self.data.name}, {self.size} x {self.size} pixels"
        _write(self.out, sheet(title, cameras, rows, names, recipe, self.size, self.seed, self.views))
        print(self.out)
        return 0

    def _name(self) -> str:
        more = [f"+ {name}" for name in self.having] + [f"- {name}" for name in self.without]
        more += self.strengths
        return " ".join([Path(self.recipe).stem, *more])


def _rows(episodes: "NDArray[np.int64]", count: int) -> "NDArray[np.int64]":
    """Rows from the middles of episodes all over the recording; where those are fewer, rows from all over it."""
    import numpy as np

    known = np.unique(episodes)
    if len(known) < count:
        return np.unique(np.linspace(0, len(episodes) - 1, count).round().astype(np.int64))
    chosen = known[np.linspace(0, len(known) - 1, count).round().astype(np.int64)]
    places = [np.flatnonzero(episodes == episode) for episode in chosen]
    return np.array([rows[len(rows) // 2] for rows in places])


def _write(path: Path, content: bytes) -> None:
    """The whole file or none."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
