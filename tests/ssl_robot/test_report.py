"""The page says what was found, works offline, and renders in a browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from ssl_robot import audit, report
from ssl_robot.probes import Score
from ssl_robot.recipes import Recipe

CHROMIUM = shutil.which("chromium")


def scores(x, angle):
    def one(component, metric, unit, value, chance):
        noise = 0.01 * np.random.default_rng(0).normal(size=1000)
        return Score("poses/block", component, metric, unit, value, value, value, 75, chance, 75, value + noise)

    return [one("x", "r2", "", x, 0.0), one("angle", "error", "deg", angle, 90.0)]


@pytest.fixture
def written(resets, tmp_path):
    study = audit.Study(Recipe.named("crop"), ("flip", "hue"), ("poses/block",), seeds=3)
    values = {"reference": (0.9, 40.0), "flip": (0.5, 60.0), "hue": (0.95, 30.0), "random": (0.4, 80.0)}
    results = [
        audit.Result(arm, seed, {layer: scores(x + seed / 500, angle + seed / 10) for layer in audit.LAYERS})
        for arm, (x, angle) in values.items()
        for seed in range(3)
    ]
    results.append(audit.Result("gray", 0, {}, "Collapse: <b>nothing</b> is left"))
    found = audit.findings(study, results)
    about = report.About(study, resets, resets, study.design)
    return report.write(tmp_path, about, found, results), found


def test_words_follow_the_measurements(written):
    _, found = written
    flip, hue = report.summary(found).splitlines()
    assert "cost block x (R2 0.90 to 0.50), block angle (40 to 60 deg)" in flip
    assert "gained" in hue
    assert "cost" not in hue


def test_the_headline_is_the_strongest_evidence(written):
    _, found = written
    assert report.headline(found) == "Hurts: flip. Helps: hue."


def test_json_has_the_agreed_keys(written):
    path, _ = written
    answer = json.loads((path.parent / "report.json").read_text())
    keys = {"invariance", "design", "probe", "target", "component", "layer", "effect", "low", "high", "unit", "margin"}
    assert all(keys | {"verdict", "held"} <= set(row) for row in answer["verdicts"])
    assert {"arms", "recommended"} <= set(answer)
    assert list(answer["recommended"]) == ["crop", "hue"]
    lines = (path.parent / "scores.csv").read_text().splitlines()
    assert len(lines) == 1 + 12 * 2 * 2


def test_the_page_is_self_contained_and_escapes(written):
    page = written[0].read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<b>nothing</b>" not in page
    assert "Collapse: &lt;b&gt;nothing" in page


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_renders(written, tmp_path, width):
    picture = tmp_path / "page.png"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
        f"--window-size={width},2400", f"--screenshot={picture}", written[0].as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    assert picture.stat().st_size > 20_000
