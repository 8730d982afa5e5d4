"""Every number that can be set has a range, and what is out of it is refused before anything is begun."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ssl_robot.methods
import ssl_robot.remedies
from ssl_robot import catalogue
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.experiments import cli
from ssl_robot.methods.mocov2 import Mocov2

PACKAGES = (ssl_robot.methods, ssl_robot.remedies)
CLASSES: list[Any] = [catalogue.found(package, name) for package in PACKAGES for name in catalogue.names(package)]
NUMBERS = [(cls, item) for cls in CLASSES for item in fields(cls) if item.type in (int, float)]
each = pytest.mark.parametrize(("cls", "item"), NUMBERS, ids=[f"{cls.__name__}.{item.name}" for cls, item in NUMBERS])


@each
def test_a_number_has_a_range_and_may_be_at_its_ends(cls: Any, item: Any) -> None:
    for end in ("least", "most"):
        value = item.type(item.metadata[end])
        assert getattr(cls(**{item.name: value}), item.name) == value


@each
def test_a_number_out_of_its_range_is_refused(cls: Any, item: Any) -> None:
    name = f"{cls.__module__.rpartition('.')[2]}.{item.name}"
    wrong = [item.metadata["least"] - 1, item.metadata["most"] + 1, math.nan, math.inf, True, "1", None]
    for value in [*wrong, *([1.5] if item.type is int else [])]:
        with pytest.raises(InputError, match=f"{name} is {value}, but must be a (whole )?number from"):
            cls(**{item.name: value})


WRONG = (
    "simclr.temperature 0",
    "mocov2.queue 0",
    "dino.classes 1",
    "swav.prototypes 0",
    "swav.epsilon 0.001",
    "byol.keep 2",
    "triplet.margin nan",
    "mocov2.splits 0",
)


@pytest.mark.parametrize("words", WRONG)
def test_a_line_that_is_out_of_range_writes_nothing(
    words: str, resets: FrameStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting, value = words.split()
    method, out = setting.partition(".")[0], tmp_path / "run"
    line = ["pretrain", str(resets.path), "--out", str(out), "--method", method, f"--{setting}", value]
    assert cli.main(line) == cli.USAGE
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"ssl-robot: {setting} is ")
    assert "\n" not in said
    assert not out.exists()


def test_a_batch_is_split_into_parts_of_two_at_least() -> None:
    """A part of one frame has no batch statistics where its map is one pixel."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8))
    objective = Mocov2(hidden=8, width=4, queue=8, splits=1000).build(backbone, 8).train()
    assert bool(objective([torch.rand(7, 3, 2, 2), torch.rand(7, 3, 2, 2)]).total.isfinite())
