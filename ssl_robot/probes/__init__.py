"""One file per question put to a frozen encoder: each holds one frozen dataclass of settings named like the file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ssl_robot.arena import Arena, Demonstrations
from ssl_robot.frames import Frames
from ssl_robot.probing.rollouts import Played, interval, resampled
from ssl_robot.ranges import check
from ssl_robot.readers import Reader

LOWER = ("error",)  # metrics of which less is better
FEW_EPISODES = 10  # fewer test episodes than this carry no verdict


@dataclass(frozen=True)
class Score:
    """An answer to a question, with how sure it is.

    Attributes:
        target: Full name of the label, or of the task.
        component: Which of its numbers; an angle gives ``angle``, ``angle cos`` and ``angle sin``.
        metric: ``r2`` (1 is perfect, 0 is chance), ``error`` (mean absolute, in the unit), ``constant`` (there was
            nothing to read: the value is what it always is), ``accuracy``, ``success`` (shares), ``return`` and others
            that each probe's file explains.
        unit: Of an error; empty for shares, R2 and where the source does not say.
        value: The score on the test rows, or over the test episodes.
        low: Lower end of the 95% interval, over test episodes.
        high: Upper end.
        n: Test rows, or episodes where each gives one number.
        chance: What an encoder that sees nothing scores.
        episodes: Test episodes.
        resampled: The score under each resampling of the test episodes; two encoders asked the same question are
            resampled alike, so that their scores can be subtracted pair by pair.
        layer: What was read of the encoder.
        head: What read it.
        split: What no two parts share: ``episode`` or ``session``.
        seed: Of whatever the probe draws.
        control: The score where answers belong to other episodes, which says what can be had without looking at this
            one; none if it was not asked for.
        note: What speaks against trusting it, in sentences; empty if nothing does.
    """

    target: str
    component: str
    metric: str
    unit: str
    value: float
    low: float
    high: float
    n: int
    chance: float
    episodes: int
    resampled: NDArray[np.float64] = field(repr=False, compare=False)
    layer: str = "output"
    head: str = ""
    split: str = "episode"
    seed: int = 0
    control: float | None = None
    note: str = ""

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return self.metric not in LOWER


@dataclass(frozen=True)
class Probe:
    """Settings of a question; the encoder is never trained by it unless the file says so.

    Raises:
        InputError: If a setting is out of its range.
    """

    beside: ClassVar[tuple[str, ...]] = ("random", "pixels")  # baselines that are shown if nothing is said

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Reading(Probe):
    """A question that a recording answers."""

    def ask(self, reader: Reader, frames: Frames) -> Sequence[Score]:
        """Scores of the test episodes.

        Args:
            reader: What is questioned.
            frames: Frames with what is asked about beside them; the split is made from their content.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Acting(Probe):
    """A question that is answered by acting in the world that a recording comes from."""

    def ask(self, reader: Reader, frames: Demonstrations, arena: Arena) -> Sequence[Score]:
        """Scores of the episodes that a policy on top of the reader's features went through.

        Args:
            reader: What is questioned.
            frames: Demonstrations.
            arena: Copies of the world they were recorded in.
        """
        raise NotImplementedError


def few(count: int, what: str = "episode") -> str:
    """What to note beside scores of so few that they carry no verdict; nothing, if they are enough."""
    return f"{count} test {what}{'s' if count > 1 else ''}: too few to trust." if count < FEW_EPISODES else ""


@dataclass(frozen=True)
class Asked:
    """How roll-outs came about, for their scores: see ``Score``."""

    layer: str
    head: str
    seed: int


def of_roll_outs(arena: Arena, went: Sequence[Played], chance: Played, expert: float, asked: Asked) -> list[Score]:
    """Success and returns of policies that went through the same episodes.

    Returns are left out where success ends an episode, or the expert, who succeeds, earns no more than acting at
    random does: where every step is rewarded, who succeeds early earns less.

    Args:
        arena: Where they did.
        went: One for each policy.
        chance: Acting at random in the same episodes.
        expert: Mean return of the demonstrations, which is 1 in ``normalised``; acting at random is 0.
        asked: How the policies came about.
    """
    scores, target = [], arena.name
    if chance.success is not None:
        table = np.stack([one.success for one in went if one.success is not None])
        scores.append(_of_episodes(target, "success", table, float(chance.success.mean()), asked))
        if arena.stops:
            return scores
    returns, least = np.stack([one.returns for one in went]), float(chance.returns.mean())
    if expert > least or chance.success is None:
        scores.append(_of_episodes(target, "return", returns, least, asked))
    if expert > least:
        scores.append(_of_episodes(target, "normalised", (returns - least) / (expert - least), 0.0, asked))
    return scores


def _of_episodes(target: str, metric: str, table: NDArray[Any], chance: float, asked: Asked) -> Score:
    """A score of one number, or success, for each learner and episode, (learners, episodes)."""
    values = resampled(table)
    learners, episodes = table.shape
    bounds = interval(table, values)
    return Score(
        target, "", metric, "", float(values[0]), *bounds, learners * episodes, chance, episodes, values[1:],
        asked.layer, asked.head, seed=asked.seed, note=few(episodes, "roll-out"),
    )  # fmt: skip
