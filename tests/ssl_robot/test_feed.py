"""Batches that come with their views, whoever makes them."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_robot import feed
from ssl_robot.feed import fed
from ssl_robot.recipes import Recipe
from ssl_robot.records import Clock
from ssl_robot.views import Views

CPU = torch.device("cpu")
FRAMES = torch.randint(256, (90, 24, 24, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(params=[1, 2, 5])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """As many as there may be, whatever this machine has; small pieces, so that a batch has several."""
    monkeypatch.setattr(feed, "_cores", lambda: request.param)
    monkeypatch.setattr("ssl_robot.views._PIXELS", 8 * 16**2)
    return int(request.param)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def source(batches: int = 6, batch: int = 20, shown: int = 1) -> Iterator[tuple[Tensor, list[Tensor]]]:
    random = torch.Generator().manual_seed(1)
    for _ in range(batches):
        places = torch.randperm(90, generator=random)[:batch]
        yield places, [FRAMES[(places + i) % 90] for i in range(shown)]


def halved(images: Tensor) -> Tensor:
    return images / 2


def makers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("views")]


@pytest.mark.parametrize("shown", [1, 2])
def test_views_are_the_same_to_the_bit_whoever_makes_them(cores: int, threads: int, shown: int) -> None:
    views, number = Views(Recipe.named("simsiam"), 16, 5), 7
    found = list(fed(source(shown=shown), CPU, views, number, halved, Clock()))
    assert len(found) == 6
    assert torch.get_num_threads() == threads
    assert not makers()
    for step, (batch, (places, frames)) in enumerate(zip(found, source(shown=shown), strict=True), number):
        assert torch.equal(batch.places, places)
        for view, made in enumerate(batch.views):
            expected = views(frames[view % shown], places, step, view)
            assert torch.equal(made.images, halved(expected.images))
            assert made.images.is_contiguous(memory_format=torch.channels_last)
            for name, drawn in expected.parameters.items():
                assert torch.equal(made.parameters[name], drawn)


def test_views_of_two_sizes_fit_their_batch(cores: int) -> None:
    batch = next(fed(source(), CPU, Views(Recipe.named("dino"), 32, 0), 0, halved, Clock()))
    assert {tuple(view.images.shape) for view in batch.views} == {(20, 3, 32, 32), (20, 3, 14, 14)}


def test_no_more_batches_are_read_than_are_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted() -> Iterator[tuple[Tensor, list[Tensor]]]:
        for i, batch in enumerate(source(9)):
            read.append(i)
            yield batch

    for cores, ahead in ((1, 1), (2, 2)):
        monkeypatch.setattr(feed, "_cores", lambda cores=cores: cores)
        read.clear()
        batches = fed(counted(), CPU, Views(Recipe.named("crop"), 16, 0), 0, halved, Clock())
        for taken in range(1, 4):
            next(batches)
            assert len(read) == taken + ahead
        batches.close()


def test_the_next_batch_is_made_while_this_one_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_cores", lambda: 2)
    made: list[str] = []

    def noted(images: Tensor) -> Tensor:
        made.append(threading.current_thread().name)
        return images

    batches = fed(source(3), CPU, Views(Recipe.named("crop"), 16, 0), 0, noted, Clock())
    next(batches)
    patience = time.monotonic() + 60
    while len(made) < 6 and time.monotonic() < patience:
        time.sleep(0.001)
    assert len(made) == 6  # two views of three batches, of which one was asked for
    assert any(name.startswith("views") for name in made)
    batches.close()


def test_what_goes_wrong_in_a_thread_is_told_when_the_batch_is_asked_for(cores: int, threads: int) -> None:
    def broken(images: Tensor) -> Tensor:
        raise ZeroDivisionError("broken")

    batches = fed(source(), CPU, Views(Recipe.named("crop"), 16, 0), 0, broken, Clock())
    with pytest.raises(ZeroDivisionError, match="broken"):
        next(batches)
    assert not makers()
    assert torch.get_num_threads() == threads


def test_what_goes_wrong_with_reading_is_told_too(cores: int) -> None:
    def torn() -> Iterator[tuple[Tensor, list[Tensor]]]:
        yield from source(1)
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        list(fed(torn(), CPU, Views(Recipe.named("crop"), 16, 0), 0, halved, Clock()))
    assert not makers()


def test_who_leaves_early_leaves_no_thread(cores: int, threads: int) -> None:
    batches = fed(source(), CPU, Views(Recipe.named("simsiam"), 16, 0), 0, halved, Clock())
    next(batches)
    batches.close()
    assert not makers()
    assert torch.get_num_threads() == threads


def test_threads_of_the_makers_use_one_core_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_cores", lambda: 4)
    seen: set[tuple[bool, int]] = set()

    def noted(images: Tensor) -> Tensor:
        seen.add((threading.current_thread() is threading.main_thread(), torch.get_num_threads()))
        return images

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for batch in fed(source(20), CPU, Views(Recipe.named("crop"), 16, 0), 0, noted, Clock()):
            assert torch.get_num_threads() == 2
            del batch
    finally:
        torch.set_num_threads(before)
    assert {count for _, count in seen} == {1}


def test_the_clock_is_told_what_was_waited_for(cores: int) -> None:
    clock = Clock()
    list(fed(source(), CPU, Views(Recipe.named("crop"), 16, 0), 0, halved, clock))
    assert set(clock.seconds) == {"load", "views"}


def test_cores_are_shared() -> None:
    """Those that PyTorch leaves idle work ahead; if there are none, all of them work between two steps."""
    shares: Any = feed._shares
    assert shares(CPU, 1, 2) == (1, 2)
    assert shares(CPU, 2, 2) == (1, 0)
    assert shares(CPU, 2, 8) == (6, 2)
    assert shares(CPU, 8, 8) == (7, 0)
    assert shares(CPU, 1, 1) == (0, 0)
    assert shares(CPU, 4, 1) == (0, 0)
    assert shares(CPU, 1, 500)[0] < 100
    assert shares(torch.device("cuda"), 1, 8) == (0, 0)


@pytest.mark.slow
def test_compiled_views_are_the_same_to_the_bit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled in a thread, with pieces of one length."""
    monkeypatch.setattr(feed, "_cores", lambda: 3)
    monkeypatch.setattr("ssl_robot.views._PIXELS", 8 * 16**2)
    views = Views(Recipe.named("simsiam"), 16, 5, compiled=True)
    found = list(fed(source(3), CPU, views, 0, halved, Clock()))
    assert views.compiled
    for step, (batch, (places, (frames,))) in enumerate(zip(found, source(3), strict=True)):
        for view, made in enumerate(batch.views):
            assert torch.equal(made.images, halved(views(frames, places, step, view).images))
