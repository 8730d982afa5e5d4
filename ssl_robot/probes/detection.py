"""Where things are in the frame, as boxes or as outlines: an encoder tuned under a detector (SimSiam, table 5)."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, seen
from ssl_robot.probes import Reading, Score, few
from ssl_robot.probing.detector import Detector, Schedule, filled, looked, trained, wanted
from ssl_robot.probing.precision import Answer, Found, Kind, Tally
from ssl_robot.ranges import number
from ssl_robot.readers import Reader
from ssl_robot.segments import Segmented, segmented
from ssl_robot.splits import split

_METRICS = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}  # thresholds that each is the mean over
_TYPICAL = 1000  # training frames that the typical box is taken from


@dataclass(frozen=True)
class Detection(Reading):
    """Average precision of a Faster R-CNN (Mask R-CNN with masks) on the encoder's feature map, thing by thing.

    Unlike in other probes the encoder itself is trained, in a copy, unless it is told not to be. An encoder with random
    weights is then a detector trained from scratch. Chance is what a detector that sees nothing scores: in every frame
    it names the median box of each thing in the training frames.

    Attributes:
        things: Names of what to find; all that the recording knows if not given.
        masks: Score outlines too, pixel by pixel.
        tune: Train the encoder's weights too; its batch norm keeps its statistics.
        steps: Batches that the detector is trained on.
        batch_size: Frames in a batch.
        lr: Largest rate of AdamW.
        enlarge: How many times larger frames are shown to the encoder than in its pre-training: its map is coarse.
        labelled: Training frames at most, evenly spread.
        seed: Of the detector's weights and batches.
    """

    things: tuple[str, ...] = ()
    beside = ("random",)  # pixels have no map

    masks: bool = False
    tune: bool = True
    steps: int = number(400, 1)
    batch_size: int = number(8, 1, 4096)
    lr: float = number(1e-3, 1e-7, 1)
    enlarge: int = number(2, 1, 32)
    labelled: int = number(1000, 1)
    seed: int = number(0, 0, 2**32 - 1)

    def ask(self, reader: Reader, frames: Frames) -> list[Score]:
        """Average precision in the test episodes: of all things together, then of each.

        Raises:
            InputError: If the reader is no encoder with a feature map, the recording does not say what its pixels
                show, something is not among its things, or the packages that score are missing.
        """
        known = segmented(frames)
        Tally(self._kinds)  # what it lacks is said before there was anything to wait for
        return self.scored(self.trained(reader, known, split(known).train), known)

    def scored(self, detector: Detector, frames: Segmented) -> list[Score]:
        """Average precision of a detector in the test episodes."""
        parts, numbers = split(frames), self.numbers(frames)
        tallies = Tally(self._kinds), Tally(self._kinds)
        guess = _typical(frames, parts.train, numbers)
        for row, found in zip(parts.test, looked(detector, frames, parts.test), strict=True):
            truth = wanted(frames.maps(np.array([row]))[0], numbers)
            for tally, said in zip(tallies, (found, guess), strict=True):
                tally.add(said, truth)
        episodes, names = frames.episodes[parts.test], ("all things", *self.names(frames))
        answers, chances = (tally.answers(episodes) for tally in tallies)
        title = "Mask R-CNN" if self.masks else "Faster R-CNN"
        return [
            score
            for answer, chance in zip(answers, chances, strict=True)
            for score in _scores(answer, chance, names[answer.thing], episodes, title, self.seed)
        ]

    @property
    def _kinds(self) -> tuple[Kind, ...]:
        return ("box", "mask") if self.masks else ("box",)

    def names(self, frames: Segmented) -> tuple[str, ...]:
        """Names of what is to be found.

        Raises:
            InputError: If there is no such thing.
        """
        for name in self.things:
            if name not in frames.things:
                raise InputError(f"There is no thing '{name}': choose from {', '.join(frames.things)}.")
        return tuple(dict.fromkeys(self.things)) or frames.things

    def numbers(self, frames: Segmented) -> dict[int, int]:
        """The detector's number for the recording's number of each thing that is to be found."""
        return {frames.things.index(name) + 1: place for place, name in enumerate(self.names(frames), 1)}

    def trained(self, reader: Reader, frames: Segmented, rows: NDArray[np.int64]) -> Detector:
        """The detector that learns from the frames at the given places."""
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), self.labelled)).round().astype(np.int64)]
        schedule = Schedule(self.steps, self.batch_size, self.lr, self.seed)
        encoder = _encoder(reader, frames)
        return trained(encoder, frames, some, self.numbers(frames), self.enlarge, self.masks, self.tune, schedule)


def _encoder(reader: Reader, frames: Frames) -> Encoder:
    encoder = getattr(reader, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise InputError(f"'{reader.name}' is no encoder, so nothing can be detected on it: give a run or 'random'.")
    reader.read(seen(frames, np.array([0]), reader.labels), "map")  # refuses what has an encoder inside and no map
    return encoder


def _typical(frames: Segmented, rows: NDArray[np.int64], numbers: dict[int, int]) -> Found:
    """What to say of a frame without a look at it: the median box of each thing, as sure as it is there in frames."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), _TYPICAL)).round().astype(np.int64)]
    boxes: dict[int, list[tuple[int, int, int, int]]] = {}
    often: Counter[int] = Counter()
    for row in some:
        items = [item for item in wanted(frames.maps(np.array([row]))[0], numbers) if not item.crowd]
        often.update({item.thing for item in items})
        for item in items:
            boxes.setdefault(item.thing, []).append(item.box)
    things = np.array(sorted(boxes), np.int64)
    scores = np.array([often[int(thing)] / len(some) for thing in things])
    medians = np.array([np.median(boxes[thing], axis=0) for thing in things], np.float64)
    h, w, _ = frames.shape
    return Found(things, scores, medians, filled(torch.from_numpy(medians), (h, w)).numpy())


def _scores(
    answer: Answer, chance: Answer, name: str, episodes: NDArray[np.int64], title: str, seed: int
) -> Iterator[Score]:
    many = len(np.unique(episodes))
    for metric, which in _METRICS.items():
        resampled = answer.resampled[:, which].mean(1)
        low, high = np.nanpercentile(resampled, [2.5, 97.5])
        value, guessed = (float(each.values[which].mean()) for each in (answer, chance))
        yield Score(
            name, answer.kind, metric, "", value, float(low), float(high), len(episodes), guessed,
            many, resampled, "map", title, seed=seed, note=few(many),
        )  # fmt: skip
