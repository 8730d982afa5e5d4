"""The page is whole, works offline, and can be read in a browser, narrow and wide, light, dark and printed."""

import base64
import csv
import fcntl
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from ssl_robot import report
from ssl_robot.auditing.runs import Result
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself
from ssl_robot.reporting import record

CHROMIUM = shutil.which("chromium")
FIGURES = ("effects-potential", "effects-leave_one_out", "effects-add_one_in", "effects-remedy", "dose-rotation",
           "learning", "curves", "views")  # fmt: skip


@pytest.fixture(scope="module")
def page(about, tmp_path_factory):
    failed = [*about.audited.results, Result("with gray", 0, failure="Lost: <b>nothing</b> is left")]
    flat = {"epoch": 0.0, "loss": -1.0, "spread": 0.01, "directions": 5.0, "rank": 1.0}
    failed.append(Result("with blur", 1, epochs=[flat]))
    audited = replace(about.audited, results=failed, skipped=("noise",))
    return report.write(tmp_path_factory.mktemp("report"), replace(about, audited=audited))


def test_the_page_needs_nothing_else_and_escapes(page):
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)
    assert "<script" not in text
    assert "<b>nothing</b>" not in text
    assert "with gray, seed 0: Lost: &lt;b&gt;nothing" in text
    assert "Nothing was trained for noise" in text
    assert re.search(r"collapsed in 1 run:.*with blur, seed 1<", text, re.DOTALL)
    assert "None" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_a_collapse_is_named_and_time_is_added_up_once_for_a_shared_run(about, tmp_path):
    last = {"epoch": 0.0, "loss": -1.0, "spread": 0.01, "directions": 5.0}
    runs = [Result(arm, 0, epochs=[{**last, "spread": spread}], folder="0-a") for arm, spread in
            (("full", 0.01), ("base", 0.8))]  # fmt: skip
    (tmp_path / "runs" / "0-a").mkdir(parents=True)
    (tmp_path / "runs" / "0-a" / "summary.json").write_text('{"minutes": 2.5, "draws": "batch"}')
    audited = replace(about.audited, results=runs, findings=[], recommended=None)
    answer = json.loads(record.record(replace(about, audited=audited), tmp_path))
    assert answer["collapsed"] == [{"arm": "full", "seed": 0}]
    assert answer["about"]["minutes of training, all runs"] == 2.5
    assert answer["about"]["draws"] == "batch"


def test_every_figure_is_there_as_png_and_svg(page):
    folder = page.parent / report.FIGURES
    assert {path.name for path in folder.iterdir()} == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    for name in FIGURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert ET.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")


def test_drawings_follow_the_page_s_colours(page):
    drawings = re.findall(r"<svg.*?</svg>", page.read_text(), flags=re.DOTALL)
    assert len(drawings) > 8
    for drawing in drawings:
        assert "var(--" in drawing
        assert not set(re.findall(r"#[0-9a-f]{6}\b", drawing)) - {"#ffffff"}


def test_json_has_the_agreed_keys(page):
    answer = json.loads((page.parent / report.RECORD).read_text())
    keys = {"invariance", "design", "probe", "target", "component", "layer", "effect", "low", "high", "unit", "margin"}
    assert all(keys | {"verdict", "held", "detectable"} <= set(row) for row in answer["verdicts"])
    assert {"arms", "recommended", "closed", "failed", "about", "skipped", "beside"} <= set(answer)
    assert list(answer["recommended"]) == ["shift", "hue"]
    assert answer["failed"] == [{"arm": "with gray", "seed": 0, "why": "Lost: <b>nothing</b> is left"}]


def test_scores_have_a_line_each(page):
    with (page.parent / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    arms = 9 * 5 + 3 * 5 + 1  # of the study, the recommended one's and what goes with it, and pixels
    assert len(lines) == arms * (3 + 3 + 4)
    one = next(line for line in lines if (line["arm"], line["seed"], line["role"]) == ("base", "2", "verdict"))
    assert (one["component"], one["metric"], one["layer"]) == ("x", "r2", "output")


def test_the_recommended_recipe_can_be_trained_on(page, about):
    assert Recipe.found(str(page.parent / record.RECIPE)) == about.audited.recommended.recipe
    command = record.pretraining(about, Path("report"))  # from where the audit ran
    assert "--recipe report/recommended.yaml" in command
    assert command.startswith("ssl-robot pretrain frames.h5 --out ")
    assert command.endswith("--camera wrist")


def test_remedies_are_a_part_of_the_command(about):
    arm = replace(about.audited.recommended, remedies=(Augself(of=("hue", "rotation")),))
    command = record.pretraining(replace(about, audited=replace(about.audited, recommended=arm)), Path())
    assert command.endswith("--remedies augself --augself.of hue rotation")


def test_an_audit_without_training_makes_sense_too(about, tmp_path):
    bound = [f for f in about.audited.findings if f.design == "potential"]
    beside = [r for r in about.audited.results if r.arm == "pixels"]
    audited = replace(about.audited, findings=bound, results=beside, recommended=None)
    text = report.write(tmp_path, replace(about, audited=audited)).read_text()
    assert "Nothing was trained" in text
    assert "Exact blindness to rotation would hurt" in text
    assert "How training went" not in text
    assert "recommended.yaml" not in text
    assert not (tmp_path / record.RECIPE).exists()
    assert {path.stem for path in (tmp_path / report.FIGURES).iterdir()} == {"effects-potential", "views"}


def test_encoders_that_were_there_already_have_a_page(about, tmp_path):
    bound = [f for f in about.audited.findings if f.design == "potential"]
    names = ("runs/a", "timm:b")
    given = [replace(f, encoder=name) for name in names for f in bound]
    asked = [replace(about.audited.results[0], arm=name, epochs=()) for name in names]
    audited = replace(about.audited, findings=given, results=asked, recommended=None, beside=names)
    text = report.write(tmp_path, replace(about, audited=audited)).read_text()
    assert "what exact blindness would take from runs/a and timm:b" in text
    assert "if exactly blind (timm:b)" in text
    assert "Did the encoders become invariant?" not in text
    assert "How invariant each encoder is" in text


def test_an_audit_of_which_every_run_failed_still_has_a_page(about, tmp_path):
    failed = [Result(arm, seed, failure="out of memory") for arm in ("full", "without hue") for seed in range(3)]
    audited = replace(about.audited, findings=[], results=failed, recommended=None, beside=())
    text = report.write(tmp_path, replace(about, audited=audited)).read_text()
    assert "There is no verdict" in text
    assert text.count("out of memory") == 6


class Browser:
    """A headless Chromium, spoken to through two pipes: no port, no package.

    Args:
        profile: Folder of its own.
    """

    def __init__(self, profile):
        theirs, ours = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs[0], ours[1])]  # out of the way of 3 and 4
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        command += ["--disable-background-networking", f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        shell = ["bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([*shell, *command], pass_fds=ends, **quiet)
        for end in (*ends, theirs[0], ours[1]):
            os.close(end)
        self.orders, self.answers = os.fdopen(theirs[1], "wb", buffering=0), os.fdopen(ours[0], "rb")
        self.count, self.rest, self.events, self.session = 0, b"", [], {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        self.count += 1
        order = {"id": self.count, "method": method, "params": params, **self.session}
        self.orders.write(json.dumps(order).encode() + b"\0")
        while (message := self._message()).get("id") != self.count:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def _message(self):
        while b"\0" not in self.rest:
            part = self.answers.read1(2**16)
            assert part, "chromium ended"
            self.rest += part
        first, _, self.rest = self.rest.partition(b"\0")
        return json.loads(first)

    def open(self, path, width, scheme):
        """What happened while the page was opened: names of events, and addresses that were asked for."""
        self.events.clear()
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())
        names = {event["method"] for event in self.events}
        asked = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return names, [address for address in asked if not address.startswith("data:")]

    def value(self, expression):
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def close(self):
        self.session = {}
        self("Browser.close")
        self.orders.close()
        self.answers.close()
        self.process.wait(20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_renders(page, browser, width, scheme):
    names, asked = browser.open(page, width, scheme)
    assert not names & {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
    assert asked == [page.as_uri()]
    assert browser.value("document.documentElement.scrollWidth") <= width
    ground, ink = browser.value(
        "(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))"
        ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765)"
    )
    assert abs(ground - ink) > 0.7  # black on white is 1
    assert (ground < 0.5) == (scheme == "dark")
    smallest = browser.value(
        "Math.min(...[...document.querySelectorAll('p, td, th, li, small')].filter(e => e.offsetParent)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 10
    widths = browser.value("[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)")
    assert min(widths) >= 280
    assert max(widths) <= width


@pytest.mark.browser
def test_the_answer_is_seen_without_scrolling(page, browser):
    browser.open(page, 400, "light")
    assert browser.value("document.querySelector('.headline').getBoundingClientRect().bottom") < 900


@pytest.mark.browser
def test_the_page_prints(page, browser):
    browser.open(page, 1400, "dark")
    browser("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    pdf = base64.b64decode(browser("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 20
