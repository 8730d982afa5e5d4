"""Train an encoder."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from ssl_robot.methods import Method
    from ssl_robot.remedies import Remedy
    from ssl_robot.training import Training


@dataclass(frozen=True)
class Pretrain:
    """Learn an encoder from a recording, without its labels; a quarter of the episodes is kept for the probes' test.

    Attributes:
        data: Recordings to learn from.
        out: Run directory to make.
        method: Objective; --method NAME --help shows what it can be set to, with the paper it comes from.
        preset: Settings that learn within minutes on thousands of frames, or those that the method's authors published.
        remedies: Further tasks that keep in the encoder what the views would hide.
        backbone: Network: small or wide; resnet18, resnet34 or resnet50 for small images, with -large for those of 224
            pixels; or timm:NAME for one of timm's.
        start: Weights to begin with: a run, a file of weights, or pretrained for what timm or torchvision publish.
        recipe: Views: simsiam, simclr, mocov2, byol, swav, dino, time, tcn, crop, colour, rad, shift or none, or a YAML
            file.
        having: Invariances to add to the recipe.
        without: Invariances to leave out of it.
        strengths: Strengths to change; --rotation.degrees 30 says the same as --strengths rotation.degrees=30.
        camera: Camera to learn from; the first one if not given.
        epochs: Passes over the frames.
        draws: Every frame draws its own views, or all frames of a batch share one draw for each view; auto shares where
            little of the picture moves.
        sample: A pass shows every frame once, or draws as many so that every episode is as likely.
        weights: How much of a pass each of several recordings makes up; as they are long if not given.
        batch_size: Frames that go through the network together; auto takes as many as a GPU holds, up to 1,024.
        accumulate: Batches whose gradients are added up before a step.
        lr: Learning rate at 256 frames a step.
        optimizer: SGD, LARS or AdamW.
        weight_decay: Of all parameters, or, where the preset spares them, all but biases and norms.
        warmup: Epochs over which the rate rises from 0.
        size: Height and width of the views.
        seed: Weights, order and views follow from it.
        on_collapse: Stop or warn when all frames get the same embedding.
        device: auto, cpu or cuda.
        precision: auto takes bf16 where the processor has it.
        compiled: Views made by one compiled kernel; auto does so where it saves more than the half minute it takes.
        network: Whether the backbone is compiled; worth it for hours on a GPU.
        together: Views of one size go through the network as one batch: faster, but batch norm sees them together.
        max_minutes: End after so long, with what was learnt until then; --resume goes on.
        save_minutes: Between two checkpoints.
        resume: Go on with the unfinished run in --out; its settings must be the same.
        log: Where figures go beside the run directory.
    """

    data: Positional[tuple[Path, ...]]
    out: Path
    method: str = "simsiam"
    preset: Literal["small", "paper"] = "small"
    remedies: tuple[str, ...] = ()
    backbone: str = "small"
    start: str | None = None
    recipe: str = "simsiam"
    having: Annotated[tuple[str, ...], arg(name="with")] = ()
    without: tuple[str, ...] = ()
    strengths: tuple[str, ...] = ()
    camera: str | None = None
    epochs: int = 20
    draws: Literal["auto", "frame", "batch"] = "auto"
    sample: Literal["frame", "episode"] = "frame"
    weights: tuple[float, ...] = ()
    batch_size: int | Literal["auto"] = 128
    accumulate: int = 1
    lr: float = 2.0
    optimizer: Literal["sgd", "lars", "adamw"] = "sgd"
    weight_decay: float = 1e-4
    warmup: float = 1.0
    size: int = 64
    seed: int = 0
    on_collapse: Literal["stop", "warn"] = "stop"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compiled: Literal["auto", "yes", "no"] = "auto"
    network: Literal["eager", "compiled"] = "eager"
    together: bool = False
    max_minutes: float | None = None
    save_minutes: float = 5.0
    resume: bool = False
    log: Literal["none", "wandb", "trackio"] = "none"

    @classmethod
    def shaped(cls, words: Sequence[str]) -> type:
        """This command with the settings of the method and remedies that a command line names."""
        from ssl_robot.experiments.commands._outline import shaped

        return shaped(cls, words)

    def run(self) -> int:
        """Train, and say where the encoder is."""
        import numpy as np

        from ssl_robot import checkpoints
        from ssl_robot.collection import Collection
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.encoder import FILE
        from ssl_robot.errors import InputError
        from ssl_robot.experiments.commands._recipe import asked
        from ssl_robot.pretrain import pretrain
        from ssl_robot.splits import split

        stores = [FrameStore(path, self.camera) for path in self.data]
        frames = stores[0] if len(stores) == 1 else Collection(stores)
        recipe = asked(self.recipe, self.having, self.without, self.strengths)
        method, remedies, training = self._method(), self._remedies(), self._training()
        if (self.out / FILE).exists() and not (self.resume and checkpoints.found(self.out)):
            raise InputError(f"{self.out} holds a finished run: choose another --out, or delete it.")
        starts = np.cumsum([0, *(len(store) for store in stores)])
        parts = [split(store) for store in stores]  # each as a probe on it alone would
        learnt = [np.sort(np.concatenate([part.train, part.validation])) for part in parts]
        rows = np.concatenate([start + places for start, places in zip(starts, learnt, strict=False)])
        cameras = [name for name in stores[0].schema.cameras if name != stores[0].camera and "camera" in recipe.names]
        others = [Collection([FrameStore(path, name) for path in self.data]) for name in cameras]
        leads = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
        if leads:
            hidden = ", ".join(recipe.names) or "the frame itself"
            print(f"{len(rows):,} frames of {', '.join(map(str, self.data))}; views: {hidden}")
        pretrain(
            frames, rows, method, recipe, self.backbone, training, self.out, others=others, resume=self.resume,
            service=self.log, start=self.start, remedies=remedies,
        )  # fmt: skip
        if leads:
            print(_told(self.out))
        return 0

    def _settings(self, name: str) -> dict[str, Any]:
        """What the command line says about a method or remedy."""
        return asdict(getattr(self, name)) if hasattr(self, name) else {}

    def _method(self) -> "Method":
        import ssl_robot.methods
        from ssl_robot import catalogue

        cls: Any = catalogue.found(ssl_robot.methods, self.method)
        made: Method = cls.made(self.preset, self._settings(self.method))
        return made

    def _remedies(self) -> "list[Remedy]":
        import ssl_robot.remedies
        from ssl_robot import catalogue

        return [catalogue.found(ssl_robot.remedies, name)(**self._settings(name)) for name in self.remedies]

    def _training(self) -> "Training":
        import ssl_robot.methods
        from ssl_robot import catalogue
        from ssl_robot.training import Training

        here = {item.name: getattr(self, item.name) for item in fields(Training) if hasattr(self, item.name)}
        return Training.of(catalogue.found(ssl_robot.methods, self.method), self.preset, here)


def _told(out: Path) -> str:
    """What a run came to, in a handful of lines."""
    import json

    from ssl_robot.encoder import FILE
    from ssl_robot.records import CURVE, SUMMARY

    summary = json.loads((out / SUMMARY).read_text())
    shares = ", ".join(f"{name} {share:.0%}" for name, share in summary["time"].items())
    kind = f"{summary['device']}{', bf16' if summary['bf16'] else ''}"
    how = f"{summary['steps']:,} steps in {summary['minutes']:.1f} minutes on {kind}"
    lines = [
        f"{how}, peak memory {summary['peak memory, MB']['processor']:,} MB",
        f"time: {shares}; views {'compiled' if summary['compiled views'] else 'not compiled'}",
        f"curve: {out / CURVE}; figures: tensorboard --logdir {out}",
        f'in Python: encoder = ssl_robot.load("{out}")',
        str(out / FILE),
    ]
    if not summary["finished"]:
        lines.insert(0, "Time is up before all epochs were done: --resume goes on.")
    return "\n".join(lines)
