"""Bring recordings that others made into one file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction


@dataclass(frozen=True)
class Import:
    """Bring datasets that others recorded, or recordings of our own, into one file.

    Attributes:
        source: Folder or file of a dataset; several are put one after the other.
        out: File to write.
        format: Layout of the dataset, as in lerobot; auto looks at it.
        size: Height and width of the frames, whatever their aspect was; their own size if not given.
        camera: Camera to keep, may be given again; all if not given.
        skip_bad: Leave damaged episodes out instead of stopping at the first.
        if_exists: What to do with a file that is there already.
        raw: Store pixels uncompressed.
    """

    source: Positional[tuple[Path, ...]]
    out: Path
    format: str = "auto"
    size: int | None = None
    camera: Annotated[tuple[str, ...], UseAppendAction] = ()
    skip_bad: bool = False
    if_exists: Literal["error", "append", "overwrite"] = "error"
    raw: bool = False

    def run(self) -> int:
        """Import, and say what was written and what was left out."""
        from ssl_robot.datasets.imports import import_sources

        try:
            done = import_sources(
                self.source, self.out, self.format, self.size, self.camera, self.skip_bad, self.if_exists, self.raw
            )
        except KeyboardInterrupt:
            print(f"ssl-robot: interrupted; {self.out} was not written.", file=sys.stderr)
            return 130
        for sentence in done.warnings:
            print(f"warning: {sentence}", file=sys.stderr)
        for sentence in done.skipped:
            print(f"skipped: {sentence}", file=sys.stderr)
        left = f", {len(done.skipped)} damaged episode(s) left out" if done.skipped else ""
        print(f"{self.out}: {done.frames:,} frames in {done.episodes:,} episode(s){left}")
        return 0
