"""Time what this project does beside what others do, all in one run."""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Bench:
    """Time reading or recording beside other ways and beside those peers that are installed, in turns.

    Attributes:
        what: Random batches from a file, what recording costs, or what codecs make of a recording's frames.
        frames: Frames of the file (loader) or of a round (compression), or steps of a round (record).
        size: Height and width of the frames.
        batch: Frames read at a time (loader).
        rounds: How often each candidate is timed.
        kind: Frames of the file (loader): flat ones of a simulator, or noisy moving ones.
        env_id: Environment to record (record).
        data: Recording (compression).
        as_json: Print one JSON object instead of tables.
    """

    what: Positional[Literal["loader", "record", "compression"]]
    frames: int = 20_000
    size: int = 96
    batch: int = 256
    rounds: int = 15
    kind: Literal["pusht", "video"] = "video"
    env_id: str = "gym_pusht/PushT-v0"
    data: Path | None = None
    as_json: Annotated[bool, arg(name="json")] = False

    def run(self) -> int:
        """Time it, and print the tables."""
        from ssl_robot.errors import InputError
        from ssl_robot.experiments.benchmarks import compression, loader, record
        from ssl_robot.experiments.benchmarks.timing import as_record, as_table, machine

        if min(self.frames, self.size, self.batch, self.rounds) < 1:
            raise InputError("--frames, --size, --batch and --rounds are at least 1.")
        if self.what == "compression" and self.data is None:
            raise InputError("Say which frames to compress: --data RECORDING.h5.")
        with tempfile.TemporaryDirectory() as folder:
            if self.data is not None:
                tables = compression.run(self.data, self.frames, self.rounds)
            elif self.what == "loader":
                tables = loader.run(Path(folder), self.kind, self.frames, self.size, self.batch, self.rounds)
            else:
                tables = record.run(Path(folder), self.env_id, self.size, self.frames, self.rounds)
        if self.as_json:
            print(json.dumps([as_record(*table) for table in tables]))
        else:
            print(machine(), file=sys.stderr)
            print("\n\n".join(as_table(title, rows) for title, _, rows in tables))
        return 0
