"""How well a robot acts that has learnt by trial and error on top of an encoder: a secondary, noisy question.

Reinforcement learning ranks encoders too unsteadily to choose one by it (Hu 2023, https://arxiv.org/abs/2304.04591):
ask ``policy`` first, and give this one several seeds. Scores are those of the last policy, over evaluation episodes:
``success`` where the world tells it, ``return`` where success does not end an episode, and ``normalised`` where the
recording's own episodes earn more than acting at random does; ``chance`` is acting at random in the same episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssl_robot.arena import Arena, Demonstrations
from ssl_robot.errors import InputError
from ssl_robot.probes import Acting, Asked, Score, of_roll_outs
from ssl_robot.probing.moments import Eye, check_sight, own_of
from ssl_robot.probing.rollouts import Aimless, earned, fresh, played, unseen
from ssl_robot.probing.trials import check_installed, learnt, vector
from ssl_robot.ranges import number
from ssl_robot.readers import Reader

_BETWEEN = 1_000_000  # the seeds of two learners' episodes


@dataclass(frozen=True)
class Reinforcement(Acting):
    """Secondary and noisy, ask policy first: PPO or SAC of Stable-Baselines3 on frozen features.

    The encoder stands outside of Stable-Baselines3's policy: each moment is encoded once, for all copies together, and
    what is stored are features, standardised by the recording's.

    Attributes:
        algorithm: ppo or sac, with Stable-Baselines3's own settings but for PPO's 128 steps of each copy in a round.
        interactions: Steps in the world, over all copies together.
        copies: Episodes that are learnt from side by side; at most as many as the arena has.
        layer: The vector, or the feature map in at most 4x4 cells.
        proprio: What the robot knows of itself beside the frames, as state:0,1,2; none for nothing; what the recording
            says if not given.
        episodes: Of the evaluation, with seeds that neither the recording nor learning has.
        seeds: Policies that are trained.
        seed: Of the first one.
    """

    beside = ("state",)  # learning is slow

    algorithm: Literal["ppo", "sac"] = "ppo"
    interactions: int = number(20_000, 1, 1_000_000_000)
    copies: int = number(8, 1, 1000)
    layer: Literal["output", "map"] = "output"
    proprio: tuple[str, ...] = ()
    episodes: int = number(25, 2)
    seeds: int = number(1, 1)
    seed: int = number(0, 0)

    def ask(self, reader: Reader, frames: Demonstrations, arena: Arena) -> Sequence[Score]:
        """Success and returns of the last policies.

        Raises:
            InputError: If Stable-Baselines3 is not installed, or the actions have no bounds.
        """
        check_installed()
        check_sight(reader, frames, self.layer)
        if not all(np.isfinite(bound).all() for bound in arena.actions):
            raise InputError(f"Actions of {arena.name} have no bounds to explore within: ask the policy probe.")
        own = own_of(frames, self.proprio, arena.proprioception)
        eye = Eye(reader, self.layer, own, frames)
        begun = unseen(frames.seeds, self.episodes)
        chance = played(arena, Aimless(arena.actions), begun, look=False)
        went = []
        for seed in range(self.seed, self.seed + self.seeds):
            scenes = fresh(frames.seeds, begun[-1] + 1 + _BETWEEN * seed)
            world = vector(arena, eye, min(self.copies, arena.copies), scenes)
            actor = learnt(self.algorithm, world, self.interactions, seed)
            went.append(played(arena, actor, begun, look=reader.sees))
        asked = Asked(self.layer, f"{self.algorithm}, {self.interactions} interactions", self.seed)
        return of_roll_outs(arena, went, chance, earned(frames, np.arange(len(frames))), asked)
