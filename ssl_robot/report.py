"""From findings to one page: what each invariance cost, in words, in a table and in a picture."""

import base64
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ssl_robot import config, plots
from ssl_robot.audit import Audited
from ssl_robot.auditing import remedy
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.frames import Frames
from ssl_robot.probes import Score
from ssl_robot.recipes import name_of
from ssl_robot.splits import split

_WORDS = {"hurts": "hurts", "helps": "helps", "negligible": "does not matter", "no_evidence": "no evidence"}


RECORD, PAGE = "report.json", "report.html"


@dataclass(frozen=True)
class About:
    """What was audited.

    Attributes:
        audited: What came out.
        frames: Frames pre-trained on.
        probed: Frames the probe read.
        command: What makes the page again.
    """

    audited: Audited
    frames: Frames
    probed: Frames
    command: str


def write(out: Path, about: About) -> Path:
    """Write ``report.html``, ``report.json`` and ``scores.csv``, and the plots as PNG.

    Args:
        out: Folder, which exists.
        about: What was audited, and what came out.

    Returns:
        Path of the page.
    """
    audited = about.audited
    found = audited.findings
    (out / "scores.csv").write_text(_csv(audited))
    (out / RECORD).write_text(json.dumps(_json(about), indent=1))
    figures: dict[str, bytes] = {
        design: plots.effects([f for f in found if f.design == design and f.role == "verdict"])
        for design in dict.fromkeys(f.design for f in found)
    }
    pictures: dict[str, bytes] = {"views": plots.views(about.probed, audited.study.asked), **figures}
    for name, picture in pictures.items():
        (out / f"{name}.png").write_bytes(picture)
    page = _page(about, {name: base64.b64encode(data).decode() for name, data in pictures.items()})
    path = out / PAGE
    path.write_text(page)
    return path


def summary(found: Sequence[Finding]) -> str:
    """The answer in words: a sentence per invariance and design, from what was measured."""
    lines = []
    for name in dict.fromkeys(f.invariance for f in found):
        for design in dict.fromkeys(f.design for f in found):
            rows = [f for f in found if (f.design, f.invariance, f.role) == (design, name, "verdict")]
            if rows:  # none where a run failed
                lines.append(_sentence(design, name, rows))
    return "\n".join(lines)


def headline(found: Sequence[Finding]) -> str:
    """The answer in one line, from the strongest evidence there is: trained encoders where there are any."""
    design = found[-1].design
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(f.invariance for f in found if f.design == design):
        rows = [f for f in found if (f.design, f.invariance, f.role) == (design, name, "verdict")]
        groups.setdefault(_overall({row.verdict for row in rows}), []).append(name)
    starts = {
        "hurts": "Could hurt" if design == "potential" else "Hurts",
        "helps": "Could help" if design == "potential" else "Helps",
        "negligible": "Does not matter",
        "no_evidence": "No clear effect",
    }
    return " ".join(f"{start}: {', '.join(groups[verdict])}." for verdict, start in starts.items() if verdict in groups)


def _overall(verdicts: set[str]) -> str:
    """One word for an invariance: harm to one component outweighs gains in others."""
    for verdict in ("hurts", "helps", "no_evidence"):
        if verdict in verdicts:
            return verdict
    return "negligible"


def _sentence(design: str, name: str, rows: list[Finding]) -> str:
    start = f"An encoder exactly blind to {name}" if design == "potential" else f"Training with {name}"
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        verdict = row.verdict if row.held else "floor"
        by_verdict.setdefault(verdict, []).append(_effect(row) if verdict in ("hurts", "helps") else row.what)
    verbs = {
        "hurts": "cost" if design != "potential" else "would cost",
        "helps": "gained" if design != "potential" else "would even gain",
        "negligible": "left unharmed" if design != "potential" else "would leave unharmed",
        "no_evidence": "showed no clear effect on",
        "floor": "could not take what the encoder never held:",
    }
    parts = [f"{verb} {', '.join(by_verdict[v])}" for v, verb in verbs.items() if v in by_verdict]
    return f"{start} {'; '.join(parts)}."


def _effect(row: Finding) -> str:
    if row.metric == "r2":
        return f"{row.what} (R2 {row.without:.2f} to {row.having:.2f})"
    return f"{row.what} ({row.without:.0f} to {row.having:.0f} {row.unit})"


def _csv(audited: Audited) -> str:
    """A line for each score of each arm and seed."""
    names = [item.name for item in fields(Score) if item.name != "resampled"]
    lines = [["arm", "seed", "probe", "role", "part", *names]]
    for result in audited.results:
        for question in audited.questions:
            for score in result.answers.get(question.key, ()):
                asked = (result.arm, result.seed, question.name, question.role, question.part)
                lines.append([str(value) for value in (*asked, *(getattr(score, name) for name in names))])
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def _json(about: About) -> dict[str, Any]:
    audited = about.audited
    arms = [*audited.study.arms().values(), *([audited.recommended] if audited.recommended else [])]
    return {
        "verdicts": [vars(finding) for finding in audited.findings],
        "arms": [
            {
                "name": arm.name,
                "recipe": arm.recipe.as_dict(),
                "remedies": {name_of(item): config.plain(item) for item in arm.remedies},
                "runs": [r.folder for r in audited.results if r.arm == arm.name and r.folder],
            }
            for arm in arms
        ],
        "recommended": audited.recommended.recipe.as_dict() if audited.recommended else {},
        "closed": _closed(audited),
        "failed": [{"arm": r.arm, "seed": r.seed, "why": r.failure} for r in audited.results if r.failure],
        "about": _facts(about),
    }


def _closed(audited: Audited) -> dict[str, float]:
    return remedy.closed(audited.findings, audited.results, audited.study.start)


def _facts(about: About) -> dict[str, Any]:
    study, parts = about.audited.study, split(about.probed)
    return {
        "command": about.command,
        "frames to pre-train on": len(about.frames),
        "probe frames: training + validation + test": " + ".join(
            str(len(rows)) for rows in (parts.train, parts.validation, parts.test)
        ),
        "fingerprints": f"{about.frames.fingerprint}, {about.probed.fingerprint}",
        "seeds": study.seeds,
        "design": study.design.replace("_", " "),
        "full recipe": config.plain(study.recipe.as_dict()),
        "plain recipe": config.plain(study.base.as_dict()),
        "method": config.plain(study.method),
        "backbone": study.backbone,
        "training": config.plain(study.training),
        **config.surroundings(),
    }


def _page(about: About, pictures: dict[str, str]) -> str:
    audited = about.audited
    names = list(dict.fromkeys(f.invariance for f in audited.findings))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ssl_robot"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("report.html").render(
        headline=headline(audited.findings),
        sentences=summary(audited.findings).splitlines(),
        found=sorted(audited.findings, key=lambda f: (f.role != "verdict", names.index(f.invariance))),
        designs=list(dict.fromkeys(f.design for f in audited.findings)),
        words=_WORDS,
        baselines=_baselines(audited),
        failed=[r for r in audited.results if r.failure],
        pictures=pictures,
        facts=_facts(about),
        recommended=audited.recommended.recipe.as_dict() if audited.recommended else {},
        trained=audited.recommended is not None,
    )


def _baselines(audited: Audited) -> list[dict[str, Any]]:
    """Mean test score of every arm, for the table at the end of the page."""
    rows = []
    decisive = [question for question in audited.questions if question.role == "verdict"]
    for arm in dict.fromkeys(result.arm for result in audited.results if not result.failure):
        runs = [result for result in audited.results if result.arm == arm and not result.failure]
        cells = []
        for question in decisive:
            scores = [run.answers[question.key] for run in runs if question.key in run.answers]
            for i, s in enumerate(scores[0] if scores else ()):
                name = f"{s.target} {s.component} {'R2' if s.metric == 'r2' else s.unit or s.metric}"
                cells.append({"name": name, "value": float(np.mean([run[i].value for run in scores]))})
        rows.append({"arm": arm, "seeds": len(runs), "cells": cells})
    return rows
