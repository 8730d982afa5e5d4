"""An encoder, and a small world whose pictures say where, when and in which episode they were taken."""

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_robot.encoder import Card, Encoder

SIDE, LENGTH = 24, 3
CARD = Card("small", 32, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), {"flip": {"p": 0.5}}, {"seed": 3})


def painted(seed: int, episode: int, age: int, camera: int = 0) -> NDArray[np.uint8]:
    """A picture that nothing else looks like, (24, 24, 3)."""
    return np.random.default_rng([seed, episode, age, camera]).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


class Painted(gym.Env[Any, Any]):
    """Three steps an episode; the reward is the age.

    Args:
        seen: ``image`` for a picture alone, ``parts`` for two and the state, ``state`` for the state alone.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 7}
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, seen: str = "image", render_mode: str | None = "rgb_array", seed: int = 0) -> None:
        self.seen, self.render_mode, self.seed, self.episode, self.age = seen, render_mode, seed, -1, 0
        image = gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        state = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        parts = gym.spaces.Dict({"front": image, "state": state, "wrist": image})
        spaces: dict[str, gym.Space[Any]] = {"image": image, "state": state, "parts": parts}
        self.observation_space = spaces[seen]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.episode, self.age = (0 if seed is not None else self.episode + 1), 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.age += 1
        return self.look(), float(self.age), self.age == LENGTH and self.seed % 2 == 0, self.age == LENGTH, {}

    def look(self) -> Any:
        parts = {
            "front": painted(self.seed, self.episode, self.age),
            "state": np.array([self.episode, self.age], np.float64),
            "wrist": painted(self.seed, self.episode, self.age, 1),
        }
        return {"image": parts["front"], "state": parts["state"], "parts": parts}[self.seen]

    def render(self) -> Any:
        return painted(self.seed, self.episode, self.age) if self.render_mode else None


gym.register("Painted-v0", Painted)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Frozen, with statistics of batch norm that are not those of fresh weights."""
    learning = Encoder.fresh(CARD, seed=3).train()
    frames = np.stack([painted(9, 9, age) for age in range(16)])
    for _ in range(20):
        learning(frames)
    return learning.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def run(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that encoder."""
    folder = tmp_path_factory.mktemp("run")
    encoder.save(folder / "encoder.safetensors")
    return folder
