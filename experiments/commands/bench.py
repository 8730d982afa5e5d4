"""Time what this project does beside what others do, all in one run."""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from ssl_robot.experiments.benchmarks.timing import Timed


_EPOCHS = 10  # of the runs that are watched
_What = Literal["loader", "record", "compression", "views", "pretrain", "scale", "overhead", "methods", "plugins"]


@dataclass(frozen=True)
class Bench:
    """Time reading or recording beside other ways and beside those peers that are installed, in turns.

    Attributes:
        what: Random batches from a file, what recording costs, what codecs make of a recording's frames, augmented
            views of a batch, which are also held against other libraries' pixels, pre-training from end to end, or on
            files of ten thousand frames, half a million and a million (scale), or with its monitors and records and
            without (overhead), or every method's step beside the passes that it is made of (methods), or an encoder
            under Gymnasium's and Stable-Baselines3's wrappers beside the bare one (plugins).
        frames: Frames of the file (loader, 20,000; pretrain, 4,000; overhead, 2,000) or of a round (compression,
            20,000; views, 256; plugins, 128), or steps of a round (record, 20,000).
        size: Height and width of the frames (96; pretrain and plugins, 84; overhead, 64), or of the views (64, 96 and
            224 in turn).
        batch: Frames read at a time (loader, pretrain, overhead).
        steps: Of a round (pretrain), or of each of eight copies of Reacher in a round (plugins).
        rounds: How often each candidate is timed.
        threads: Time with as many threads too, after one (views, pretrain); with as many (overhead, plugins).
        compiled: Time compiled views too, which take half a minute to compile (views).
        backbone: The network (pretrain, plugins).
        kind: Frames (loader, views, pretrain): flat ones of a simulator, or noisy moving ones.
        env_id: Environment to record (record).
        data: Recording (compression).
        as_json: Print one JSON object instead of tables.
    """

    what: Positional[_What]
    frames: int | None = None
    size: int | None = None
    batch: int = 256
    steps: int = 8
    rounds: int = 15
    threads: int = 1
    compiled: bool = True
    backbone: str = "small"
    kind: Literal["pusht", "video"] = "video"
    env_id: str = "gym_pusht/PushT-v0"
    data: Path | None = None
    as_json: Annotated[bool, arg(name="json")] = False

    def run(self) -> int:
        """Time it, and print the tables."""
        from ssl_robot.errors import InputError
        from ssl_robot.experiments.benchmarks.timing import as_record, as_table, machine

        numbers = self.frames, self.size, self.batch, self.steps, self.rounds, self.threads
        if min(1 if number is None else number for number in numbers) < 1:
            raise InputError("--frames, --size, --batch, --steps, --rounds and --threads are at least 1.")
        if self.what == "views" and self.size is not None and self.size < 8:
            raise InputError(f"Views of {self.size} pixels show nothing: give --size 8 or more.")
        if self.what == "compression" and self.data is None:
            raise InputError("Say which frames to compress: --data RECORDING.h5.")
        if not self.as_json:
            print(machine(), file=sys.stderr)
        if self.what == "views":
            return self._views()
        with tempfile.TemporaryDirectory() as folder:
            tables = self._tables(Path(folder))
        if self.as_json:
            print(json.dumps([as_record(*table) for table in tables]))
        else:
            print("\n\n".join(as_table(title, rows) for title, _, rows in tables))
        return 0

    def _tables(self, folder: Path) -> "list[tuple[str, str, list[Timed]]]":
        from ssl_robot.experiments.benchmarks import compression, loader, methods, record, scale

        if self.what == "pretrain":
            return self._pretraining(folder)
        if self.what == "overhead":
            return self._overhead(folder)
        if self.what == "methods":
            return methods.run(methods.Plan(self.size or 64, self.batch, self.backbone, self.rounds, self.threads))
        if self.what == "plugins":
            return self._plugins()
        if self.what == "scale":
            most = self.frames or 1_000_000
            return scale.run(folder, (most // 100, most // 2, most), self.size or 64, self.rounds)
        frames, size = self.frames or 20_000, self.size or 96
        if self.data is not None:
            return compression.run(self.data, frames, self.rounds)
        if self.what == "loader":
            return loader.run(folder, self.kind, frames, size, self.batch, self.rounds)
        return record.run(folder, self.env_id, size, frames, self.rounds)

    def _pretraining(self, folder: Path) -> "list[tuple[str, str, list[Timed]]]":
        from ssl_robot.experiments.benchmarks.pretraining import Plan, run

        plans = [
            Plan(
                self.frames or 4000, self.size or 84, self.batch, self.steps, self.rounds, threads, self.kind,
                self.backbone,
            )
            for threads in sorted({1, self.threads})
        ]  # fmt: skip
        return [table for plan in plans for table in run(folder, plan)]

    def _overhead(self, folder: Path) -> "list[tuple[str, str, list[Timed]]]":
        import torch

        from ssl_robot.experiments.benchmarks import overhead
        from ssl_robot.training import Training

        torch.set_num_threads(self.threads)
        training = Training(_EPOCHS, self.batch, size=self.size or 64, compiled="no")
        return overhead.run(folder, self.frames or 2000, training, self.rounds)

    def _plugins(self) -> "list[tuple[str, str, list[Timed]]]":
        from ssl_robot.experiments.benchmarks import plugins

        size, frames = self.size or 84, self.frames or 128
        return plugins.run(plugins.Plan(size, self.backbone, frames, self.steps, self.rounds, self.threads))

    def _views(self) -> int:
        """The pixels come first: a fast view of other pixels would be worth nothing."""
        from ssl_robot.experiments.benchmarks import agreement, views
        from ssl_robot.experiments.benchmarks.timing import as_record, as_table

        settings = [
            views.Setting(size, self.frames or 256, self.rounds, threads, self.kind, self.compiled)
            for threads in sorted({1, self.threads})
            for size in ([self.size] if self.size else views.SOURCES)
        ]
        agreed = [row for setting in settings if setting.threads == 1 for row in agreement.agreement(setting)]
        tables = views.run(settings)
        if self.as_json:
            print(json.dumps([*(as_record(*table) for table in tables), agreement.pixels_record(agreed)]))
        else:
            print("\n\n".join([*(as_table(title, rows) for title, _, rows in tables), agreement.pixels_table(agreed)]))
        return 0
