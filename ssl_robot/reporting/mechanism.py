"""How invariant encoders really became, and what that cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ssl_robot.audit import Audited
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.reporting import units, words
from ssl_robot.reporting.tables import supposed

_COSINE, _READABLE = ("invariance", "cosine"), ("readable", "r2")


@dataclass(frozen=True)
class Learnt:
    """What training with an invariance did to how invariant encoders are.

    Attributes:
        name: The invariance.
        how: Which design.
        cosine: Between features of a frame and of the frame changed, without it and with it; 1 is blind.
        readable: R2 of what was changed, without it and with it; none where nothing varies.
        worst: The component that lost most of its R2, or gained least; none where no R2 was judged.
    """

    name: str
    how: str
    cosine: tuple[float, float]
    readable: tuple[float, float] | None
    worst: Finding | None

    @property
    def became(self) -> float:
        """How much more invariant the encoders with it are."""
        return self.cosine[1] - self.cosine[0]

    @property
    def harm(self) -> float:
        """R2 that its worst component lost."""
        return -self.worst.effect if self.worst else float("nan")

    @property
    def cells(self) -> Sequence[str]:
        """For a table: invariance, design, cosine, readability, worst component and its verdict."""
        scale = units.scale("r2", "")
        readable = scale.steps(*self.readable) if self.readable else "–"
        worst = f"{self.worst.what} {scale.change(self.worst.effect)}" if self.worst else ""
        return self.name, self.how, scale.steps(*self.cosine), readable, worst


def learnt(audited: Audited) -> list[Learnt]:
    """One for each invariance that was trained with and without, and whose change a frame can show."""
    found = [f for f in audited.findings if f.role == "verdict" and f.design in words.TRAINED]
    points = []
    for contrast in audited.study.contrasts() if audited.trained else ():
        sides = [(contrast.without, contrast.subject), (contrast.having, contrast.subject)]
        cosine = [_mean(audited, arm, name, _COSINE) for arm, name in sides]
        readable = [_mean(audited, arm, name, _READABLE) for arm, name in sides]
        rows = [f for f in found if (f.invariance, f.design) == (contrast.subject, contrast.design)]
        if contrast.design in words.TRAINED and rows and not np.isnan(cosine).any():
            judged = [f for f in rows if f.metric == "r2" and f.held] or [f for f in rows if f.metric == "r2"]
            worst = min(judged, key=lambda f: f.effect, default=None)
            known = None if np.isnan(readable).any() else (readable[0], readable[1])
            points.append(Learnt(contrast.subject, supposed(rows[0]), (cosine[0], cosine[1]), known, worst))
    return points


def encoders(audited: Audited) -> list[tuple[str, Sequence[tuple[str, str]]]]:
    """How invariant each arm and encoder is: cosine, and R2 of what was changed, for each invariance asked about."""
    names = audited.study.asked.names
    scale = units.scale("r2", "")
    table: list[tuple[str, Sequence[tuple[str, str]]]] = []
    for arm in dict.fromkeys(r.arm for r in audited.results if not r.failure):
        values = [(_mean(audited, arm, name, _COSINE), _mean(audited, arm, name, _READABLE)) for name in names]
        if not np.isnan([cosine for cosine, _ in values]).all():
            table.append((arm, [(scale.value(cosine), scale.value(readable)) for cosine, readable in values]))
    return table


def _mean(audited: Audited, arm: str, name: str, what: tuple[str, str]) -> float:
    """Mean over seeds of one measure of one arm; not a number where it was not asked."""
    values = list(_values(audited, arm, name, what))
    return float(np.mean(values)) if values else float("nan")


def _values(audited: Audited, arm: str, name: str, what: tuple[str, str]) -> Iterator[float]:
    keys = [question.key for question in audited.questions if question.role == "mechanism"]
    for result in (r for r in audited.results if r.arm == arm and not r.failure):
        for key in keys:
            for score in result.answers.get(key, ()):
                if score.target == name and (score.component, score.metric) == what:
                    yield score.value
