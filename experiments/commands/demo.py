"""The whole story on PushT."""

import sys
from dataclasses import dataclass
from pathlib import Path

WORLD = "gym_pusht/PushT-v0"
SIZE = 64


@dataclass(frozen=True)
class Demo:
    """Record PushT, train encoders with and without an invariance, and report which of them cost what. Minutes.

    Attributes:
        out: Folder for recordings, runs and the report; what is finished in it is not repeated.
        frames: Frames of exploration to pre-train on.
        poses: Independent poses for the probe.
        epochs: Passes over the frames.
        seeds: Pre-training runs per recipe.
    """

    out: Path = Path("demo")
    frames: int = 3000
    poses: int = 2000
    epochs: int = 8
    seeds: int = 3

    def run(self) -> int:
        """Collect, audit, and print where the page is."""
        from ssl_robot.experiments.commands.audit import Audit

        self.out.mkdir(parents=True, exist_ok=True)
        explored = self._recorded("explore", self.frames, reset_every=10, seed=100_000)
        posed = self._recorded("poses", self.poses, reset_every=1, seed=0)
        audit = Audit(
            explored, self.out, posed, target=("poses/block",), epochs=self.epochs, seeds=self.seeds, size=SIZE,
            design="add_one_in", invariances=("rotation", "flip", "hue"), resume=True,
        )  # fmt: skip
        return audit.run()

    def _recorded(self, name: str, frames: int, reset_every: int, seed: int) -> Path:
        """A recording made now or by an earlier, interrupted demo."""
        from ssl_robot.experiments.commands.collect import Collect

        path = self.out / f"{name}-{frames}.h5"
        if path.exists():
            return path
        print(f"{path}: {frames} frames of {WORLD}", file=sys.stderr)
        partial = path.with_suffix(".partial")
        if Collect(WORLD, partial, frames, SIZE, reset_every=reset_every, seed=seed, if_exists="overwrite").run() != 0:
            raise KeyboardInterrupt
        partial.replace(path)
        return path
