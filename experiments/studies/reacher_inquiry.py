"""Why Reacher gains less from pre-training than PushT: what each view costs or gives there, and what more passes do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_robot.experiments.studies._tables import markdown, written
from ssl_robot.experiments.studies._trials import PIXELS, RANDOM, Trial, run
from ssl_robot.experiments.studies._worlds import World, world
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe

_COLOURS = ("brightness", "contrast", "saturation", "hue", "gray")
_UNTRAINED = 5  # seeds: random weights cost nothing, and how much they differ is what a gain is held against


@dataclass(frozen=True)
class ReacherInquiry:
    """A method's views with one kind left out at a time, or alone; then all methods in question for longer.

    Attributes:
        epochs: Passes over the frames, as in the study of methods, whose runs are taken over where ``out`` is the same.
        longer: Passes, as many as ``ssl-robot pretrain`` makes if nothing is said.
        seeds: Of each.
        worlds: Where.
        views: Methods whose views are changed.
        lasting: Methods that are trained for longer.
    """

    epochs: int = number(6, 1)
    longer: int = number(20, 1)
    seeds: int = number(1, 1)
    worlds: tuple[str, ...] = ("reacher",)
    views: tuple[str, ...] = ("simsiam", "byol")
    lasting: tuple[str, ...] = ("simsiam", "byol", "mocov3", "swav", "barlow_twins")

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """The tables, as Markdown; scores are in ``reacher_inquiry.csv``."""
        places = [world(name, data, g1) for name in self.worlds]
        outcomes = run([trial for place in places for trial in self._trials(place)], out, workers)
        written(out / "reacher_inquiry.csv", outcomes)
        return markdown(outcomes)

    def _trials(self, place: World) -> Iterator[Trial]:
        yield Trial(PIXELS, place, 0, PIXELS)
        for seed in range(_UNTRAINED):
            yield Trial(RANDOM, place, seed, RANDOM)
        for seed in range(self.seeds):
            for method in self.views:
                yield from self._changed(place, method, seed)
            for method in self.lasting:
                yield Trial(f"{method}, {self.longer} epochs", place, seed, method, {}, {"epochs": self.longer})

    def _changed(self, place: World, method: str, seed: int) -> Sequence[Trial]:
        usual = Trial(method, place, seed, method, {}, {"epochs": self.epochs})
        return [
            usual,
            *(
                Trial(f"{method}, {name}", place, seed, method, {}, usual.training, recipe)
                for name, recipe in _recipes(usual.views).items()
            ),
        ]


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
