"""What a run leaves to be looked at: figures as they come, a curve and a summary at the end."""

import csv
import importlib
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ssl_robot.config import plain
from ssl_robot.errors import InputError

METRICS, CURVE, SUMMARY = "metrics.csv", "curve.png", "summary.json"
Service = Literal["none", "wandb", "trackio"]


class Records:
    """A line of ``metrics.csv`` for every epoch, and the same for TensorBoard and a service, if one is asked for.

    Args:
        folder: The run directory; none to keep nothing.
        earlier: The epochs of a run that goes on.
        service: Weights & Biases or trackio; both must be installed and logged in.
        config: What a service shows beside the figures.

    Raises:
        InputError: If the service is not installed.
    """

    def __init__(
        self,
        folder: Path | None,
        earlier: list[dict[str, float]],
        service: Service = "none",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        self.epochs = earlier
        self._board: Any = None
        self._service: Any = None
        if folder is None:
            return
        _write_lines(folder / METRICS, earlier)
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(folder / "tensorboard", purge_step=len(earlier))
        if service != "none":
            self._service = _begun(service, folder, config or {})

    def write(self, epoch: dict[str, float]) -> None:
        """Keep one epoch's figures."""
        self.epochs.append(epoch)
        if self._folder is None:
            return
        _write_lines(self._folder / METRICS, self.epochs)
        figures = {name: value for name, value in epoch.items() if name != "epoch"}
        for name, value in figures.items():
            self._board.add_scalar(name, value, int(epoch["epoch"]))
        self._board.flush()
        if self._service is not None:
            self._service.log(figures)

    def close(self) -> None:
        """Let go of everything."""
        if self._board is not None:
            self._board.close()
        if self._service is not None:
            self._service.finish()


def _write_lines(path: Path, epochs: list[dict[str, float]]) -> None:
    """All of them, whole or not at all: a run that goes on may have fewer than were written."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        names = dict.fromkeys(name for epoch in epochs for name in epoch)
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(epochs)
    partial.replace(path)


def _begun(service: Service, folder: Path, config: Mapping[str, Any]) -> Any:
    try:
        module = importlib.import_module(service)
    except ImportError:
        raise InputError(f"{service} is not installed: pip install {service}, or leave out --log.") from None
    module.init(project="ssl-robot", name=folder.name, config=plain(config))
    return module


def write_summary(folder: Path, values: Mapping[str, Any]) -> None:
    """What came out of it, as JSON, whole or not at all."""
    partial = (folder / SUMMARY).with_suffix(".partial")
    partial.write_text(json.dumps(plain(values), indent=2) + "\n")
    partial.replace(folder / SUMMARY)


def peak_memory() -> int:
    """The most memory that this process has had, MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would tell the peak of the process that started this one, where that was higher
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


class Clock:
    """Where the time goes.

    Attributes:
        seconds: By part. On a GPU it is the processor's time: parts that only ask the device for work look short, and
            the one that waits for it long.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time spent inside belongs to this part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def shares(self) -> dict[str, float]:
        """Each part's share of all that was timed."""
        total = sum(self.seconds.values()) or 1.0
        return {name: seconds / total for name, seconds in self.seconds.items()}
