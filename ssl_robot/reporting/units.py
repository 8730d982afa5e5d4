"""Numbers as those who use them count: degrees, millimetres, points of success."""

import math
from dataclasses import dataclass

from ssl_robot.auditing.verdicts import Finding

MINUS = "\N{MINUS SIGN}"
_SHARES = ("success", "normalised", "accuracy", "ap")


@dataclass(frozen=True)
class Scale:
    """How numbers of one kind are written.

    Attributes:
        factor: From what is computed to what is shown.
        unit: Behind a value.
        apart: Behind a difference of two values.
        digits: After the point.
        name: What is measured.
    """

    factor: float
    unit: str
    apart: str
    digits: int
    name: str

    @property
    def level(self) -> str:
        """What is measured and its unit, above values."""
        return ", ".join(part for part in (self.name, self.unit.strip()) if part)

    @property
    def axis(self) -> str:
        """What is measured and its unit, above differences."""
        return ", ".join(part for part in (self.name, self.apart.strip()) if part)

    def bare(self, number: float) -> str:
        """A value where the unit stands above."""
        return self._written(number, "")

    def value(self, number: float | None) -> str:
        """A score, as ``62%`` or ``12.3 mm``."""
        return "" if _missing(number) else f"{self._written(number, '')}{self.unit}"

    def change(self, number: float | None) -> str:
        """A difference of scores, with its sign, as ``+22.1°`` or ``−20 points``."""
        return "" if _missing(number) else f"{self._written(number, '+')}{self.apart}"

    def size(self, number: float | None) -> str:
        """A difference without a sign."""
        return "" if _missing(number) else f"{self._written(number, '')}{self.apart}"

    def between(self, low: float | None, high: float | None) -> str:
        """An interval of differences; the unit stands with the effect."""
        return f"{self._written(low, '+')} to {self._written(high, '+')}"

    def steps(self, before: float | None, after: float | None) -> str:
        """From one value to another, as ``12.0 → 31.2 mm``."""
        if _missing(before) or _missing(after):
            return ""
        close = self.unit if self.unit in ("°", "%") else ""  # written without a space, so it is not in the way
        return f"{self._written(before, '')}{close} → {self.value(after)}"

    def _written(self, number: float | None, sign: str) -> str:
        assert number is not None
        rounded = round(number * self.factor, self.digits) + 0.0  # no minus before a zero
        return f"{rounded:{sign}.{self.digits}f}".replace("-", MINUS)


def scale(metric: str, unit: str) -> Scale:
    """How scores of a metric are written.

    >>> scale("error", "m").value(0.0123), scale("success", "").change(-0.2), scale("r2", "").value(0.5)
    ('12.3 mm', '−20 points', '0.50')

    Args:
        metric: As in ``Score``.
        unit: Of an error.
    """
    if metric in _SHARES:
        return Scale(100, "%", " points", 0, "return" if metric == "normalised" else metric)
    if metric != "error":
        return Scale(1, "", "", 2, "R²" if metric == "r2" else metric)
    known = {"deg": (1.0, "°"), "rad": (180 / math.pi, "°"), "m": (1000.0, " mm")}
    factor, shown = known.get(unit, (1.0, f" {unit}".rstrip()))
    return Scale(factor, shown, shown, 1 if unit else 2, "error")


def own(finding: Finding) -> Scale:
    """How a finding's effect is written."""
    return scale(finding.metric, finding.unit)


def users(finding: Finding) -> str:
    """Errors of the component in its own unit, without and with the invariance; empty where there is no unit."""
    if finding.metric == "error":
        return own(finding).steps(finding.without, finding.having)
    if not finding.error_unit:
        return ""
    return scale("error", finding.error_unit).steps(finding.error_without, finding.error_having)


def _missing(number: float | None) -> bool:
    return number is None or math.isnan(number)
