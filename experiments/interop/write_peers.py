"""Write the same small recording with LeRobot, Minari and robomimic's own tools, for our importers to read.

    python3 -m venv peers && . peers/bin/activate
    pip install lerobot==0.4.4 "minari[create,hdf5]==0.5.4" psutil tensorboardX imageio
    pip install --no-deps robomimic==0.3.0
    python experiments/interop/write_peers.py OUT
    ssl-robot import OUT/lerobot_v3 --out lerobot.h5
    ssl-robot import OUT/minari/ours/jpeg-v0 --out minari.h5
    ssl-robot import OUT/robomimic.hdf5 --out robomimic.h5

Every frame says which it is: the red of its left half is 40 x episode, that of its right half 3 x row. LeRobot and
Minari write all of their files themselves. robomimic converts simulators' demonstrations only; here its layout is
written with h5py, its own program adds the splits, and its own reader looks at the result.
"""

import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np

LENGTHS = (12, 30, 7)
SIZE = 64


def picture(episode: int, row: int) -> np.ndarray:
    """A frame of smooth colours with the marks that say which it is."""
    frame = np.full((SIZE, SIZE, 3), 90, np.uint8)
    frame[..., 1] = np.linspace(40, 200, SIZE).astype(np.uint8)
    frame[:, : SIZE // 2, 0], frame[:, SIZE // 2 :, 0] = 40 * episode, 3 * row
    return frame


def state(episode: int, row: int) -> np.ndarray:
    """Two numbers that say the same."""
    return np.array([episode, row], np.float32)


class Marks(gym.Env[Any, Any]):
    """Shows the marks of its episode and step."""

    observation_space = gym.spaces.Dict(
        {
            "pixels": gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
            "state": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
        }
    )
    action_space = gym.spaces.Box(-100, 100, (2,), np.float32)
    episode = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The first frame of the next episode."""
        super().reset(seed=seed)
        self.episode, self.row = self.episode + 1, 0
        return self._look(), {"double": 0.0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The next frame, whatever the action."""
        self.row += 1
        last = self.row == LENGTHS[self.episode]
        return self._look(), float(self.row), last and self.episode != 1, last, {"double": 2.0 * self.row}

    def _look(self) -> dict[str, np.ndarray]:
        return {"pixels": picture(self.episode, self.row), "state": state(self.episode, self.row)}


def lerobot(root: Path, use_videos: bool) -> None:
    """A LeRobotDataset of two cameras: videos of many episodes, or pictures in the tables."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    shutil.rmtree(root, ignore_errors=True)
    camera = {"dtype": "video" if use_videos else "image", "shape": (SIZE, SIZE, 3), "names": ["height", "width", "c"]}
    features = {
        "observation.images.top": camera,
        "observation.images.wrist": camera,
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["episode", "row"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["episode", "row"]},
    }
    dataset = LeRobotDataset.create("ours/peers", fps=10, features=features, root=root, use_videos=use_videos)
    for episode, rows in enumerate(LENGTHS):
        for row in range(rows):
            frame = {key: picture(episode, row) for key in list(features)[:2]}
            numbers = {"observation.state": state(episode, row), "action": -state(episode, row)}
            dataset.add_frame({**frame, **numbers, "task": ["Push.", "Pull.", "Push."][episode]})
        dataset.save_episode()
    dataset.finalize()


def minari(root: Path) -> None:
    """Two datasets of an environment: pictures as JPEG, the default, and as they are."""
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    from minari import DataCollector

    gym.register("Marks-v0", entry_point="__main__:Marks")
    for name, jpeg in (("ours/jpeg-v0", True), ("ours/raw-v0", False)):
        shutil.rmtree(root / name, ignore_errors=True)
        env = DataCollector(gym.make("Marks-v0", disable_env_checker=True), record_infos=True, jpeg_encoding=jpeg)
        for episode, rows in enumerate(LENGTHS):
            env.reset(seed=100 + episode)
            for row in range(rows):
                env.step(-state(episode, row))
        env.create_dataset(name, algorithm_name="marks", description="Written by write_peers.py")
        env.close()


def robomimic(path: Path) -> None:
    """A file of robomimic: its layout, its own split, its own look at it."""
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(LENGTHS)
        data.attrs["env_args"] = '{"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}'
        for episode, rows in enumerate(LENGTHS):
            demo = data.create_group(f"demo_{episode}")
            demo.attrs["num_samples"] = rows
            demo["obs/agentview_image"] = np.stack([picture(episode, row) for row in range(rows)])
            demo["next_obs/agentview_image"] = np.stack([picture(episode, row + 1) for row in range(rows)])
            demo["obs/robot0_eef_pos"] = np.stack([state(episode, row) for row in range(rows)])
            demo["next_obs/robot0_eef_pos"] = np.stack([state(episode, row + 1) for row in range(rows)])
            demo["actions"] = -demo["obs/robot0_eef_pos"][:]
            demo["states"] = np.repeat(demo["obs/robot0_eef_pos"][:], 2, 1).astype(np.float64)
            demo["rewards"], demo["dones"] = np.arange(float(rows)), (np.arange(rows) == rows - 1).astype(int)
    sys.argv = ["split_train_val", "--dataset", str(path), "--ratio", ".34"]
    runpy.run_module("robomimic.scripts.split_train_val", run_name="__main__")
    from robomimic.utils import obs_utils
    from robomimic.utils.dataset import SequenceDataset

    keys = ("agentview_image", "robot0_eef_pos")
    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"rgb": [keys[0]], "low_dim": [keys[1]]}})
    read = SequenceDataset(str(path), keys, ("actions", "rewards", "dones"), hdf5_cache_mode=None)
    assert (len(read), read.n_demos) == (sum(LENGTHS), len(LENGTHS))


if __name__ == "__main__":
    out = Path(sys.argv[1]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    lerobot(out / "lerobot_v3", use_videos=True)
    lerobot(out / "lerobot_v3_images", use_videos=False)
    minari(out / "minari")
    robomimic(out / "robomimic.hdf5")
    print(f"wrote {', '.join(sorted(path.name for path in out.iterdir()))} to {out}")
