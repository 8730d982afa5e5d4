"""Ask which invariances cost control what it needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from ssl_robot.audit import Study
    from ssl_robot.datasets.store import FrameStore
    from ssl_robot.recipes import Recipe


@dataclass(frozen=True)
class Audit:
    """Find out which invariances help, hurt or do not matter, component by component, and write one page about it.

    Attributes:
        data: Recording to pre-train on.
        out: Folder for the report; finished runs in it are not repeated.
        probe_frames: Recording with labels for the probe, best of independent poses; the same one if not given.
        instant: Only the potential harm: no training.
        invariances: Those to ask about.
        target: Labels to read; all but the actions if not given.
        design: Add each invariance to the recipe, or leave each out of it.
        recipe: Recipe to start from, or a YAML file.
        strengths: Strengths to change in it, as in --crop.scale 0.5.
        backbone: Network to train.
        epochs: Passes over the frames.
        batch_size: Frames per step.
        lr: Learning rate at batch 256.
        size: Height and width of the views.
        seeds: Pre-training runs per recipe; the unit of the intervals.
        workers: Runs side by side, one thread each.
        camera: Camera to look through; the first one if not given.
    """

    data: Positional[Path]
    out: Path
    probe_frames: Path | None = None
    instant: bool = False
    invariances: tuple[str, ...] = ("rotation", "flip", "hue")
    target: tuple[str, ...] = ()
    design: Literal["add_one_in", "leave_one_out"] = "add_one_in"
    recipe: str = "crop"
    strengths: tuple[str, ...] = ()
    backbone: str = "small"
    epochs: int = 20
    batch_size: int = 128
    lr: float = 2.0
    size: int = 64
    seeds: int = 5
    workers: int = 2
    camera: str | None = None

    def run(self) -> int:
        """Potential harm first, then what training made of it, then the page."""
        from ssl_robot import audit, report
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.experiments.commands._recipe import asked

        frames = FrameStore(self.data, self.camera)
        probed = FrameStore(self.probe_frames or self.data, self.camera)
        study = self._study(probed, asked(self.recipe, (), (), self.strengths))
        if not self.instant:
            study.check()
        self.out.mkdir(parents=True, exist_ok=True)
        found, results = audit.instant(probed, study.targets, study.asked(), self.size)
        trained: list[audit.Result] = []
        if not self.instant:
            trained = audit.run(study, frames, probed, self.out, self.workers)
            found = [*found, *audit.findings(study, trained)]
        about = report.About(study, frames, probed, "" if self.instant else self.design)
        page = report.write(self.out, about, found, [*results, *trained])
        print(report.summary(found))
        print(page)
        return 0

    def _study(self, probed: "FrameStore", recipe: "Recipe") -> "Study":
        from ssl_robot.audit import Study
        from ssl_robot.errors import InputError
        from ssl_robot.frames import find_label
        from ssl_robot.training import Training

        names = self.target or tuple(name for name in probed.label_names if name != "actions")
        targets = tuple(find_label(probed, name).name for name in names)
        if not self.invariances:
            raise InputError("There is nothing to ask about: name at least one of --invariances.")
        if not targets:
            raise InputError(f"{probed.path} has no labels: an audit needs poses or states to ask about.")
        training = Training(epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, size=self.size)
        return Study(recipe, self.invariances, targets, self.design, self.seeds, self.backbone, training=training)
