"""Tables on an audit whose answers are written by hand: tests/ssl_robot/reporting/conftest.py."""

import statistics
from dataclasses import replace

import pytest

from ssl_robot.auditing.runs import Result
from ssl_robot.reporting import mechanism, tables


def test_possible_and_actual_harm_stand_beside_each_other(audited):
    matrix = tables.matrix([f for f in audited.findings if f.role == "verdict"])
    assert matrix.columns == [("block x", "R²"), ("block angle", "error, °")]
    rotation, hue = matrix.blocks
    assert [line.how for line in rotation] == ["if exactly blind", "in the full recipe", "added to the plain recipe"]
    assert {line.name for line in rotation} == {"rotation"}
    assert [[cell.verdict for cell in line.cells] for line in rotation] == [["would hurt"] * 2, *[["hurts"] * 2] * 2]
    assert [[cell.kind for cell in line.cells] for line in hue] == [
        ["negligible"] * 2, ["negligible"] * 2, ["helps"] * 2,
    ]  # fmt: skip
    cell = rotation[1].cells[0]
    assert cell.effect.startswith("−0.4")
    assert cell.users == "12.0 → 31.0 mm"


def test_what_one_was_not_asked_is_an_empty_cell(audited):
    rows = [f for f in audited.findings if f.role == "verdict" and f.design == "leave_one_out"]
    matrix = tables.matrix([f for f in rows if (f.invariance, f.component) != ("hue", "x")])
    assert [cell is None for cell in matrix.blocks[1][0].cells] == [True, False]


def test_details_name_layer_head_and_what_could_have_been_seen(audited):
    rows = tables.details([f for f in audited.findings if f.design == "leave_one_out" and f.role == "verdict"])
    assert [(row.name, row.what) for row in rows] == [
        ("rotation", "block x"), ("rotation", "block angle"), ("hue", "block x"), ("hue", "block angle"),
    ]  # fmt: skip
    assert {row.read for row in rows} == {"output, kernel"}
    assert rows[1].detectable.endswith("°")
    assert 0 < float(rows[1].detectable.rstrip("°")) < 5


def test_what_was_never_held_is_said(audited):
    found = next(f for f in audited.findings if f.design == "leave_one_out")
    row = tables.details([replace(found, held=False, verdict="no_evidence")])[0]
    assert row.cell.verdict == "the encoder never held it"


def test_arms_have_means_spreads_and_the_recommended_one_is_last_with_its_proof(audited):
    columns, rows = tables.arms(audited)
    assert columns == [("block x", "R²"), ("block x", "error, mm"), ("block angle", "error, °")]
    assert rows[-1].name == "recommended"
    assert rows[-1].proof[0].startswith("not inferior; closes ")
    assert 90 <= float(rows[-1].proof[0].split()[3].rstrip("%")) <= 110
    table = {row.name: row for row in rows}
    assert table["full"].cells[0].startswith("0.50 ± 0.0")
    assert (table["pixels"].seeds, table["full"].seeds, table["recommended"].seeds) == (1, 10, 5)
    assert "±" not in table["pixels"].cells[0]
    assert "ceiling" not in table["pixels"].note


def test_an_arm_without_any_answer_has_no_row(made):
    results = [*made().results, Result("state", 0, failure="it has no state")]
    assert "state" not in [row.name for row in tables.arms(made(results=results))[1]]


def test_other_readings_are_named_only_where_they_are_sure_of_something_else(made, audited):
    found = tables.sensitivity(audited.findings)
    assert found.readings == ["output, kernel", "map, kernel"]
    assert len(found.rows) == len([f for f in audited.findings if f.role == "verdict" and f.design != "potential"])
    assert [odd for *_, cells in found.rows for _, odd in cells[:1]] == [False] * len(found.rows)
    changed = [replace(f, verdict="no_evidence") if f.role == "sensitivity" else f for f in audited.findings]
    assert (tables.sensitivity(changed).other, tables.sensitivity(changed).many) == (0, len(found.rows))


@pytest.mark.parametrize(("verdict", "opposite"), [("negligible", 0), ("helps", 1)])
def test_the_opposite_is_named(audited, verdict, opposite):
    found = [replace(f, verdict="no_evidence") if f.role == "sensitivity" else f for f in audited.findings]
    place = ("rotation", "leave_one_out", "x", "sensitivity")
    at = next(i for i, f in enumerate(found) if (f.invariance, f.design, f.component, f.role) == place)
    found[at] = replace(found[at], verdict=verdict, held=True)
    said = tables.sensitivity(found)
    assert (said.other, [odd for _, odd in said.rows[0][3]]) == (1, [False, True])
    assert list(said.opposite) == ["rotation in the full recipe, block x: helps (map, kernel)"] * opposite


def test_without_other_readings_there_is_no_table(audited):
    assert tables.sensitivity([f for f in audited.findings if f.role == "verdict"]).rows == []


def test_learnt_invariance_beside_harm(audited):
    points = {(point.name, point.how): point for point in mechanism.learnt(audited)}
    assert set(points) == {
        (name, how) for name in ("rotation", "hue") for how in ("in the full recipe", "added to the plain recipe")
    }
    full = points["rotation", "in the full recipe"]
    assert full.became == pytest.approx(0.6)
    assert full.harm == pytest.approx(0.4, abs=0.05)
    assert full.readable == pytest.approx((0.8, 0.2))
    assert full.cells[2:4] == ("0.20 → 0.80", "0.80 → 0.20")
    assert points["hue", "in the full recipe"].became == pytest.approx(0)


def test_the_worst_component_is_one_that_was_held(made):
    place = ("rotation", "leave_one_out", "x")
    found = [replace(f, held=False) if (f.invariance, f.design, f.component) == place else f for f in made().findings]
    points = mechanism.learnt(made(findings=found))
    assert not points[0].worst.held  # the only one with an R2: shown hollow


def test_encoders_that_were_not_asked_how_invariant_they_are_are_left_out(audited, made):
    assert [name for name, _ in mechanism.encoders(audited)][:2] == ["full", "without rotation"]
    asked = [q for q in made().questions if q.role != "mechanism"]
    assert mechanism.encoders(made(questions=asked)) == []
    assert mechanism.learnt(made(questions=asked)) == []


def test_a_recommended_recipe_that_is_not_shown_to_be_as_good_has_no_proof(audited):
    found = [replace(f, safe=f.component != "x") if f.design == "remedy" else f for f in audited.findings]
    columns, rows = tables.arms(replace(audited, findings=found))
    proof = dict(zip(columns, rows[-1].proof, strict=True))
    assert proof["block x", "R²"].startswith("not shown to be as good")
    assert proof["block angle", "error, °"].startswith("not inferior")


def test_details_tell_what_is_read_without_with_and_for_nothing(audited):
    found = next(f for f in audited.findings if f.design == "leave_one_out")
    [row] = tables.details([replace(found, without=0.9, having=0.5, nothing=0.2)])
    assert (row.without, row.having, row.nothing) == ("0.90", "0.50", "0.20")


def test_the_spread_is_that_of_seeds_drawn_from_many(audited):
    key, values = audited.questions[0].key, [0.2, 0.5, 0.9]
    results = [r for r in audited.results if r.arm != "full"]
    known = next(r for r in audited.results if r.arm == "full").answers[key][0]
    results += [Result("full", seed, {key: [replace(known, value=v)]}) for seed, v in enumerate(values)]
    _, rows = tables.arms(replace(audited, results=results))
    row = next(row for row in rows if row.name == "full")
    assert row.cells[0] == f"0.53 ± {statistics.stdev(values):.2f}"
    assert row.seeds == 3


@pytest.mark.parametrize(("effect", "worst"), [(-0.1, "x"), (-0.9, "y")])
def test_the_worst_component_is_the_one_that_lost_most(audited, effect, worst):
    place = ("rotation", "leave_one_out", "x", "verdict")
    known = next(f for f in audited.findings if (f.invariance, f.design, f.component, f.role) == place)
    found = [*audited.findings, replace(known, component="y", effect=effect)]
    points = mechanism.learnt(replace(audited, findings=found))
    assert (points[0].name, points[0].worst.component) == ("rotation", worst)
