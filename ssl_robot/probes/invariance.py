"""How much an encoder ignores what an invariance changes, and how much of it can still be read.

Invariance as Ericsson measured it (2021, https://arxiv.org/abs/2111.11398): features are centred and whitened, and
compared by their cosine with those of the changed frame.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Seen
from ssl_robot.invariances import Geometry, Source
from ssl_robot.probes import Reading, Score, few
from ssl_robot.probing import resampling
from ssl_robot.probing.regression import fit
from ssl_robot.random import uniforms
from ssl_robot.ranges import number
from ssl_robot.readers import Reader
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.splits import Split, split
from ssl_robot.statistics import covariance
from ssl_robot.views import Views

_BATCH = 64
_LEAST_FRAMES = 20
_LEAST = 1e-6  # a parameter that hardly varies is not there to be read


@dataclass(frozen=True)
class Invariance(Reading):
    """How invariant features are to each change of a frame, and how equivariant.

    ``cosine`` is 1 where a change leaves the features as they are, and 0 where a changed frame is as far away as
    another frame. What a geometry moves into the picture from beyond its border is put into the unchanged frame too,
    so that it does not pass for the change. ``r2`` says how well what was drawn can be read off the two features: an
    encoder may react to a change and not tell which it was.

    Attributes:
        names: Which invariances, at their usual strengths; all that a single frame can show, if none are named.
        frames: Most test frames, evenly taken from the test episodes.
        strengths: Changes that are drawn for each of them.
        seed: Of what is drawn.
        layer: The vector a policy reads, or the feature map.
    """

    names: tuple[str, ...] = ()
    frames: int = number(500, 20)
    strengths: int = number(4, 1, 1000)
    seed: int = number(0, 0)
    layer: Literal["output", "map"] = "output"

    def ask(self, reader: Reader, frames: Frames) -> Sequence[Score]:
        """For each invariance the mean cosine, and R2 of what was drawn."""
        if not reader.sees:
            raise InputError(f"'{reader.name}' does not look at frames, so nothing about them can be changed.")
        parts = split(frames)
        rows = parts.test[np.linspace(0, len(parts.test) - 1, min(self.frames, len(parts.test))).astype(np.int64)]
        if len(rows) < _LEAST_FRAMES:
            raise InputError(
                f"{len(rows)} test frame(s) do not tell how frames differ: record at least {_LEAST_FRAMES}."
            )
        whitened = _Whitened(self._read(reader, frames.take(rows)))
        found: list[Score] = []
        for item in asked(self.names):
            found += self._of(item, reader, frames, rows, whitened)
        return found

    def _read(self, reader: Reader, images: NDArray[np.uint8]) -> Tensor:
        batches = np.array_split(images, range(_BATCH, len(images), _BATCH))
        return torch.cat([reader.read(Seen(batch), self.layer).flatten(1) for batch in batches]).double()

    def _of(
        self, item: ssl_robot.invariances.Invariance, reader: Reader, frames: Frames, rows: Any, whitened: "_Whitened"
    ) -> Iterator[Score]:
        images, episodes = frames.take(rows), frames.episodes[rows]
        pairs = [changed(item, images, self.seed, draw) for draw in range(self.strengths)]
        same = torch.cat([self._read(reader, first) for first, _, _ in pairs])
        moved = torch.cat([self._read(reader, second) for _, second, _ in pairs])
        near = F.cosine_similarity(whitened(same), whitened(moved))
        others = torch.cat([part.roll(len(rows) // 2, 0) for part in moved.split(len(rows))])  # half the frames away
        far = F.cosine_similarity(whitened(same), whitened(others))
        weights = resampling.counts(episodes)
        tiled = np.tile(weights, self.strengths)
        values = resampling.means(near.numpy(), tiled)
        name, many = name_of(item), len(np.unique(episodes))
        head = f"whitened, {self.strengths} strengths"
        chance = float(far.mean())
        yield Score(name, "invariance", "cosine", "", *resampling.interval(values), len(near), chance, many,
                    values[1:], self.layer, head, seed=self.seed, note=few(many))  # fmt: skip
        drawn = torch.cat([pair[2] for pair in pairs]).double()
        drawn = torch.cat([drawn.cos(), drawn.sin()], 1) if item.circular else drawn
        yield from _readable(name, torch.cat([same, moved - same], 1), drawn, np.tile(episodes, self.strengths), self)


def asked(names: Sequence[str]) -> list[ssl_robot.invariances.Invariance]:
    """Invariances by name, each applied to every frame; all that a single frame can show, if none are named.

    Raises:
        InputError: If one is not known, or shows another frame.
    """
    known = names or catalogue.names(ssl_robot.invariances)
    found = [replace(catalogue.found(ssl_robot.invariances, name)(), p=1.0) for name in known]
    wrong = [name_of(item) for item in found if isinstance(item, Source)]
    if names and wrong:
        raise InputError(f"A frame alone does not show another {wrong[0]}: leave it out of --names.")
    return [item for item in found if not isinstance(item, Source)]


def changed(
    item: ssl_robot.invariances.Invariance, images: NDArray[np.uint8], seed: int, draw: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Tensor]:
    """Frames as they are and changed, of the same size, and the parameters of the change.

    Where a geometry looks beyond the border, the first ones show there what the second ones do.

    Args:
        item: What changes them.
        images: (b, h, w, 3).
        seed: Of what is drawn.
        draw: Which of the draws.
    """
    size = min(images.shape[1:3])
    name = name_of(item)
    parameters = item.sample(uniforms(seed, draw, torch.arange(len(images)), 0, 1 + item.draws))
    views = Views(Recipe((item,)), size, 0)
    neutral = item.neutral().expand_as(parameters)
    frames = torch.from_numpy(images)
    same, moved = (views.replay(frames, {name: values}) for values in (neutral, parameters))
    if isinstance(item, Geometry):
        same = torch.where(_beyond(item.matrix(parameters), size)[:, None], moved, same)
    first, second = ((part * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy() for part in (same, moved))
    return np.ascontiguousarray(first), np.ascontiguousarray(second), parameters


def _beyond(matrix: Tensor, size: int) -> Tensor:
    """Which pixels of a view lie outside the frame, (b, size, size)."""
    middle = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    places = torch.einsum("bij,jhw->bihw", matrix, torch.stack([x, y, torch.ones_like(x)]))
    places = places[:, :2] / places[:, 2:].clamp(min=1e-3)
    return (places.abs() > 1 + 1e-6).any(1)


class _Whitened:
    """Features on the scale of how they vary from frame to frame.

    Args:
        features: Of unchanged frames, (n, d).
    """

    def __init__(self, features: Tensor) -> None:
        self._mean = features.mean(0)
        self._factor = torch.linalg.cholesky(torch.from_numpy(covariance(features.numpy())))

    def __call__(self, features: Tensor) -> Tensor:
        """Whitened features, (n, d)."""
        white: Tensor = torch.linalg.solve_triangular(self._factor, (features - self._mean).T, upper=False).T
        return white


def _readable(
    name: str, features: Tensor, drawn: Tensor, episodes: NDArray[np.int64], probe: Invariance
) -> Iterator[Score]:
    """R2 of the parameters, the mean over those that vary; learnt on some episodes and asked about others."""
    columns = drawn[:, drawn.std(0) > _LEAST]
    parts = _dealt(episodes)
    if not columns.shape[1] or min(len(parts.train), len(parts.validation), len(parts.test)) == 0:
        return
    predicted = fit(features, columns, parts, "ridge").predicted
    truth = columns[torch.from_numpy(parts.test)]
    weights = resampling.counts(episodes[parts.test])
    r2 = np.mean([resampling.r2(predicted[:, i], truth[:, i], weights) for i in range(truth.shape[1])], axis=0)
    many = len(np.unique(episodes[parts.test]))
    yield Score(name, "readable", "r2", "", *resampling.interval(r2), len(truth), 0.0, many, r2[1:], probe.layer,
                "ridge", seed=probe.seed, note=few(many))  # fmt: skip


def _dealt(episodes: NDArray[np.int64]) -> Split:
    """Thirds of the episodes, in turn."""
    _, place = np.unique(episodes, return_inverse=True)
    train, validation, test = (np.flatnonzero(np.isin(place % 4, part)) for part in ((0, 1), (2,), (3,)))
    return Split(train, validation, test)
