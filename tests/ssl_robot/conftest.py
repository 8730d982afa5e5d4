"""A world on a line, in which everything that policies should do is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ssl_robot.arena import Step
from ssl_robot.arrays import Arrays
from ssl_robot.frames import Label, Seen
from ssl_robot.readers import in_batches

STEPS, SIDE, REACH = 5, 16, 0.5
AGENT, GOAL = Label.plain("agent", 1), Label.plain("goal", 1)


class Line:
    """An agent at x moves by half its action and pays its distance to a goal, which a bright column shows.

    Args:
        copies: The most side by side.
        tells: Whether it says that the goal was reached.
        bonus: Added to the rewards of whoever has not yet reached it.
    """

    name = "line"
    actions = np.array([-1.0]), np.array([1.0])
    proprioception: Mapping[str, tuple[int, ...]] = {"agent": (0,)}

    stops = False

    def __init__(self, copies: int = 50, tells: bool = True, bonus: float = 0.0) -> None:
        self.copies, self.tells, self.bonus = copies, tells, bonus
        self.looks: list[bool] = []

    def begin(self, seeds: Sequence[int], look: bool = True) -> Seen:
        self.looks.append(look)
        self.x, self.goal = np.zeros(len(seeds)), np.zeros(len(seeds))
        self.age, self.done = np.zeros(len(seeds), int), np.zeros(len(seeds), bool)
        return self.again(dict(enumerate(seeds)))

    def again(self, seeds: Mapping[int, int]) -> Seen:
        for i, seed in seeds.items():
            self.x[i], self.goal[i] = np.random.default_rng(seed).uniform(-1, 1, 2)
            self.age[i], self.done[i] = 0, False
        return self._seen()

    def step(self, actions: NDArray[Any]) -> Step:
        going = self.age < STEPS
        self.x = np.where(going, self.x + REACH * np.clip(actions[:, 0], -1, 1), self.x)
        far = np.abs(self.x - self.goal)
        self.done |= going & (far < 0.1)
        rewards = np.where(going, self.bonus * ~self.done - far, 0.0)
        self.age = self.age + going
        over = self.age == STEPS
        return Step(self._seen(), rewards, over, over, self.done.copy() if self.tells else None)

    def close(self) -> None:
        pass

    def _seen(self) -> Seen:
        frames = drawn(self.goal) if self.looks[-1] else np.zeros((len(self.x), 0, 0, 3), np.uint8)
        return Seen(frames, {"agent": self.x[:, None].copy(), "goal": self.goal[:, None].copy()})


def drawn(goals: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A soft bright column where the goal is."""
    columns = np.linspace(-1, 1, SIDE)
    light = 255 * np.exp(-(((columns - goals[:, None]) / 0.2) ** 2))
    return np.broadcast_to(light[:, None, :, None], (len(goals), SIDE, SIDE, 3)).astype(np.uint8)


@dataclass(frozen=True)
class Demos(Arrays):
    """Frames in memory with what demonstrations have beside them."""

    rewards: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    seeds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def column(self, path: str) -> NDArray[Any]:
        assert path == "rewards"
        return self.rewards


def shown(arena: Line, count: int, skill: float = 1.0, first: int = 0) -> Demos:
    """Demonstrations by somebody who knows the goal; of no skill, who stands still."""
    seeds = list(range(first, first + count))
    seen, taken, labels, rewards = arena.begin(seeds), [], [], []
    for _ in range(STEPS):
        action = skill * np.clip((seen.labels["goal"] - seen.labels["agent"]) / REACH, -1, 1)
        step = arena.step(action)
        taken.append(seen.frames)
        labels.append(np.concatenate([seen.labels["agent"], seen.labels["goal"], action], 1))
        rewards.append(step.rewards)
        seen = step.seen
    arena.looks.clear()
    numbers = np.stack(labels, 1).reshape(-1, 3)
    named = {
        label.name: (label, numbers[:, i : i + 1]) for i, label in enumerate((AGENT, GOAL, Label.plain("actions", 1)))
    }
    images = np.stack(taken, 1).reshape(-1, SIDE, SIDE, 3)
    earned = np.stack(rewards, 1).reshape(-1)
    return Demos(images, [STEPS] * count, named, rewards=earned, seeds=np.array(seeds))


class Eyes:
    """Reads how bright each column is: 16 numbers."""

    name, key, sees = "eyes", "eyes", True
    labels: tuple[str, ...] = ()

    def read(self, moments: Seen, layer: str = "output") -> torch.Tensor:
        return torch.from_numpy(moments.frames[:, 0, :, 0] / 255).float()

    def everything(self, frames: Any, layer: str = "output") -> torch.Tensor:
        return in_batches(self, frames)


class Expert:
    """Acts as the demonstrations do: an ``Actor``."""

    def begin(self, seeds: Sequence[int]) -> None:
        pass

    def act(self, seen: Seen) -> NDArray[np.float64]:
        return np.clip((seen.labels["goal"] - seen.labels["agent"]) / REACH, -1, 1)


@pytest.fixture(scope="session")
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture(scope="session")
def expert() -> Expert:
    return Expert()


@pytest.fixture(scope="session")
def line() -> type[Line]:
    return Line


@pytest.fixture(scope="session")
def shown_on() -> Any:
    return shown
