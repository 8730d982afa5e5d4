"""Episodes that policies go through, and how sure a mean over them is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_robot.arena import Arena, Demonstrations
from ssl_robot.frames import Seen

_FIRST = 10_000_000  # seed of the first roll-out: far from those that recordings begin with
_RESAMPLES = 1000
_Z = 1.96


class Actor(Protocol):
    """What acts in several copies of a world at once."""

    def begin(self, seeds: Sequence[int]) -> None:
        """Episodes with these seeds begin: forget what was."""

    def act(self, seen: Seen) -> NDArray[np.floating]:
        """An action for each copy, (copies, actions)."""


@dataclass(frozen=True)
class Played:
    """How episodes went.

    Attributes:
        returns: Sums of rewards, (episodes,).
        success: Whether the task was done, (episodes,) bool; none where the world does not say.
    """

    returns: NDArray[np.float64]
    success: NDArray[np.bool_] | None


class Aimless:
    """Acts at random: evenly between an action's bounds, and from N(0, 1) where it has none.

    What it does in an episode depends on the episode's seed, not on what goes on beside it.

    Args:
        actions: Least and largest values, as an arena gives them.
    """

    def __init__(self, actions: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
        self._low, self._high = actions
        self._random: list[np.random.Generator] = []

    def begin(self, seeds: Sequence[int]) -> None:
        """Draw anew."""
        self._random = [np.random.default_rng([1, seed]) for seed in seeds]

    def act(self, seen: Seen) -> NDArray[np.floating]:
        """Anything."""
        return np.stack([self._one(random) for random in self._random])

    def _one(self, random: np.random.Generator) -> NDArray[np.float64]:
        bounded = np.isfinite(self._low) & np.isfinite(self._high)
        low, high = np.where(bounded, self._low, 0.0), np.where(bounded, self._high, 1.0)
        return np.where(bounded, random.uniform(low, high), random.standard_normal(low.shape))


def fresh(taken: NDArray[np.int64], first: int = _FIRST) -> Iterator[int]:
    """Seeds counted up from the first one, but for those that demonstrations were recorded with."""
    used = set(taken.tolist())
    return (seed for seed in count(first) if seed not in used)


def unseen(taken: NDArray[np.int64], episodes: int) -> list[int]:
    """Seeds of roll-outs: always the same ones, but for those that demonstrations were recorded with."""
    return list(islice(fresh(taken), episodes))


def earned(frames: Demonstrations, rows: NDArray[np.int64], steps: int = 0) -> float:
    """Mean return of demonstrations.

    Args:
        frames: The recording.
        rows: Whole episodes of it, from the first one on.
        steps: How many steps of each count; 0: all.
    """
    episodes = frames.episodes[rows]
    rewards, age = frames.column("rewards")[rows], rows - np.searchsorted(frames.episodes, episodes)
    counted = rewards if steps == 0 else np.where(age < steps, rewards, 0)
    return float(np.bincount(episodes, counted).mean())


def played(arena: Arena, actor: Actor, seeds: Sequence[int], steps: int = 0, look: bool = True) -> Played:
    """Go through an episode for each seed, as many side by side as the arena has copies.

    Args:
        arena: Where to act.
        actor: Acts in all copies at once.
        seeds: One for each episode.
        steps: After which an episode is left; 0: when it is over.
        look: Whether the actor looks at frames.
    """
    waves = [_wave(arena, actor, seeds[i : i + arena.copies], steps, look) for i in range(0, len(seeds), arena.copies)]
    told = [wave.success for wave in waves if wave.success is not None]
    success = np.concatenate(told) if len(told) == len(waves) else None
    return Played(np.concatenate([wave.returns for wave in waves]), success)


def _wave(arena: Arena, actor: Actor, seeds: Sequence[int], steps: int, look: bool) -> Played:
    seen = arena.begin(seeds, look)
    actor.begin(seeds)
    returns, success = np.zeros(len(seeds)), None
    for age in count(1):
        step = arena.step(actor.act(seen))
        seen, success = step.seen, step.success
        returns += step.rewards
        if step.over.all() or age == steps:
            break
    return Played(returns, success)


def resampled(table: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of a table, and under 1,000 resamplings of its rows and columns, both with replacement, (1 + 1,000,).

    Columns are drawn by the same numbers whatever the table holds: two policies that went through the same episodes
    are resampled alike.

    Args:
        table: One number for each learner and episode, (learners, episodes). With a single learner only episodes are
            resampled, and how much another training would differ is not in the interval.
    """
    learners, episodes = table.shape
    columns = np.random.default_rng(0).multinomial(episodes, np.full(episodes, 1 / episodes), _RESAMPLES) / episodes
    rows = np.random.default_rng(1).multinomial(learners, np.full(learners, 1 / learners), _RESAMPLES) / learners
    drawn = np.einsum("rl,le,re->r", rows, table.astype(np.float64), columns)
    return np.concatenate([[float(table.mean())], drawn])


def interval(table: NDArray[Any], values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95% interval of a mean.

    Where all episodes succeeded, or none, resampling shows no doubt at all; Wilson's interval for as many episodes
    is given then.

    Args:
        table: What was resampled, (learners, episodes).
        values: What ``resampled`` made of it.
    """
    if table.dtype == np.bool_ and (table.all() or not table.any()):
        n, share = table.shape[1], float(table.mean())
        reach = _Z**2 / (n + _Z**2)
        return (1 - reach, 1.0) if share == 1 else (0.0, reach)
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return float(low), float(high)
