"""How well a robot acts that has learnt by imitation on top of an encoder.

Scores, with ``chance`` what acting at random earns in the same episodes:

- ``success``: share of the roll-outs in which the task was done, where the world says so;
- ``return``: mean sum of rewards, in the world's own unit;
- ``normalised``: the same with 0 for acting at random and 1 for the mean of the demonstrations.

Where actions cost, standing still may come near 1 already (.87 in Reacher): the baseline ``nothing``, a policy that
sees nothing and knows what the robot feels, is what eyes have to beat.

Returns are left out where success ends an episode, or where success is told and the demonstrations earn no more than
acting at random does: where every step is rewarded, who succeeds early earns less.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_robot.arena import Arena, Demonstrations, Places
from ssl_robot.encoder import Card, Encoder, Layer
from ssl_robot.errors import InputError
from ssl_robot.probes import Acting, Asked, Score, of_roll_outs
from ssl_robot.probing import cloning
from ssl_robot.probing.moments import check_sight, own_of
from ssl_robot.probing.rollouts import Aimless, earned, played, unseen
from ssl_robot.ranges import number
from ssl_robot.readers import EncoderReader, Reader

Taught = tuple[Reader, cloning.Network]


@dataclass(frozen=True)
class Policy(Acting):
    """Behaviour cloning on demonstrations, then roll-outs in the world they come from; the last weights count.

    Attributes:
        learner: quick for two cores (2,000 steps of 128, rate to 0); r3m (Nair 2022: MLP 256, 256, batch norm on the
            input, 20,000 steps of 32) or cortexbench (Majumdar 2023: MLP 256, 256, 256, 100 epochs of 256, three
            frames as differences and the last); all with Adam at 1e-3.
        weights: frozen; tuned: trained on with the policy; scratch: trained with it from random weights. The last two
            see randomly shifted frames.
        tuned_rate: Learning rate of a tuned encoder; one from scratch has the policy's, 1e-3.
        layer: The vector, or the feature map in at most 4x4 cells.
        history: Frames that are looked at together; 0: as many as the learner's.
        updates: Steps of training; 0: as many as the learner's.
        demonstrations: Episodes that are learnt from, the first ones; 0: all.
        proprio: What the robot knows of itself beside the frames, as state:0,1,2; none for nothing; what the recording
            says if not given.
        episodes: Roll-outs of each policy, all with the same seeds, which no demonstration has.
        steps: After which a roll-out is left; 0: when it is over.
        seeds: Policies that are trained.
        seed: Of the first one.
    """

    beside = ("random", "state")

    learner: Literal["quick", "r3m", "cortexbench"] = "quick"
    weights: Literal["frozen", "tuned", "scratch"] = "frozen"
    tuned_rate: float = number(1e-4, 0, 1)
    layer: Literal["output", "map"] = "output"
    history: int = number(0, 0, 16)
    updates: int = number(0, 0)
    demonstrations: int = number(0, 0)
    proprio: tuple[str, ...] = ()
    episodes: int = number(25, 2)
    steps: int = number(0, 0)
    seeds: int = number(1, 1)
    seed: int = number(0, 0)

    def ask(self, reader: Reader, frames: Demonstrations, arena: Arena) -> Sequence[Score]:
        """Success and returns of the roll-outs.

        Raises:
            InputError: If the recording holds no actions, or not of this world; if what is read has no encoder to
                train; or if demonstrations are no better than acting at random.
        """
        check_sight(reader, frames, self.layer)
        own = own_of(frames, self.proprio, arena.proprioception)
        learner = self._learner()
        self._check_trainable(reader)
        rows = self._rows(frames)
        taught = cloning.lesson(frames, rows, own, learner.history)
        if taught.actions.shape[1] != len(arena.actions[0]):
            raise InputError(
                f"The recording's actions have {taught.actions.shape[1]} numbers, those of {arena.name} "
                f"{len(arena.actions[0])}: give demonstrations of this world."
            )
        begun = unseen(frames.seeds, self.episodes)
        chance = played(arena, Aimless(arena.actions), begun, self.steps, look=False)
        expert = earned(frames, rows, self.steps)
        if chance.success is None and not expert > chance.returns.mean():
            raise InputError(
                f"The demonstrations return {expert:.4g} on average and acting at random {chance.returns.mean():.4g}: "
                "give better ones, as by 'ssl-robot collect --explorer expert'."
            )
        rolled = [
            played(arena, self._clone(found, own, learner), begun, self.steps, found[0].sees)
            for found in self._taught(reader, frames, taught, learner)
        ]
        asked = Asked(self.layer, f"{self.learner} learner, {self.weights}", self.seed)
        return of_roll_outs(arena, rolled, chance, expert, asked)

    def _learner(self) -> cloning.Learner:
        usual = cloning.LEARNERS[self.learner]
        return replace(usual, history=self.history or usual.history, updates=self.updates or usual.updates)

    def _rows(self, frames: Demonstrations) -> NDArray[np.int64]:
        episodes = int(frames.episodes[-1]) + 1
        if self.demonstrations > episodes:
            raise InputError(f"There are {episodes} demonstrations, not {self.demonstrations}: record more.")
        return np.flatnonzero(frames.episodes < (self.demonstrations or episodes))

    def _clone(self, found: Taught, own: Places, learner: cloning.Learner) -> cloning.Clone:
        return cloning.Clone(*found, self.layer, learner.history, own)

    def _taught(
        self, reader: Reader, frames: Demonstrations, taught: cloning.Lesson, learner: cloning.Learner
    ) -> Iterator[Taught]:
        """What each policy looks through, and the policy."""
        layer: Layer = self.layer
        for seed in range(self.seed, self.seed + self.seeds):
            if self.weights == "frozen":
                yield reader, cloning.cloned(reader, frames, taught, learner, layer, seed)
                continue
            encoder, rate = self._begun(reader, seed)
            network = cloning.cloned_through(encoder, frames, taught, learner, layer, rate, seed)
            yield EncoderReader(encoder, f"{reader.name}, {self.weights}"), network

    def _check_trainable(self, reader: Reader) -> None:
        if self.weights != "frozen" and not isinstance(reader, EncoderReader):
            raise InputError(f"'{reader.name}' is no encoder that could be trained: ask it as it is, weights frozen.")

    def _begun(self, reader: Reader, seed: int) -> tuple[Encoder, float]:
        """An encoder to be trained, and how fast."""
        assert isinstance(reader, EncoderReader)
        if self.weights == "tuned":
            return copy.deepcopy(reader.encoder), self.tuned_rate
        card = reader.encoder.card
        return Encoder.fresh(Card(card.backbone, card.size, card.mean, card.std), seed), cloning.RATE
