"""Heads that learn on one recording and are examined on another."""

import numpy as np
import torch

from ssl_robot.arrays import Arrays
from ssl_robot.baselines import named
from ssl_robot.datasets.store import FrameStore
from ssl_robot.experiments.studies._transfer import Joined, Transfer
from ssl_robot.frames import Frames, Label, Seen
from ssl_robot.probes.pose import Pose


class Turned:
    """Reads the state, but with the other sign in one of the recordings: what was learnt misleads there."""

    name, key, sees = "turned", "turned", False
    labels: tuple[str, ...] = ()

    def __init__(self, where: str) -> None:
        self._where = where

    def read(self, moments: Seen, layer: str = "output") -> torch.Tensor:
        raise NotImplementedError

    def everything(self, frames: Frames, layer: str = "output") -> torch.Tensor:
        values = torch.from_numpy(frames.values("poses/block")).float()
        return -values if frames.fingerprint == self._where else values


def r2(probe: Pose, reader: object, frames: Frames) -> dict[str, float]:
    return {s.component: s.value for s in probe.ask(reader, frames) if s.metric == "r2"}  # type: ignore[arg-type]


def test_what_was_learnt_is_asked_of_every_frame_of_the_other(resets: FrameStore, exploration: FrameStore) -> None:
    probe = Transfer(("block",), control=False, learnt=str(resets.path))
    scores = probe.ask(named("state", exploration), exploration)
    assert {score.n for score in scores} == {len(exploration)}
    assert all(score.value > 0.9 for score in scores if score.metric == "r2" and score.component in ("x", "y"))


def test_features_that_mean_something_else_there_read_worse_than_nothing(
    resets: FrameStore, exploration: FrameStore
) -> None:
    reader = Turned(exploration.fingerprint)
    assert r2(Pose(("block",), control=False), reader, exploration)["x"] > 0.9
    assert r2(Transfer(("block",), control=False, learnt=str(resets.path)), reader, exploration)["x"] < 0


def test_recordings_follow_each_other() -> None:
    rng = np.random.default_rng(0)
    label = Label.plain("state", 1)
    parts = [
        Arrays(rng.integers(0, 256, (n, 4, 4, 3), np.uint8), lengths, {"state": (label, rng.random((n, 1)))})
        for n, lengths in ((5, (2, 3)), (4, (4,)), (3, (1, 1, 1)))
    ]
    joined = Joined(parts)
    rows = rng.permutation(12)
    np.testing.assert_array_equal(joined.take(rows), np.concatenate([part.images for part in parts])[rows])
    np.testing.assert_array_equal(joined.values("state"), np.concatenate([part.values("state") for part in parts]))
    assert joined.episodes.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 4, 5]
    assert (len(joined), len(joined.contents)) == (12, 6)
