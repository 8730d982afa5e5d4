"""What recording costs on top of the bare loop, beside what other recorders cost."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.envs.record import RecordFrames
from ssl_robot.envs.world import Sight, World, make
from ssl_robot.experiments.benchmarks.timing import Timed, alternated

BARE = "bare loop: act, step, look"


def run(folder: Path, env_id: str, size: int, steps: int, rounds: int) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of the two tables: recording while acting, and writing frames that are there.

    Args:
        folder: For the files that are made.
        env_id: The environment.
        size: Height and width of the frames.
        steps: Of each round, cut into the environment's own episodes.
        rounds: How often each candidate records.
    """
    sight = Sight(size)
    acting = {BARE: _bare(env_id, sight, steps), "ssl-robot": _ours(folder, env_id, sight, steps, raw=False)}
    if _draws_itself(env_id, sight):
        acting["Gymnasium's own loop: act, step, render()"] = _gymnasium(env_id, sight, steps)
    acting["ssl-robot, raw"] = _ours(folder, env_id, sight, steps, raw=True)
    if importlib.util.find_spec("minari"):
        acting |= {f"Minari, {name}": _minari(env_id, sight, steps, name == "JPEG (lossy)") for name in _MINARI}
    if importlib.util.find_spec("stable_worldmodel"):
        acting["stable-worldmodel, raw"] = _worldmodel(folder, env_id, sight, steps)
    title = f"recording {env_id} at {size} px, {steps:,} steps"
    rows = [_noted(row, folder, steps) for row in alternated(acting, BARE, rounds, title)]
    frames = _seen(env_id, sight, min(steps, 500))
    writing = {name: maker(folder, frames) for name, maker in _WRITERS.items() if _there(name)}
    writes = alternated(writing, "ssl-robot, writing", rounds, f"writing {len(frames)} frames of {env_id}")
    return [
        (title, BARE, rows),
        (
            f"writing {len(frames):,} frames of {env_id} at {size} px",
            "ssl-robot, writing",
            [_noted(row, folder, len(frames)) for row in writes],
        ),
    ]


_MINARI = ("JPEG (lossy)", "raw")


def _bare(env_id: str, sight: Sight, steps: int) -> Callable[[int], int]:
    world = make(env_id, sight)

    def loop(turn: int) -> int:
        world.env.action_space.seed(turn)
        over = True
        for step in range(steps):
            if over:
                observation, info = world.env.reset(seed=1000 * turn + step)
                world.look(observation, info)
            observation, _, terminated, truncated, info = world.env.step(world.env.action_space.sample())
            world.look(observation, info)
            over = terminated or truncated
        return steps

    return loop


def _draws_itself(env_id: str, sight: Sight) -> bool:
    world = make(env_id, sight)
    found = hasattr(world.env.unwrapped, "mujoco_renderer")
    world.close()
    return found


def _gymnasium(env_id: str, sight: Sight, steps: int) -> Callable[[int], int]:
    """The same without anything of ours: what a user's loop costs before recording is thought of."""
    env = gym.make(env_id, render_mode="rgb_array", width=sight.size, height=sight.size)

    def loop(turn: int) -> int:
        env.action_space.seed(turn)
        over = True
        for step in range(steps):
            if over:
                env.reset(seed=1000 * turn + step)
                env.render()
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            env.render()
            over = terminated or truncated
        return steps

    return loop


def _ours(folder: Path, env_id: str, sight: Sight, steps: int, raw: bool) -> Callable[[int], int]:
    world = make(env_id, sight)
    path = folder / f"ssl-robot{', raw' if raw else ''}.h5"

    def loop(turn: int) -> int:
        with FrameWriter(path, "overwrite", raw) as store:
            _act(RecordFrames(world, store, allow_static=False), turn, steps)
        return steps

    return loop


def _act(env: gym.Env[Any, Any], turn: int, steps: int) -> None:
    env.action_space.seed(turn)
    over = True
    for step in range(steps):
        if over:
            env.reset(seed=1000 * turn + step)
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
    if isinstance(env, RecordFrames):
        env.cut()


class _Seen(gym.ObservationWrapper[Any, Any, Any]):
    """The same pictures as observations, for recorders that keep those."""

    def __init__(self, world: World) -> None:
        super().__init__(world.env)
        self._world = world
        self._camera, shape = next(iter(world.schema.cameras.items()))
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)

    def reset(self, **arguments: Any) -> Any:
        """Begin an episode."""
        observation, info = self.env.reset(**arguments)
        return self._world.look(observation, info).frames[self._camera], info

    def step(self, action: Any) -> Any:
        """Act."""
        observation, *rest, info = self.env.step(action)
        return self._world.look(observation, info).frames[self._camera], *rest, info

    def observation(self, observation: Any) -> Any:
        """Not used: a look needs the info too."""
        return observation


def _minari(env_id: str, sight: Sight, steps: int, jpeg: bool) -> Callable[[int], int]:
    import minari

    env = _Seen(make(env_id, sight))

    def loop(turn: int) -> int:
        name = f"bench/{'jpeg' if jpeg else 'raw'}-v{turn}"
        collector = minari.DataCollector(env, jpeg_encoding=jpeg)
        _act(collector, turn, steps)
        collector.create_dataset(name)
        minari.delete_dataset(name)
        return steps

    return loop


def _worldmodel(folder: Path, env_id: str, sight: Sight, steps: int) -> Callable[[int], int]:
    """Its file's own writer, fed with whole episodes as its ``World.collect`` does; it keeps no poses."""
    from stable_worldmodel.data.formats.hdf5 import HDF5Writer

    env: gym.Env[Any, Any] = _Seen(make(env_id, sight))

    def loop(turn: int) -> int:
        env.action_space.seed(turn)
        with HDF5Writer(folder / "stable-worldmodel, raw.h5", mode="overwrite") as writer:
            done = 0
            while done < steps:
                pixels, actions, over = [env.reset(seed=1000 * turn + done)[0]], [], False
                while not over and done < steps:
                    actions.append(env.action_space.sample())
                    pixel, _, terminated, truncated, _ = env.step(actions[-1])
                    over, done = terminated or truncated, done + 1
                    pixels.append(pixel)
                writer.write_episode({"pixels": pixels[:-1], "action": actions})
        return steps

    return loop


def _seen(env_id: str, sight: Sight, count: int) -> NDArray[np.uint8]:
    env = _Seen(make(env_id, sight))
    frames: list[Any] = []
    frame, over = None, True
    env.action_space.seed(0)
    while len(frames) < count:
        frame = env.reset(seed=len(frames))[0] if over else frame
        frames.append(frame)
        frame, _, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
    env.close()
    return np.stack(frames)


def _write_ours(folder: Path, frames: NDArray[np.uint8]) -> Callable[[int], int]:
    from ssl_robot.experiments.benchmarks.loader import written

    return lambda turn: len(written(folder / "ssl-robot, writing.h5", frames, raw=False))


def _write_lerobot(folder: Path, frames: NDArray[np.uint8]) -> Callable[[int], int]:
    import shutil

    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    features = {
        "observation.images.top": {
            "dtype": "image",
            "shape": frames.shape[1:],
            "names": ["height", "width", "channels"],
        },
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
    }

    def loop(turn: int) -> int:
        root = folder / "LeRobot, PNG"
        shutil.rmtree(root, ignore_errors=True)
        dataset = LeRobotDataset.create("local/bench", 10, features, root=root, use_videos=False)
        for frame in frames:
            dataset.add_frame({"observation.images.top": frame, "action": np.zeros(2, np.float32), "task": "bench"})
        dataset.save_episode()
        dataset.finalize()
        return len(frames)

    return loop


def _write_gzip(folder: Path, frames: NDArray[np.uint8]) -> Callable[[int], int]:
    """What ``robomimic``'s conversion with --compress writes: gzip, chunks guessed by h5py."""
    import h5py

    def loop(turn: int) -> int:
        with h5py.File(folder / "robomimic --compress.hdf5", "w") as file:
            file.create_dataset("data/demo_0/obs/top", data=frames, compression="gzip")
            file.create_dataset("data/demo_0/actions", data=np.zeros((len(frames), 2)))
        return len(frames)

    return loop


def _write_worldmodel(folder: Path, frames: NDArray[np.uint8]) -> Callable[[int], int]:
    from stable_worldmodel.data.formats.hdf5 import HDF5Writer

    def loop(turn: int) -> int:
        with HDF5Writer(folder / "stable-worldmodel, writing.h5", mode="overwrite") as writer:
            writer.write_episode({"pixels": list(frames), "action": np.zeros((len(frames), 2))})
        return len(frames)

    return loop


_WRITERS: dict[str, Callable[[Path, NDArray[np.uint8]], Callable[[int], int]]] = {
    "ssl-robot, writing": _write_ours,
    "LeRobot, PNG": _write_lerobot,
    "robomimic --compress": _write_gzip,
    "stable-worldmodel, writing": _write_worldmodel,
}
_NEEDS = {"LeRobot": "lerobot", "stable-worldmodel": "stable_worldmodel"}


def _there(name: str) -> bool:
    package = _NEEDS.get(name.split(",")[0])
    return package is None or importlib.util.find_spec(package) is not None


def _noted(row: Timed, folder: Path, frames: int) -> Timed:
    """The row with the size of what it wrote."""
    paths = [path for path in folder.iterdir() if path.stem == row.name]
    if not paths:
        return row
    files = [paths[0]] if paths[0].is_file() else [path for path in paths[0].rglob("*") if path.is_file()]
    size = sum(os.path.getsize(path) for path in files) / frames / 1000
    return Timed(row.name, row.ratio, row.median_s, row.frames_per_s, f"{size:.3g} MB per 1,000 frames")
