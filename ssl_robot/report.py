"""From an audit to one page and its files: see ``reporting/`` for what they say."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import yaml

from ssl_robot import config
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.reporting import figures, mechanism, record, tables, views, words
from ssl_robot.reporting.answer import answer
from ssl_robot.reporting.gallery import Gallery, gallery
from ssl_robot.reporting.record import About
from ssl_robot.reporting.words import summary

__all__ = ["FIGURES", "PAGE", "RECORD", "About", "answer", "summary", "write"]

RECORD, PAGE, FIGURES = "report.json", "report.html", "figures"


def write(out: Path, about: About) -> Path:
    """Write the page, ``report.json``, ``scores.csv``, the recommended recipe, and every figure as PNG and SVG.

    Args:
        out: Folder, which exists.
        about: What was audited, and what came out.

    Returns:
        Path of the page.
    """
    audited = about.audited
    examples = views.examples(about.probed, audited.study.asked)
    drawn = gallery(audited, examples)
    texts = {"scores.csv": record.scores(audited), RECORD: record.record(about, out)}
    texts[PAGE] = _page(about, out, drawn, examples)  # the last thing that may fail
    if audited.recommended is not None:
        config.write_yaml(out / record.RECIPE, audited.recommended.recipe.as_dict())
    (out / FIGURES).mkdir(exist_ok=True)
    for name, figure in drawn.files.items():
        (out / FIGURES / f"{name}.png").write_bytes(figures.png(figure))
        (out / FIGURES / f"{name}.svg").write_text(figures.svg(figure, name))
    for name, text in texts.items():
        (out / name).write_text(text)
    return out / PAGE


def _page(about: About, out: Path, drawn: Gallery, examples: Sequence[views.Example]) -> str:
    audited = about.audited
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ssl_robot"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    decide = [f for f in audited.findings if f.role == "verdict"]
    columns, arms = tables.arms(audited)
    return environment.get_template("report.html").render(
        answer=answer(audited),
        sentences=words.summary(decide).splitlines(),
        matrix=tables.matrix(decide),
        details={design: tables.details(_of(decide, design)) for design in tables.designs(decide)},
        sensitivity=tables.sensitivity(audited.findings),
        learnt=mechanism.learnt(audited),
        encoders=mechanism.encoders(audited),
        asked=audited.study.asked.names,
        columns=columns,
        arms=arms,
        examples=examples,
        panels=drawn.panels,
        cut=drawn.cut,
        failed=[r for r in audited.results if r.failure],
        collapsed=record.collapsed(audited),
        recipe=_recipe(about),
        pretraining=record.pretraining(about, out),
        facts=record.facts(about, out),
    )


def _of(found: Sequence[Finding], design: str) -> list[Finding]:
    return [f for f in found if f.design == design]


def _recipe(about: About) -> str:
    """The recommended recipe, an invariance a line, as it may be written by hand."""
    arm = about.audited.recommended
    record_of = arm.recipe.as_dict() if arm is not None else {}
    lines = [yaml.safe_dump({name: of}, default_flow_style=None, width=10_000) for name, of in record_of.items()]
    return "".join(lines)
