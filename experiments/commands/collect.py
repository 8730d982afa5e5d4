"""Record a simulator."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True)
class Collect:
    """Record frames, poses and actions of a Gymnasium environment.

    Attributes:
        env_id: Environment, as in gym_pusht/PushT-v0.
        out: File to write.
        frames: Observations before an action; final observations come on top.
        size: Height and width of the frames.
        explorer: How to act.
        reset_every: Cut episodes after this many steps; 1 records independent poses; 0 lets them run.
        seed: Seeds the actions and, counting up, every episode.
        if_exists: What to do with a file that is there already.
        raw: Store pixels uncompressed.
    """

    env_id: Positional[str]
    out: Path
    frames: int
    size: int = 96
    explorer: str = "uniform"
    reset_every: int = 0
    seed: int = 0
    if_exists: Literal["error", "append", "overwrite"] = "error"
    raw: bool = False

    def run(self) -> int:
        """Record; interrupted, it keeps what it has."""
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.datasets.writer import FrameWriter
        from ssl_robot.envs import collect
        from ssl_robot.errors import InputError

        plan = collect.Plan(self.frames, self.reset_every, self.explorer, self.seed)
        if self.if_exists == "append" and self.out.is_file() and self.seed in FrameStore(self.out).seeds:
            raise InputError(f"{self.out} holds seed {self.seed} already: the same scenes again; give a higher --seed.")
        world = collect.world(self.env_id, self.size)
        schema, provenance = collect.schema(world, self.size), collect.provenance(world, plan)
        independent = self.reset_every == 1
        with FrameWriter(self.out, schema, provenance, independent, self.raw, self.if_exists) as sink:
            try:
                collect.collect(world, sink, plan)
            except KeyboardInterrupt:
                print(f"ssl-robot: interrupted; {self.out} holds the frames so far.", file=sys.stderr)
                return 130
            finally:
                world.env.close()
        return 0
