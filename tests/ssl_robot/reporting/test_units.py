"""Numbers in the units of who uses them."""

import pytest

from ssl_robot.reporting.units import scale


@pytest.mark.parametrize(
    ("metric", "unit", "value", "shown", "change"),
    [
        ("r2", "R2", 0.456, "0.46", "+0.46"),
        ("error", "m", 0.0123, "12.3 mm", "+12.3 mm"),
        ("error", "rad", 0.5235987755982988, "30.0°", "+30.0°"),
        ("error", "deg", -12.34, "−12.3°", "−12.3°"),
        ("error", "px", 3.0, "3.0 px", "+3.0 px"),
        ("error", "", 3.0, "3.00", "+3.00"),
        ("success", "success", 0.254, "25%", "+25 points"),
        ("normalised", "normalised", -0.1, "−10%", "−10 points"),
        ("return", "", -12.5, "−12.50", "−12.50"),
        ("r2", "R2", -0.001, "0.00", "+0.00"),
    ],
)
def test_values_and_differences(metric, unit, value, shown, change):
    assert scale(metric, unit).value(value) == shown
    assert scale(metric, unit).change(value) == change


def test_what_is_missing_is_not_shown():
    degrees = scale("error", "deg")
    assert (degrees.value(None), degrees.change(float("nan")), degrees.steps(1.0, None)) == ("", "", "")


def test_steps_and_intervals():
    assert scale("error", "m").steps(0.012, 0.031) == "12.0 → 31.0 mm"
    assert scale("success", "").steps(0.8, 0.55) == "80% → 55%"
    assert scale("r2", "").between(-0.4, 0.05) == "−0.40 to +0.05"
    assert (scale("error", "m").axis, scale("success", "").axis, scale("success", "").level) == (
        "error, mm", "success, points", "success, %",
    )  # fmt: skip
