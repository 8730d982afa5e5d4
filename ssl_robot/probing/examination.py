"""From a head's guesses to scores with intervals, and what speaks against trusting them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Label
from ssl_robot.probing import resampling
from ssl_robot.probing.quantities import Quantity, quantities
from ssl_robot.splits import Split

Sums = NDArray[np.float64]
_STILL = 1e-6  # of its unit or of its size: what moves less does not move
_SETTLED = 0.9  # correlation within episodes from which on the episode gives the answer away
_TWICE = 0.01  # share of the test frames that the training part may hold too


@dataclass(frozen=True)
class Table:
    """What a head is to regress for one label, and what there is nothing to regress for.

    Attributes:
        label: The label.
        moving: What varies.
        columns: Theirs, (rows, columns), one after the other.
        still: Name, unit and value of what does not vary.
    """

    label: Label
    moving: Sequence[Quantity]
    columns: Tensor
    still: Sequence[tuple[str, str, float]]

    @classmethod
    def of(cls, label: Label, frames: Frames, symmetric: Sequence[str] = ()) -> "Table":
        """The table of a label.

        Args:
            label: One of the collection's.
            frames: The collection.
            symmetric: See ``quantities``.

        Raises:
            InputError: If the label is not known in some rows, or a rotation is none.
        """
        values = torch.from_numpy(frames.values(label.name))
        missing = int((~values.isfinite().all(1)).sum())
        if missing:
            raise InputError(f"{label.name} is not known in {missing} row(s): ask for other labels with --target.")
        moving: list[Quantity] = []
        columns = [torch.empty(len(values), 0, dtype=torch.float64)]
        still: list[tuple[str, str, float]] = []
        for quantity in quantities(label, symmetric):
            found = quantity.columns(values)
            if not found.isfinite().all():
                raise InputError(f"{label.name} has quaternions of length 0: ask for other labels with --target.")
            if _moves(found):
                moving.append(quantity)
                columns.append(found)
            else:
                still.append((quantity.name, quantity.unit, quantity.constant(found)))
        return cls(label, moving, torch.cat(columns, 1), still)

    def taken(self, rows: NDArray[np.int64]) -> "Table":
        """The same with the answers of other rows."""
        return Table(self.label, self.moving, self.columns[torch.from_numpy(rows)], self.still)

    def cut(self, columns: Tensor) -> Iterator[tuple[Quantity, Tensor]]:
        """Each moving quantity with its part of columns that are like this table's."""
        widths = [sum(width for _, width in quantity.parts) for quantity in self.moving]
        return zip(self.moving, columns.split(widths, 1) if widths else (), strict=True)


@dataclass(frozen=True)
class Line:
    """A score of a component.

    Attributes:
        quantity: What it belongs to.
        component: Its name.
        metric: ``r2`` or ``error``.
        unit: Of an error.
        values: The score, and the score under each resampling, (1 + resamples,).
        chance: What saying always the same, chosen on the training rows, scores.
    """

    quantity: Quantity
    component: str
    metric: str
    unit: str
    values: Sums
    chance: float


@dataclass(frozen=True)
class Examination:
    """Test rows, and how their episodes are resampled.

    Attributes:
        parts: The division of the rows.
        episodes: The episode of each row of the collection.
        weights: How often each test row counts: once each in the first line, then under each resampling.
    """

    parts: Split
    episodes: NDArray[np.int64]
    weights: Sums

    @classmethod
    def of(cls, frames: Frames, parts: Split, sessions: NDArray[np.int64] | None = None) -> "Examination":
        """The examination of a collection; two of the same one are resampled alike, by session where those are given.

        Args:
            frames: The collection.
            parts: The division of its rows.
            sessions: The session of each episode, (episodes,).
        """
        tested = frames.episodes[parts.test]
        return cls(parts, frames.episodes, resampling.counts(tested if sessions is None else sessions[tested]))

    @property
    def tested(self) -> int:
        """Test episodes."""
        return len(np.unique(self.episodes[self.parts.test]))

    def lines(self, table: Table, predicted: Tensor) -> list[Line]:
        """R2 of every part of every quantity, then their errors.

        Args:
            table: The answers.
            predicted: Those of the test rows as a head reads them.
        """
        test, train = torch.from_numpy(self.parts.test), torch.from_numpy(self.parts.train)
        pieces = list(zip(table.cut(predicted), table.cut(table.columns), strict=True))
        r2: list[Line] = []
        errors: list[Line] = []
        for (quantity, guessed), (_, columns) in pieces:
            truth, known, at = columns[test], columns[train], 0
            for name, width in quantity.parts:
                part = slice(at, at + width)
                mean = known[:, part].mean(0).expand(len(test), width)
                values, chance = (
                    resampling.r2(said, truth[:, part], self.weights) for said in (guessed[:, part], mean)
                )
                r2.append(Line(quantity, name, "r2", "", values, float(chance[0])))
                at += width
            best = quantity.guess(known).expand_as(truth)
            values, chance = (
                resampling.means(quantity.error(said, truth).numpy(), self.weights) for said in (guessed, best)
            )
            errors.append(Line(quantity, quantity.name, "error", quantity.unit, values, float(chance[0])))
        return [*r2, *errors]

    def settled(self, table: Table) -> dict[str, str]:
        """A sentence for each quantity that an encoder can read off what else is the same within an episode."""
        found = {}
        for quantity, columns in table.cut(table.columns):
            alike = _within(columns.numpy(), self.episodes)
            if alike > _SETTLED:
                found[quantity.name] = (
                    f"{quantity.name} hardly varies within an episode (correlation {alike:.2f}): it may be read off "
                    "the episode's background, so split by session or record independent resets."
                )
        return found

    def repeated(self, features: Tensor, table: Table) -> str:
        """A sentence if test frames are in the training part too, with the same features and the same answer."""
        rows = zip(features.flatten(1).numpy(), table.columns.numpy(), strict=True)
        hashes = np.array([hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=8).digest() for a, b in rows])
        twice = int(np.isin(hashes[self.parts.test], hashes[self.parts.train]).sum())
        if twice <= _TWICE * len(self.parts.test) or not table.moving:
            return ""
        return (
            f"{twice} of {len(self.parts.test)} test frames have the features and the answer of a training frame: the "
            "recording may hold them twice."
        )


def elsewhere(episodes: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """For each row the row of another episode, as far into it: answers that say nothing about this episode.

    Every episode gets the answers of one other, in their order. What a head still scores with them is what all
    episodes have in common, as a motion that is always the same, or a mistake.

    Args:
        episodes: The episode of each row, counted from 0.
        seed: Repeats which gets which.
    """
    length = np.bincount(episodes)
    start = np.cumsum(length) - length
    order = np.random.default_rng(seed).permutation(len(length))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    progress = (np.arange(len(episodes)) - start[episodes] + 0.5) / length[episodes]
    rows: NDArray[np.int64] = start[other[episodes]] + (progress * length[other[episodes]]).astype(np.int64)
    return rows


def _moves(columns: Tensor) -> bool:
    reach = columns.amax(0) - columns.amin(0)
    return bool((reach > _STILL * columns.abs().amax(0).clamp(min=1)).any())


def _within(columns: Sums, episodes: NDArray[np.int64]) -> float:
    """Intraclass correlation: 1 where nothing varies within an episode, about 0 where episodes do not differ.

    One number for several columns, by their sums of squares; 0 where every episode is one row.
    """
    length = np.bincount(episodes)
    n, groups = len(episodes), len(length)
    if n == groups or groups < 2:
        return 0.0
    means = np.stack([np.bincount(episodes, column) for column in columns.T], 1) / length[:, None]
    inside = float(np.square(columns - means[episodes]).sum()) / (n - groups)
    between = float((np.square(means - columns.mean(0)) * length[:, None]).sum()) / (groups - 1)
    usual = (n - float(np.square(length).sum()) / n) / (groups - 1)
    total = between + (usual - 1) * inside
    return (between - inside) / total if total > 0 else 0.0
