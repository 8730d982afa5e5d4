"""Ask which invariances cost control what it needs."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ssl_robot.audit import Audited, Crew, Plan
    from ssl_robot.auditing.design import Study
    from ssl_robot.auditing.questions import Question
    from ssl_robot.auditing.runs import Lesson
    from ssl_robot.datasets.store import FrameStore
    from ssl_robot.encoder import Encoder
    from ssl_robot.frames import Frames

_USUAL, _QUICK = {"epochs": 20, "seeds": 5}, {"epochs": 5, "seeds": 3}
_QUICK_FRAMES, _QUICK_PROBED = 4000, 2000


@dataclass(frozen=True)
class Audit:
    """Find out which invariances help, hurt or do not matter, component by component, and write one page about it.

    Attributes:
        data: Recording to pre-train on.
        out: Folder for the report and the runs.
        probe_frames: Recording with labels for the probe, best of independent poses; the same one if not given.
        policy: Demonstrations: a policy is cloned from each and rolled out in the world that it names.
        encoder: Encoders that are there already (a run, a file, timm:NAME): they are asked, and nothing is trained.
        instant: Only the potential harm: what exact blindness would cost features of a random network, or of --encoder;
            no training.
        quick: A first answer within about ten minutes on two cores: 3 seeds, 5 epochs of 4,000 frames, probes of 2,000,
            no training for what exact blindness cannot harm, and none to prove the recommended recipe.
        dry_run: Print what would be run and about how long it takes, from half a minute of calibration.
        resume: Go on with the audit in --out: what is finished there is not repeated.
        design: Leave each invariance out of --recipe, add each to --base, or both.
        invariances: Those to ask about; all of the recipe's if not given.
        groups: Kinds of invariances that are also left out, or added, together, for they mask each other: geometry,
            colour, filter or source.
        sweep: Strengths to compare, as rotation.degrees=5,45,180.
        skip_harmless: Train nothing for invariances of which exact blindness would cost nothing.
        target: Labels to read; all but the actions if not given.
        recipe: Full recipe, or a YAML file.
        base: Plain recipe, to which invariances are added.
        strengths: Strengths to change in the full recipe; --rotation.degrees 30 says the same as rotation.degrees=30.
        having: Invariances to add to the full recipe.
        without: Invariances to leave out of it from the start.
        method: Objective, with the settings that learn within minutes on thousands of frames.
        backbone: Network to train.
        epochs: Passes over the frames; 0: 20, or what --quick says.
        batch_size: Frames per step; 0: as the method has it.
        lr: Learning rate at batch 256; 0: as the method has it.
        draws: Every frame draws its own views, or all frames of a batch share one draw for each view, which asks less
            of an invariance; auto shares where little of the picture moves; method: as the method has it.
        size: Height and width of the views.
        seeds: Pre-training runs per recipe, the unit of the intervals; 0: 5, or what --quick says.
        first_seed: The first of them.
        workers: Runs side by side, one thread each.
        ray: Address of a Ray cluster to run on, auto, or local; this machine alone if not given.
        baselines: What is shown beside; given without a name, nothing.
        camera: Camera to look through; the first one if not given.
        json: Print report.json instead of the verdicts in words.
    """

    data: Positional[Path]
    out: Path
    probe_frames: Path | None = None
    policy: tuple[Path, ...] = ()
    encoder: tuple[str, ...] = ()
    instant: bool = False
    quick: bool = False
    dry_run: bool = False
    resume: bool = False
    design: Literal["leave_one_out", "add_one_in", "both"] = "leave_one_out"
    invariances: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    skip_harmless: bool = False
    target: tuple[str, ...] = ()
    recipe: str = "simsiam"
    base: str = "crop"
    strengths: tuple[str, ...] = ()
    having: Annotated[tuple[str, ...], arg(name="with")] = ()
    without: tuple[str, ...] = ()
    method: str = "simsiam"
    backbone: str = "small"
    epochs: int = 0
    batch_size: int = 0
    lr: float = 0.0
    draws: Literal["method", "auto", "frame", "batch"] = "method"
    size: int = 64
    seeds: int = 0
    first_seed: int = 0
    workers: int = 2
    ray: str | None = None
    baselines: tuple[str, ...] = ("pixels", "state")
    camera: str | None = None
    json: bool = False

    def run(self) -> int:
        """Potential harm first, then what training made of it, then the page."""
        from ssl_robot import audit, report
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.errors import InputError
        from ssl_robot.thinned import Thinned

        if self.workers < 1:
            raise InputError(f"{self.workers} workers do nothing: ask for --workers 1 or more.")
        frames = FrameStore(self.data, self.camera)
        recorded = FrameStore(self.probe_frames or self.data, self.camera)
        probed = Thinned.to(recorded, _QUICK_PROBED) if self.quick else recorded
        study = self._study()
        questions = self._questions(study, probed)
        audit.answerable(questions)
        learnt = self._lesson(frames, questions)
        if self.dry_run:
            print(self._planned(study, learnt, questions))
            return 0
        audited = self._audited(study, frames, learnt, questions)
        page = report.write(self.out, report.About(audited, frames, probed, self._words(), len(learnt.rows)))
        if self.json:
            print((self.out / report.RECORD).read_text())
        else:
            print(f"{report.summary(audited.findings)}\n\n{report.answer(audited).headline}\n{page}")
        return 0

    def _study(self) -> "Study":
        """What is compared, with the method's own settings where nothing else is said."""
        import ssl_robot.methods
        from ssl_robot import catalogue
        from ssl_robot.auditing.design import Study
        from ssl_robot.experiments.commands._recipe import asked, doses
        from ssl_robot.recipes import Recipe
        from ssl_robot.training import Training

        usual = _QUICK if self.quick else _USUAL
        cls: Any = catalogue.found(ssl_robot.methods, self.method)
        draws = "" if self.draws == "method" else self.draws
        said = {"draws": draws, "epochs": self.epochs or usual["epochs"], "batch_size": self.batch_size, "lr": self.lr}
        # a collapse is an answer too: the page names it
        changes = {**{n: v for n, v in said.items() if v}, "size": self.size, "on_collapse": "warn"}
        return Study(
            asked(self.recipe, self.having, self.without, self.strengths), Recipe.found(self.base), self.invariances,
            self.design, self.groups, doses(self.sweep), self.seeds or usual["seeds"], self.first_seed, self.backbone,
            cls.made("small", {}), Training.of(cls, "small", changes),
        )  # fmt: skip

    def _questions(self, study: "Study", probed: "Frames") -> "list[Question]":
        from ssl_robot.experiments.commands._questions import acting, mechanism, reading

        asked = [*reading(probed, self.target, study, brief=self.quick), *acting(self.policy, self.camera)]
        return [*asked, *mechanism(probed, study)]

    def _lesson(self, frames: "FrameStore", questions: "Sequence[Question]") -> "Lesson":
        """The frames to learn from, and the same moments through other cameras; for a quick answer not all."""
        import numpy as np

        from ssl_robot import audit
        from ssl_robot.datasets.store import FrameStore

        others = [FrameStore(self.data, name) for name in frames.schema.cameras if name != frames.camera]
        learnt = audit.lesson(frames, questions, others)
        if not self.quick or len(learnt.rows) <= _QUICK_FRAMES:
            return learnt
        starts = np.flatnonzero(np.diff(frames.episodes[learnt.rows], prepend=-1))  # whole episodes, so that time shows
        end = starts[np.searchsorted(starts, _QUICK_FRAMES, "right") - 1] or _QUICK_FRAMES
        return replace(learnt, rows=learnt.rows[:end])

    def _crew(self) -> "Crew":
        from ssl_robot import cluster, workers

        if self.ray is not None:
            return partial(cluster.performed, address=self.ray)
        return partial(workers.performed, workers=self.workers)

    def _planned(self, study: "Study", learnt: "Lesson", questions: "Sequence[Question]") -> str:
        """What would be run, and for how long."""
        from ssl_robot import audit

        plan = audit.plan(study, learnt, questions, self.out, self._crew(), self.workers)
        arms = "\n".join(
            f"  {name}: {', '.join(arm.recipe.names) or 'no training'}" for name, arm in study.arms().items()
        )
        return (
            f"{arms}\n{plan.runs} encoders ({study.seeds} seeds each), {plan.train} of them to be trained at "
            f"{plan.seconds[0]:.0f} s, {plan.ask} to be asked at {plan.seconds[1]:.0f} s, {plan.workers} side by side: "
            f"about {plan.minutes:.0f} minutes{'' if self.quick else self._proof(study, plan)}."
        )

    def _proof(self, study: "Study", plan: "Plan") -> str:
        """What it would take to prove a recipe: it, the first one and an untrained encoder with as many other seeds."""
        train, ask = plan.seconds
        return f", and up to {study.seeds * (2 * train + 3 * ask) / plan.workers / 60:.0f} more to prove a recipe"

    def _audited(
        self, study: "Study", frames: "FrameStore", learnt: "Lesson", questions: "Sequence[Question]"
    ) -> "Audited":
        """What is asked for: potential harm, trained encoders, or encoders that are there already."""
        from ssl_robot import audit, workers
        from ssl_robot.auditing.potential import harmless, instant

        trains = not (self.instant or self.encoder)
        if trains:
            audit.prepared(study, learnt, questions, self.out)
        self._known(questions)
        given = self._given(questions)
        self._begin()
        found = [f for name, encoder in given for f in instant(questions, study.asked, self.size, encoder, name)]
        skips = trains and (self.skip_harmless or self.quick) and not self.policy  # which blindness alone does not ask
        skipped = harmless(found) if skips else ()
        left = tuple(name for name in study.asked.names if name not in skipped)
        done = audit.Audited(questions, (), (), study)
        if trains and left:
            done = audit.run(study.only(left), learnt, questions, self.out, self._crew(), prove=not self.quick)
        like, beside = audit.card(frames, self.size, self.backbone), (*self.encoder, *self.baselines)
        crew = partial(workers.performed, workers=self.workers)
        stand = audit.interviewed(beside, questions, like, self.out, crew)
        return replace(
            done, findings=[*found, *done.findings], results=[*done.results, *stand], skipped=skipped, beside=beside
        )

    def _known(self, questions: "Sequence[Question]") -> None:
        """Look at what stands beside before hours are spent on the rest.

        Raises:
            InputError: If there is no baseline and no encoder of a name.
        """
        from ssl_robot import baselines, catalogue

        for name in self.baselines:
            if name.partition(":")[0] not in catalogue.names(baselines):
                baselines.named(name, questions[0].frames)

    def _given(self, questions: "Sequence[Question]") -> "list[tuple[str, Encoder | None]]":
        """Encoders whose potential harm is asked for: those that are there already, or a random network."""
        from ssl_robot import baselines
        from ssl_robot.readers import EncoderReader

        readers = [baselines.named(name, questions[0].frames) for name in self.encoder]
        return [(r.name, r.encoder) for r in readers if isinstance(r, EncoderReader)] if readers else [("", None)]

    def _begin(self) -> None:
        """Make the folder, unless another audit lies in it.

        Raises:
            InputError: If one does and is not to be gone on with.
        """
        from ssl_robot.auditing.runs import RUNS
        from ssl_robot.errors import InputError

        if (self.out / RUNS).exists() and not self.resume:
            raise InputError(f"{self.out} holds an audit: add --resume to go on with it, or choose another --out.")
        self.out.mkdir(parents=True, exist_ok=True)

    def _words(self) -> str:
        """The command line that makes this page again."""
        from ssl_robot.experiments.commands._words import words

        return words("audit", self)
