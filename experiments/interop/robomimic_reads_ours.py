"""robomimic's own SequenceDataset reads our recordings as they are.

python3 -m venv peers && . peers/bin/activate
pip install torch torchvision h5py tqdm termcolor psutil tensorboardX imageio
pip install --no-deps robomimic==0.3.0     (egl_probe, which it asks for, is not needed to read)
python experiments/interop/robomimic_reads_ours.py RECORDING.h5
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def main(recording: Path) -> None:
    """Load every sequence of two rows, compare first rows with the file, and draw a batch through workers."""
    from robomimic.utils import obs_utils
    from robomimic.utils.dataset import SequenceDataset
    from torch.utils.data import DataLoader

    with h5py.File(recording, "r", swmr=True, libver="latest") as file:  # as robomimic opens it
        data = file["data"]
        names = sorted(data, key=lambda name: int(name[5:]))
        obs = data[names[0]]["obs"]
        cameras = [name for name in obs if obs[name].dtype == np.uint8]
        numbers = [name for name in obs if isinstance(obs[name], h5py.Dataset) and obs[name].ndim == 2]
        obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"rgb": cameras, "low_dim": numbers}})
        options: dict[str, Any] = {"seq_length": 2, "load_next_obs": False, "hdf5_cache_mode": None}
        keys = ("actions", "rewards", "dones")
        dataset = SequenceDataset(str(recording), (*cameras, *numbers), keys, **options)
        rows = [(name, row) for name in names for row in range(int(data[name].attrs["num_samples"]))]
        assert len(dataset) == len(rows)
        for index, (name, row) in enumerate(rows):
            item = dataset[index]
            for key in (*cameras, *numbers):
                assert np.array_equal(item["obs"][key][0], data[name]["obs"][key][row])
            assert np.array_equal(item["actions"][0], data[name]["actions"][row])
    batch = next(iter(DataLoader(dataset, batch_size=16, shuffle=True, num_workers=2)))
    shapes = {key: tuple(value.shape) for key, value in batch["obs"].items()}
    print(f"robomimic {version('robomimic')}: {dataset.n_demos} demonstrations, {len(dataset)} rows, all equal")
    print(f"a batch through two workers: {shapes}, actions {tuple(batch['actions'].shape)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
