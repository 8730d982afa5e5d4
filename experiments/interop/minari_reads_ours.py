"""Minari's own MinariDataset reads what we export and returns the same frames and numbers.

    python3 -m venv peers && . peers/bin/activate
    pip install "minari[hdf5]==0.5.4"
    ssl-robot export RECORDING.h5 --format minari --out FOLDER/NAME-v0   (with our own environment)
    python experiments/interop/minari_reads_ours.py FOLDER/NAME-v0 RECORDING.h5

The recording is read with plain h5py, as datasets/FORMAT.md describes it; its episodes must not be independent rows.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np


def main(export: Path, recording: Path) -> None:
    """Compare every observation, action and outcome exactly."""
    os.environ["MINARI_DATASETS_PATH"] = str(export.parent.resolve())
    import minari

    dataset = minari.load_dataset(export.name)
    repeated = 0
    with h5py.File(recording) as file:
        names = sorted(file["data"], key=lambda name: int(name[5:]))
        assert dataset.total_episodes == len(names)
        for episode, name in zip(dataset.iterate_episodes(), names, strict=True):
            group = file["data"][name]
            for camera, seen in episode.observations.items():
                final = group.get(f"final_obs/{camera}")
                repeated += final is None
                last = group[f"obs/{camera}"][-1:] if final is None else final[:]
                assert np.array_equal(seen, np.concatenate([group[f"obs/{camera}"][:], last]))
                assert dataset.observation_space[camera].contains(seen[0])
            assert np.array_equal(episode.actions, group["actions"][:])
            assert np.array_equal(episode.rewards, group["rewards"][:])
            assert np.array_equal(episode.terminations, group["terminated"][:].astype(bool))
            assert np.array_equal(episode.truncations, group["truncated"][:].astype(bool))
    print(f"minari {version('minari')}: {dataset.spec.dataset_id}, {dataset.total_episodes} episodes,", end=" ")
    print(f"{dataset.total_steps} steps, all equal; {repeated} final observations are repeated frames")
    print(f"infos {list(dataset[0].infos)}; {dataset.observation_space}"[:200])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
