"""Question an encoder."""

import json
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

if TYPE_CHECKING:
    from ssl_robot.datasets.store import FrameStore
    from ssl_robot.probes import Score
    from ssl_robot.readers import Reader

_WIDTH = 26
_METRICS = {"r2": "R2"}


@dataclass(frozen=True)
class Probe:
    """Put a question to a frozen encoder, beside baselines.

    Attributes:
        probe: The question: a file of ssl_robot/probes, as pose or policy; NAME --help shows its own settings.
        encoder: Run directory, encoder file, or a baseline: random, pixels, efficientnet_lite0, timm:NAME, state, or
            blind:INVARIANCE.
        data: Recording with labels; for a policy, demonstrations.
        camera: Camera to look through; the first one if not given.
        baselines: What is shown beside the encoder; given without a name, nothing; if not given, what suits the probe.
        json: Print one JSON object instead of a table.
    """

    probe: Positional[str]
    encoder: Positional[str]
    data: Positional[Path]
    camera: str | None = None
    baselines: tuple[str, ...] | None = None
    json: bool = False

    @classmethod
    def shaped(cls, words: Sequence[str]) -> type:
        """This command with the settings of the probe that a command line names."""
        from ssl_robot.experiments.commands._outline import flat, names

        name = next((word for word in words[1:] if word in names("probes")), None)
        return cls if name is None else flat(cls, "probes", name)

    def run(self) -> int:
        """Ask the encoder and the baselines the same."""
        import ssl_robot.probes
        from ssl_robot import catalogue
        from ssl_robot.baselines import named
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.errors import InputError

        cls: Any = catalogue.found(ssl_robot.probes, self.probe)
        probe = cls(**{item.name: getattr(self, item.name) for item in fields(cls)})
        frames = FrameStore(self.data, self.camera)
        first = named(self.encoder, frames)
        like = getattr(getattr(first, "encoder", None), "card", None)
        beside = cls.beside if self.baselines is None else self.baselines
        readers = {self.encoder: first, **{name: named(name, frames, like) for name in beside if name != self.encoder}}
        columns = {}
        for name, reader in readers.items():
            try:
                columns[name] = self._asked(probe, reader, frames)
            except InputError as error:
                if reader is first or self.baselines is not None:
                    raise
                print(f"ssl-robot: {name} is left out: {error}", file=sys.stderr)
        if self.json:
            print(json.dumps(_record(self.probe, self.encoder, probe, columns)))
        else:
            _print(columns)
        return 0

    def _asked(self, probe: Any, reader: "Reader", frames: "FrameStore") -> "list[Score]":
        """Scores of one reader; where the question is answered by acting, in copies of the recorded world."""
        from ssl_robot.experiments.commands._arena import opener
        from ssl_robot.probes import Acting

        if not isinstance(probe, Acting):
            return list(probe.ask(reader, frames))
        with closing(opener(frames)()) as arena:
            return list(probe.ask(reader, frames, arena))


def _record(name: str, encoder: str, probe: Any, columns: "dict[str, list[Score]]") -> dict[str, Any]:
    """What programs read."""
    listed = [
        [{key: _known(value) for key, value in vars(score).items() if key != "resampled"} for score in scores]
        for scores in columns.values()
    ]
    beside = dict(zip(list(columns)[1:], listed[1:], strict=True))
    return {"probe": name, "encoder": encoder, "settings": vars(probe), "scores": listed[0], "baselines": beside}


def _known(value: Any) -> Any:
    """JSON has no word for what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(columns: "dict[str, list[Score]]") -> None:
    """A line for each component, a column for each encoder; how they came about and what to doubt stands below."""
    for target, lines in groupby(zip(*columns.values(), strict=True), key=lambda line: line[0].target):
        print(f"{target:42}" + "".join(f"{Path(name).name[-24:]:>{_WIDTH}}" for name in columns) + f"{'chance':>10}")
        for line in lines:
            first = line[0]
            metric = f"{_METRICS.get(first.metric, first.metric)} {first.unit}"
            cells = "".join(f"{f'{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]':>{_WIDTH}}" for s in line)
            print(f"{f'  {first.component}'[:29]:30}{metric:12}{cells}{first.chance:>10.3f}")
    print()
    for name, scores in columns.items():
        for sentence in dict.fromkeys(f"{name}: {_origin(score)}" for score in scores):
            print(sentence)
        controls = [score.control for score in scores if score.control is not None and score.metric == "r2"]
        if controls:
            print(f"{name}: with the answers of other episodes, R2 is {max(controls):.3f} at most.")
    for note in dict.fromkeys(score.note for scores in columns.values() for score in scores if score.note):
        print(f"warning: {note}")


def _origin(score: "Score") -> str:
    """What was read by what, and how many were asked."""
    head = f", {score.head}" if score.head else ""
    if score.metric in ("success", "return", "normalised"):
        return f"{score.layer}{head}; {score.n} roll-outs of {score.episodes} scenes; 95% intervals; seed {score.seed}."
    return (
        f"{score.layer}{head}; {score.n} test rows; 95% intervals over {score.episodes} test episodes; no "
        f"{score.split} lies in two parts; seed {score.seed}."
    )
