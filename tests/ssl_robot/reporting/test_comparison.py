"""Two reports side by side."""

import json
from dataclasses import replace

import pytest

from ssl_robot.errors import InputError
from ssl_robot.experiments import cli
from ssl_robot.reporting import comparison, record


def row(name="flip", verdict="hurts", **changes):
    base = {
        "invariance": name, "design": "leave_one_out", "probe": "pose", "target": "poses/block", "component": "x",
        "layer": "output", "role": "verdict", "metric": "r2", "effect": -0.4, "low": -0.5, "high": -0.3, "unit": "R2",
        "margin": 0.05, "verdict": verdict, "held": True,
    }  # fmt: skip
    return {**base, **changes}


def paired(first, second):
    return comparison.pairs({"verdicts": first}, {"verdicts": second})


@pytest.mark.parametrize(
    ("one", "other", "relation"),
    [
        (row(), row(effect=-0.1), "same"),
        (row(), row(verdict="helps"), "opposite"),
        (row(), row(verdict="negligible"), "differs"),
        (row(verdict="no_evidence"), row(verdict="no_evidence", held=False), "differs"),
    ],
)
def test_relations(one, other, relation):
    assert [pair.relation for pair in paired([one], [other])] == [relation]


def test_rows_of_one_audit_alone_are_shown_as_such():
    found = paired([row(), row("hue")], [row("hue"), row("gray")])
    assert [(pair.invariance, pair.relation) for pair in found] == [
        ("flip", "only first"), ("hue", "same"), ("gray", "only second"),
    ]  # fmt: skip
    assert comparison.summary(found) == (
        "The audits agree on 1 of the 1 verdicts that both are sure of; 1 are only in the first and 1 are only in the "
        "second."
    )
    assert "not asked" in comparison.table(found)[1]


def test_only_what_decides_is_compared_and_strengths_are_kept_apart():
    sweep = [row(design="sweep", dose=dose) for dose in (10.0, 90.0)]
    found = paired([row(), row(role="sensitivity"), *sweep], [row(), *sweep])
    assert [(pair.design, pair.dose) for pair in found] == [("leave_one_out", None), ("sweep", 10.0), ("sweep", 90.0)]


def test_reports_without_roles_are_read_as_they_were_meant():
    older = [{k: v for k, v in row(layer=layer).items() if k != "role"} for layer in ("output", "map")]
    assert len(paired(older, [row()])) == 1


def test_several_blind_encoders_are_compared_in_their_order():
    first = [row(design="potential", encoder=name, verdict=v) for name, v in (("a", "hurts"), ("b", "helps"))]
    assert [pair.relation for pair in paired(first, first)] == ["same", "same"]


def test_that_neither_saw_anything_is_no_agreement():
    unseen, never = row("crop", "no_evidence"), row("time", "no_evidence", held=False)
    first = [row(), row("hue"), row("gray"), row("blur", "negligible"), unseen, never]
    second = [row(), row("hue", "helps"), row("gray", "no_evidence"), row("blur", "negligible"), unseen, never]
    assert comparison.summary(paired(first, second)) == (
        "The audits agree on 2 of the 3 verdicts that both are sure of; on 1 one says hurts and the other helps; of 1 "
        "only one is sure; of 2 neither is."
    )
    assert comparison.summary(paired([unseen], [unseen])) == (
        "There is no verdict that both audits are sure of; of 1 neither is."
    )


def test_nothing_in_common_is_said():
    assert comparison.summary(paired([row()], [])) == "The audits have no verdict in common: 1 are only in the first."
    assert "both are empty" in comparison.summary([])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "holds no JSON"),
        ("[]", "no report"),
        ("{}", "no report"),
        ('{"verdicts": [1]}', "no report"),
        ('{"verdicts": [{"invariance": "flip"}]}', "no report"),
        (json.dumps({"verdicts": [row(effect="much")]}), "no report"),
        (json.dumps({"verdicts": [row(effect=float("nan"))]}), "no report"),
        (json.dumps({"verdicts": [row(verdict=["hurts"])]}), "no report"),
        (json.dumps({"verdicts": [row(held="yes")]}), "no report"),
        (json.dumps({"verdicts": [row(dose=[10])]}), "no report"),
        (json.dumps({"verdicts": [row(metric={})]}), "no report"),
        (json.dumps({"verdicts": [row(margin="wide")]}), "no report"),
        (json.dumps({"verdicts": [row(invariance=None)]}), "no report"),
        (json.dumps({"verdicts": [row()], "about": [1]}), "no report"),
    ],
)
def test_bad_reports_are_one_sentence(tmp_path, text, says):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=says):
        comparison.read(tmp_path)


def test_a_missing_report_is_one_sentence(capsys, tmp_path):
    assert cli.main(["compare", str(tmp_path), str(tmp_path / "nowhere.json")]) == cli.USAGE
    message = capsys.readouterr().err.strip()
    assert message.startswith("ssl-robot: There is no report at")
    assert len(message.splitlines()) == 1


def test_the_command_tells_and_prints_json(capsys, tmp_path, about, made):
    other = replace(about, audited=made(findings=[replace(f, effect=float("nan")) for f in made().findings[:6]]))
    for name, one in (("a", about), ("b", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(record.record(one, tmp_path))
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b" / "report.json")]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    sure = sum(f.verdict != "no_evidence" and f.held for f in made().findings[:6])
    assert f"The audits agree on {sure} of the {sure} verdicts that both are sure of" in shown
    assert "not alike" not in shown
    assert cli.main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"summary", "differences", "verdicts"}
    assert {"invariance", "design", "target", "component", "first", "second", "relation"} <= set(answer["verdicts"][0])
    assert answer["verdicts"][0]["second"]["effect"] is None
