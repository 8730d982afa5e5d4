"""Why Reacher gains less from pre-training than PushT: its picture, its views, the rate, too few passes, the draws?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import PIXELS, RANDOM, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.features import changing
from ssl_robot.methods import Method
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe

_COLOURS = ("brightness", "contrast", "saturation", "hue", "gray")
_UNTRAINED = 5  # seeds: random weights cost nothing, and how much they differ is what a gain is held against
_FASTER = {"optimizer": "adamw", "lr": 6e-3, "weight_decay": 1e-4}
_QUESTIONS = ("near", "views", "faster", "longer", "follow", "sharper", "augself", "shared", "shared_longer")


@dataclass(frozen=True)
class ReacherInquiry:
    """Methods on Reacher, every frame with draws of its own, then with one thing changed at a time.

    Attributes:
        epochs: Passes over the frames, as in the study of methods.
        seeds: Of each.
        methods: Which.
        questions: near: a camera from which the arm fills the frame; views: one kind left out, or alone; faster: the
            rate with which SimCLR and VICReg learn; longer: as many passes as ``ssl-robot pretrain`` makes if nothing
            is said; follow: a slow copy that follows ten times as fast; sharper: half the temperature; augself: also
            predict what was drawn; shared: one draw for all frames of a batch, which is what is done where little moves
            if nothing is said; shared_longer: that with as many passes as ``ssl-robot pretrain`` makes.
    """

    epochs: int = number(6, 1)
    seeds: int = number(1, 1)
    methods: tuple[str, ...] = ("simsiam", "byol", "mocov3", "swav", "barlow_twins")
    questions: tuple[str, ...] = (
        "near", "views", "faster", "longer", "follow", "sharper", "augself", "shared", "shared_longer"
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)
        for name in self.questions:
            if name not in _QUESTIONS:
                raise InputError(f"'{name}' is none of the questions: choose from {', '.join(_QUESTIONS)}.")

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The tables, as Markdown, with how little of a frame changes; scores are in ``reacher_inquiry.csv``."""
        places = [world(name, data) for name in ("reacher", *(["reacher-near"] if "near" in self.questions else []))]
        outcomes = run([trial for place in places for trial in self._trials(place)], out, workers)
        written(out / "reacher_inquiry.csv", outcomes)
        shares = [f"{place.name}: two frames differ in {_changing(place):.2%} of their pixels." for place in places]
        return "\n\n".join([markdown(outcomes), *shares])

    def _trials(self, place: World) -> Iterator[Trial]:
        yield Trial(PIXELS, place, 0, PIXELS)
        for seed in range(_UNTRAINED):
            yield Trial(RANDOM, place, seed, RANDOM)
        for seed in range(self.seeds):
            for method in self.methods:
                usual = Trial(method, place, seed, method, {}, {"epochs": self.epochs, "draws": "frame"})
                yield usual
                yield from self._changed(usual) if place.name == "reacher" else ()

    def _changed(self, usual: Trial) -> Iterator[Trial]:
        method, place, seed = usual.method, usual.world, usual.seed
        if "views" in self.questions:
            for name, recipe in _recipes(usual.views).items():
                yield Trial(f"{method}, {name}", place, seed, method, {}, usual.training, recipe)
        for name, settings in _settings(usual.built).items():
            if name in self.questions:
                yield Trial(f"{method}, {name}", place, seed, method, settings, usual.training)
        if "augself" in self.questions:
            yield Trial(f"{method}, augself", place, seed, method, {}, usual.training, remedies={"augself": {}})
        changes: Mapping[str, Mapping[str, Any]] = {
            "faster": {**usual.training, **_FASTER},
            "longer": {"draws": "frame"},
            "shared": {**usual.training, "draws": "batch"},
            "shared_longer": {"draws": "batch"},
        }
        for name, training in changes.items():
            if name in self.questions:
                yield Trial(f"{method}, {name}", place, seed, method, {}, training)


def _settings(method: Method) -> Mapping[str, Mapping[str, float]]:
    """Hyper-parameters that are tried, where a method has them."""
    kept = {f.name: getattr(method, f.name) for f in fields(method)}
    found: dict[str, Mapping[str, float]] = {}
    if "keep" in kept:
        found["follow"] = {"keep": round(1 - 10 * (1 - kept["keep"]), 6)}
    if "temperature" in kept:
        found["sharper"] = {"temperature": kept["temperature"] / 2}
    return found


def _recipes(usual: Recipe) -> Mapping[str, Recipe]:
    """The usual views with something left out, or one thing alone."""
    return {
        "without flip": usual.without("flip"),
        "without hue and gray": usual.without("hue").without("gray"),
        "without colours": usual.edited((), _COLOURS, {}),
        "shift instead of crop": usual.without("crop").having("shift"),
        "crop alone": Recipe.named("crop"),
        "crop of .6 or more": usual.having("crop", scale=0.6),
        "shift and convolution": Recipe.named("rad"),
    }


def _changing(place: World) -> float:
    frames = FrameStore(place.data)
    return changing(frames, np.arange(len(frames)))
