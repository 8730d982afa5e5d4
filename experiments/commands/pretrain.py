"""Train an encoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Pretrain:
    """Learn an encoder from a recording, without its labels; a quarter of the episodes is kept for the probes' test.

    Attributes:
        data: Recording to learn from.
        out: Run directory to make.
        method: Objective.
        backbone: Network: small, resnet18 or wide.
        recipe: Views: simsiam, simclr, mocov2, byol, swav, dino, crop, colour, rad, shift or none, or a YAML file.
        having: Invariances to add to the recipe.
        without: Invariances to leave out of it.
        strengths: Strengths to change; --rotation.degrees 30 says the same as --strengths rotation.degrees=30.
        camera: Camera to learn from; the first one if not given.
        epochs: Passes over the frames.
        batch_size: Frames per step.
        lr: Learning rate at batch 256.
        size: Height and width of the views.
        seed: Weights, order and views follow from it.
        on_collapse: Stop or warn when all frames get the same embedding.
        device: auto, cpu or cuda.
        precision: auto takes bf16 where the processor has it.
        compiled: Views made by one compiled kernel; auto does so where it saves more than the half minute it takes.
    """

    data: Positional[Path]
    out: Path
    method: str = "simsiam"
    backbone: str = "small"
    recipe: str = "simsiam"
    having: Annotated[tuple[str, ...], arg(name="with")] = ()
    without: tuple[str, ...] = ()
    strengths: tuple[str, ...] = ()
    camera: str | None = None
    epochs: int = 20
    batch_size: int = 128
    lr: float = 2.0
    size: int = 64
    seed: int = 0
    on_collapse: Literal["stop", "warn"] = "stop"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    compiled: Literal["auto", "yes", "no"] = "auto"

    def run(self) -> int:
        """Train, and say where the encoder is."""
        import numpy as np

        import ssl_robot.methods
        from ssl_robot import catalogue
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.encoder import FILE
        from ssl_robot.errors import InputError
        from ssl_robot.experiments.commands._recipe import asked
        from ssl_robot.pretrain import Training, pretrain
        from ssl_robot.splits import split

        frames = FrameStore(self.data, self.camera)
        recipe = asked(self.recipe, self.having, self.without, self.strengths)
        training = Training(
            epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, size=self.size, seed=self.seed,
            on_collapse=self.on_collapse, device=self.device, precision=self.precision, compiled=self.compiled,
        )  # fmt: skip
        method = catalogue.found(ssl_robot.methods, self.method)()
        if (self.out / FILE).exists():
            raise InputError(f"{self.out} holds a finished run: choose another --out, or delete it.")
        parts = split(frames)
        rows = np.sort(np.concatenate([parts.train, parts.validation]))
        cameras = [name for name in frames.schema.cameras if name != frames.camera]
        others = [FrameStore(self.data, name) for name in cameras] if "camera" in recipe.names else []
        pretrain(frames, rows, method, recipe, self.backbone, training, self.out, others=others)
        print(self.out / FILE)
        return 0
