"""Repeat one of the project's own studies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional


@dataclass(frozen=True)
class Study:
    """Repeat a study of experiments/studies: encoders trained side by side, asked, and put into a table and a picture.

    Attributes:
        name: Which one: tuning, methods or simsiam_ablation.
        out: Folder for runs, scores and pictures; what is finished is not repeated.
        data: Folder of the recordings, made first where they are missing.
        g1: LeRobot dataset of a real Unitree G1, for studies that use it.
        workers: Runs side by side, one thread each.
    """

    name: Positional[str]
    out: Path
    data: Path = Path("recordings")
    g1: Path | None = None
    workers: int = 2

    def run(self) -> int:
        """Train what has not been trained, and print the table."""
        import ssl_robot.experiments.studies
        from ssl_robot import catalogue

        study: Any = catalogue.found(ssl_robot.experiments.studies, self.name)()
        self.out.mkdir(parents=True, exist_ok=True)
        print(study.run(self.out, self.data, self.g1, self.workers))
        return 0
