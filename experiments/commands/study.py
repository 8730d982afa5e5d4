"""Repeat one of the project's own studies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tyro.conf import Positional


@dataclass(frozen=True)
class Study:
    """Repeat a study of experiments/studies: encoders trained side by side, asked, and put into a table and a picture.

    Attributes:
        name: Which one: tuning, methods, simsiam_ablation, pose or cifar10; NAME --help shows its own settings.
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

    @classmethod
    def shaped(cls, words: Sequence[str]) -> type:
        """This command with the settings of the study that a command line names."""
        from ssl_robot.experiments.commands._outline import names, part

        free = [word for before, word in pairwise(words) if not before.startswith("--")]  # not an option's value
        name = next((word for word in free if word in names("studies")), None)
        return cls if name is None else part(cls, "studies", name)

    def run(self) -> int:
        """Train what has not been trained, and print the table."""
        import ssl_robot.experiments.studies
        from ssl_robot import catalogue
        from ssl_robot.errors import InputError

        if self.workers < 1:
            raise InputError(f"--workers is {self.workers}, but must be at least 1.")
        settings = asdict(getattr(self, self.name)) if hasattr(self, self.name) else {}
        study: Any = catalogue.found(ssl_robot.experiments.studies, self.name)(**settings)
        self.out.mkdir(parents=True, exist_ok=True)
        print(study.run(self.out, self.data, self.g1, self.workers))
        return 0
