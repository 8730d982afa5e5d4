"""What two audits do not share is told beside their verdicts."""

import json

import pytest

from ssl_robot.experiments import cli
from ssl_robot.reporting.differences import Difference, differences, told

ABOUT = {
    "command": "ssl-robot audit a.h5 --out a", "minutes of training, all runs": 3.0, "seeds": 5, "fingerprints": "a, b",
    "full recipe": {"shift": {"p": 1.0}, "hue": {"p": 1.0}}, "method": {"name": "simsiam", "width": 128},
    "training": {"epochs": 6, "clip": None},
}  # fmt: skip
ROW = {
    "invariance": "flip", "design": "leave_one_out", "probe": "pose", "target": "poses/block", "component": "x",
    "layer": "output", "effect": -0.4, "low": -0.5, "high": -0.3, "verdict": "hurts", "held": True, "unit": "R2",
    "margin": 0.05,
}  # fmt: skip


def report(row=None, **about):
    return {"verdicts": [{**ROW, **(row or {})}], "about": {**ABOUT, **about}}


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (report(command="ssl-robot audit b.h5 --out b", **{"minutes of training, all runs": 9.0}), []),
        (report(seeds=3), [("seeds", "5", "3")]),
        (report(fingerprints="a, c"), [("fingerprints", "a, b", "a, c")]),
        (report(training={"epochs": 6, "clip": 1.0}), [("training: clip", "–", "1.0")]),
        (report(method={"name": "simclr", "hidden": 9}), [("method", "width", "hidden"),
                                                         ("method: name", "simsiam", "simclr")]),
        (report(**{"full recipe": {"hue": {"p": 1.0}, "shift": {"p": 1.0}}}),
         [("full recipe", "shift, hue", "hue, shift")]),
        (report(**{"full recipe": {"shift": {"p": 0.5}}}),
         [("full recipe", "hue", "–"), ("full recipe: shift: p", "1.0", "0.5")]),
        (report({"margin": 0.1}), [("margin of R2", "0.05", "0.1")]),
        (report({"margin": 3.0, "unit": "deg"}), []),
        (report() | {"failed": [{"arm": "full", "seed": 2, "why": "killed"}]}, [("failed", "–", "full 2")]),
        (report() | {"arms": [{"name": "full", "runs": ["10-ab", "9-cd"]}]}, [("pre-training seeds", "–", "9, 10")]),
        (report() | {"arms": 1, "failed": [3]}, []),
        (report() | {"arms": [{"runs": 3}, 3]}, []),
    ],
)  # fmt: skip
def test_what_is_not_alike_is_found_by_name(other, found):
    assert differences(report(), report()) == []
    assert differences(report(), other) == [Difference(*one) for one in found]
    assert differences(other, report()) == [Difference(what, b, a) for what, a, b in found]


def test_older_reports_tell_nothing_of_themselves():
    older = {"verdicts": [{name: value for name, value in ROW.items() if name != "margin"}]}
    assert differences(older, older) == []
    assert Difference("seeds", "5", "–") in differences(report(), older)


def test_the_command_prints_it_before_the_verdicts(tmp_path, capsys):
    for name, one in (("a.json", report()), ("b.json", report({"margin": 0.1}, seeds=3))):
        (tmp_path / name).write_text(json.dumps(one))
    words = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    lines = told([Difference("seeds", "5", "3"), Difference("margin of R2", "0.05", "0.1")])
    assert "\n".join(lines) in shown
    assert shown.index("margin of R2") < shown.index("leave one out")
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"][0] == {"what": "seeds", "first": "5", "second": "3"}
