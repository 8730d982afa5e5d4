"""What stands beside the trained encoders, and costs them nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_robot import baselines
from ssl_robot.arrays import Arrays
from ssl_robot.auditing.bystanders import Bystander, interview
from ssl_robot.auditing.questions import Question
from ssl_robot.encoder import Card
from ssl_robot.errors import InputError
from ssl_robot.probes.pose import Pose


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("no memory\nat line 3"), "RuntimeError: no memory"),
        (InputError("It has no state."), "It has no state."),
    ],
)
def test_a_baseline_that_fails_is_named_and_costs_no_other(
    error: Exception, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(baselines, "named", broken)
    question = Question(Pose(), Arrays(np.zeros((1, 16, 16, 3), np.uint8)))
    card = Card("small", 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    result = interview(Bystander("pixels", (question, question), card, tmp_path))
    assert (result.arm, result.answers, result.failure) == ("pixels", {}, told)
