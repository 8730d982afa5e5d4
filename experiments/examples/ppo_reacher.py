"""PPO on Reacher's pixels, from the features of a frozen encoder.

    ssl-robot collect Reacher-v5 --out reacher.h5 --frames 10000 --size 84 --explorer pink_noise
    ssl-robot pretrain reacher.h5 --out runs/reacher --size 84
    python -m ssl_robot.experiments.examples.ppo_reacher --encoder runs/reacher

The encoder stands between the environments and the policy: each frame is encoded once, those of all copies together.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from gymnasium.wrappers import AddRenderObservation
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack

from ssl_robot.envs.canvas import needs
from ssl_robot.plugins.stable_baselines3 import VecEncodeObservation, save


@dataclass(frozen=True)
class Example:
    """Learn to reach from pixels.

    Attributes:
        encoder: A run, a file, or a hub id.
        out: Where policy and encoder are put.
        steps: In the world, over all copies together.
        copies: Of the world.
        rounds: Steps of each copy between two updates.
        size: Height and width of the pictures.
        episodes: Of the evaluation.
        seed: Of weights, actions and episodes.
    """

    encoder: str = "runs/reacher"
    out: Path = Path("runs/ppo_reacher")
    steps: int = 100_000
    copies: int = 8
    rounds: int = 128
    size: int = 84
    episodes: int = 20
    seed: int = 0


def main(example: Example) -> float:
    """Learn, save, and say what the policy that was loaded again earns."""
    needs("gymnasium", "mujoco")
    drawn = {"render_mode": "rgb_array", "width": example.size, "height": example.size}
    envs = make_vec_env(
        "Reacher-v5", example.copies, example.seed, env_kwargs=drawn, wrapper_class=AddRenderObservation
    )
    # two frames show where the arm is and how fast it turns; the stack is of features, and restarts with each episode
    seen = VecFrameStack(VecEncodeObservation(envs, example.encoder), 2)
    model = PPO("MlpPolicy", seen, n_steps=example.rounds, batch_size=256, seed=example.seed, device="cpu")
    save(model.learn(example.steps), example.out)

    again = VecFrameStack(VecEncodeObservation.load(example.out, envs), 2)
    mean, spread = evaluate_policy(PPO.load(example.out / "policy", again), again, example.episodes, warn=False)
    envs.close()
    print(f"return {mean:.1f} +- {spread:.1f} over {example.episodes} episodes; saved in {example.out}")
    return float(np.mean(mean))


if __name__ == "__main__":
    main(tyro.cli(Example))
