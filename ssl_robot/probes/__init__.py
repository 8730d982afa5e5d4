"""One file per question put to a frozen encoder."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Score:
    """An answer to a question, with how sure it is.

    Attributes:
        target: Full name of the label.
        component: Which of its numbers; an angle gives ``angle``, ``angle cos`` and ``angle sin``.
        metric: ``r2`` (1 is perfect, 0 is chance) or ``error`` (mean absolute, in the unit).
        unit: Of the error; empty for R2 and where the source does not say.
        value: The score on the test rows.
        low: Lower end of the 95% interval, over test episodes.
        high: Upper end.
        n: Test rows.
        chance: What an encoder that sees nothing scores.
        episodes: Test episodes.
        resampled: The score under each resampling of the test episodes; two encoders asked the same question are
            resampled alike, so that their scores can be subtracted pair by pair.
    """

    target: str
    component: str
    metric: Literal["r2", "error"]
    unit: str
    value: float
    low: float
    high: float
    n: int
    chance: float
    episodes: int
    resampled: NDArray[np.float64] = field(repr=False, compare=False)
