"""Question an encoder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from ssl_robot.encoder import Encoder
    from ssl_robot.frames import Frames
    from ssl_robot.probes import Score
    from ssl_robot.splits import Split

TOO_FEW = ": too few to trust them"


@dataclass(frozen=True)
class Probe:
    """Read labels off a frozen encoder, beside an untrained encoder and raw pixels.

    Attributes:
        probe: The question.
        encoder: Run directory, encoder file, or a baseline: random or pixels.
        data: Recording with labels.
        target: Labels to read; all but the actions if not given.
        layer: The vector a policy reads, or the feature map.
        head: Closed-form read-out: kernel (radial basis functions) or ridge (linear), or the mean of the 20 nearest
            neighbours by cosine.
        camera: Camera to look through; the first one if not given.
        baselines: Show the baselines beside the encoder.
        json: Print one JSON object instead of a table.
    """

    probe: Positional[Literal["pose"]]
    encoder: Positional[str]
    data: Positional[Path]
    target: tuple[str, ...] = ()
    layer: Literal["output", "map"] = "output"
    head: Literal["kernel", "ridge", "neighbours"] = "kernel"
    camera: str | None = None
    baselines: bool = True
    json: bool = False

    def run(self) -> int:
        """Fit heads on the training episodes and score the test episodes."""
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.errors import InputError
        from ssl_robot.frames import find_label
        from ssl_robot.splits import split

        frames = FrameStore(self.data, self.camera)
        asked = self.target or tuple(name for name in frames.label_names if name != "actions")
        targets = tuple(find_label(frames, name).name for name in asked)
        if not targets:
            raise InputError(f"{self.data} has no labels to read: a probe needs poses or states beside the frames.")
        parts = split(frames)
        others = ("random", "pixels") if self.baselines and not self.json else ()
        columns = {name: self._scores(name, frames, targets) for name in dict.fromkeys((self.encoder, *others))}
        if self.json:
            scores = [{k: v for k, v in vars(score).items() if k != "resampled"} for score in columns[self.encoder]]
            print(json.dumps({"probe": self.probe, "encoder": self.encoder, "layer": self.layer, "scores": scores}))
        else:
            _print(columns, self.head, parts)
        return 0

    def _scores(self, name: str, frames: "Frames", targets: tuple[str, ...]) -> "list[Score]":
        from ssl_robot import features
        from ssl_robot.encoder import load
        from ssl_robot.probes.pose import Pose

        if name == "pixels":
            read = features.pixels(frames)
        else:
            encoder = self._untrained() if name == "random" else load(name)
            read = features.encoded(encoder, frames, self.layer)
        return Pose(target=targets, head="ridge" if name == "pixels" else self.head).score(read, frames)

    def _untrained(self) -> "Encoder":
        """Random weights in the network and preprocessing of the encoder it is compared with."""
        from ssl_robot.encoder import Card, load
        from ssl_robot.features import random_encoder

        if self.encoder in ("random", "pixels"):
            return random_encoder(Card("small", 64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
        return random_encoder(load(self.encoder).card)


def _print(columns: "dict[str, list[Score]]", head: str, parts: "Split") -> None:
    from ssl_robot.probes import FEW_EPISODES

    names = list(columns)
    target = ""
    for scores in zip(*columns.values(), strict=True):
        first = scores[0]
        if first.target != target:
            target = first.target
            print(f"{target:42}" + "".join(f"{Path(name).name[-24:]:>26}" for name in names) + f"{'chance':>10}")
        metric = "R2" if first.metric == "r2" else f"{first.metric} {first.unit}"
        cells = "".join(f"{f'{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]':>26}" for s in scores)
        print(f"{f'  {first.component}'[:31]:32}{metric:10}{cells}{first.chance:>10.3f}")
    test_episodes = next(iter(columns.values()))[0].episodes
    print(
        f"\n{head} head on frozen features (pixels: 32x32, ridge); {len(parts.train)} training, "
        f"{len(parts.validation)} validation, {len(parts.test)} test frames, no episode in two parts.\n"
        f"95% intervals over {test_episodes} test episodes{TOO_FEW if test_episodes < FEW_EPISODES else ''}."
    )
