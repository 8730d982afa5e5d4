from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_robot.loader import Loader, shuffled

CPU = torch.device("cpu")


def counted(count: int) -> Any:
    """Frames whose pixels are their number."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 16, 3)).copy()


@pytest.mark.parametrize("way", ["resident", "random", "blocks"])
def test_every_row_comes_once_with_its_place_however_it_is_read(memory: Any, way: Any) -> None:
    rows = np.arange(200)[::2]
    loader = Loader(memory(counted(200)), rows, 16, CPU, seed=3, way=way)
    for epoch in range(2):
        batches = list(loader.batches(epoch, 8))
        assert len(batches) == 12
        places = torch.cat([chosen for chosen, _ in batches])
        assert len(set(places.tolist())) == 96
        images = torch.cat([pictures for _, (pictures,) in batches])
        np.testing.assert_array_equal(images[:, 0, 0, 0], rows[places.numpy()])


def test_the_order_is_the_seeds_and_the_epochs(memory: Any) -> None:
    frames = memory(counted(50))

    def places(seed: int, epoch: int) -> list[int]:
        loader = Loader(frames, np.arange(50), 16, CPU, seed)
        return torch.cat([chosen for chosen, _ in loader.batches(epoch, 10)]).tolist()

    assert places(1, 0) == places(1, 0)
    assert len({tuple(places(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@given(count=st.integers(1, 3000), seed=st.integers(0, 99), block=st.sampled_from([1, 4, 64]))
def test_an_order_is_a_permutation(count: int, seed: int, block: int) -> None:
    assert shuffled(count, seed, 0, block).sort().values.equal(torch.arange(count))


def test_blocks_bring_neighbours_together_and_mix_what_is_apart() -> None:
    order = shuffled(100_000, 0, 0, 64)
    first = order[: 64 * 64]
    assert len(torch.unique(first // 64)) == 64  # the whole of 64 blocks
    assert (order[1:] - order[:-1]).abs().float().mean() > 20_000  # of 33,333 in a random order
    assert len(torch.unique(first[:256] // 64)) > 50  # a batch has frames of most of them


def test_large_frames_are_shrunk_to_what_views_need(memory: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 100, 80, 3), np.uint8)
    for way in ("resident", "random"):
        _, (pictures,) = next(iter(Loader(memory(images), np.arange(10), 16, CPU, way=way).batches(0, 4)))  # type: ignore[arg-type]
        assert min(pictures.shape[1:3]) == 32
        assert pictures.dtype == torch.uint8


def test_the_way_is_chosen_by_size(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = memory(counted(20))
    assert Loader(frames, np.arange(20), 16, CPU).way == "resident"
    monkeypatch.setattr("ssl_robot.loader.RESIDENT_BYTES", 100)
    assert Loader(frames, np.arange(20), 16, CPU).way == "random"
    monkeypatch.setattr("ssl_robot.loader.CACHED_BYTES", -1)
    assert Loader(frames, np.arange(20), 16, CPU).way == "blocks"
