"""From findings to one page: what each invariance cost, in words, in a table and in a picture."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ssl_robot import config, plots
from ssl_robot.audit import Result, Study
from ssl_robot.frames import Frames
from ssl_robot.probes import Score
from ssl_robot.recipes import Recipe
from ssl_robot.splits import split
from ssl_robot.verdicts import Finding

_WORDS = {"hurts": "hurts", "helps": "helps", "negligible": "does not matter", "no_evidence": "no evidence"}


@dataclass(frozen=True)
class About:
    """What was audited.

    Attributes:
        study: What was compared.
        frames: Frames pre-trained on.
        probed: Frames the probe read.
        design: How arms differ; empty if only potential harm was asked for.
    """

    study: Study
    frames: Frames
    probed: Frames
    design: str


def write(out: Path, about: About, found: Sequence[Finding], results: Sequence[Result]) -> Path:
    """Write ``report.html``, ``report.json`` and ``scores.csv``, and the plots as PNG.

    Args:
        out: Folder, which exists.
        about: What was audited.
        found: Verdicts.
        results: Scores behind them; failed runs are named on the page.

    Returns:
        Path of the page.
    """
    (out / "scores.csv").write_text(_csv(results))
    (out / "report.json").write_text(json.dumps(_json(about, found, results), indent=1))
    figures: dict[str, bytes] = {
        design: plots.effects([f for f in found if f.design == design and f.layer == "output"])
        for design in dict.fromkeys(f.design for f in found)
    }
    pictures: dict[str, bytes] = {"views": plots.views(about.probed, about.study.asked()), **figures}
    for name, picture in pictures.items():
        (out / f"{name}.png").write_bytes(picture)
    page = _page(about, found, results, {name: base64.b64encode(data).decode() for name, data in pictures.items()})
    path = out / "report.html"
    path.write_text(page)
    return path


def summary(found: Sequence[Finding]) -> str:
    """The answer in words: a sentence per invariance and design, from what was measured."""
    lines = []
    for name in dict.fromkeys(f.invariance for f in found):
        for design in dict.fromkeys(f.design for f in found):
            rows = [f for f in found if (f.design, f.invariance, f.layer) == (design, name, "output")]
            if rows:  # none where a run failed
                lines.append(_sentence(design, name, rows))
    return "\n".join(lines)


def headline(found: Sequence[Finding]) -> str:
    """The answer in one line, from the strongest evidence there is: trained encoders where there are any."""
    design = found[-1].design
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(f.invariance for f in found if f.design == design):
        rows = [f for f in found if (f.design, f.invariance, f.layer) == (design, name, "output")]
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


def _csv(results: Sequence[Result]) -> str:
    lines = ["arm,seed,layer,target,component,metric,unit,value,low,high,n,chance"]
    for result in results:
        for layer, scores in result.scores.items():
            lines += [",".join(map(str, (result.arm, result.seed, layer, *_cells(score)))) for score in scores]
    return "\n".join(lines) + "\n"


def _cells(score: Score) -> tuple[Any, ...]:
    return tuple(value for name, value in vars(score).items() if name != "resampled")


def _json(about: About, found: Sequence[Finding], results: Sequence[Result]) -> dict[str, Any]:
    return {
        "verdicts": [vars(finding) for finding in found],
        "arms": [{"name": n, "recipe": r.as_dict()} for n, r in about.study.arms().items()] if about.design else [],
        "recommended": recommended(about.study, found).as_dict(),
        "failed": [{"arm": r.arm, "seed": r.seed, "why": r.failure} for r in results if r.failure],
        "about": _facts(about),
    }


def recommended(study: Study, found: Sequence[Finding]) -> Recipe:
    """The recipe with what helped some component and hurt none, and without what hurt any.

    What neither helped nor hurt stays as it was in the recipe that the study began with.
    """
    recipe = study.recipe
    for name, item in zip(study.invariances, study.asked().invariances, strict=True):
        verdicts = {f.verdict for f in found if (f.invariance, f.layer) == (name, "output") and f.design != "potential"}
        if "hurts" in verdicts and name in recipe.names:
            recipe = recipe.without(name)
        elif "helps" in verdicts and "hurts" not in verdicts and name not in recipe.names:
            recipe = recipe.having(name, **vars(item))
    return recipe


def _facts(about: About) -> dict[str, Any]:
    parts = split(about.probed)
    return {
        "frames to pre-train on": len(about.frames),
        "probe frames: training + validation + test": " + ".join(
            str(len(rows)) for rows in (parts.train, parts.validation, parts.test)
        ),
        "fingerprints": f"{about.frames.fingerprint}, {about.probed.fingerprint}",
        "seeds": about.study.seeds if about.design else "one random network, no training",
        "design": about.design.replace("_", " ") or "potential harm only",
        "recipe to start from": config.plain(about.study.recipe.as_dict()),
        "method": config.plain(about.study.method) if about.design else "none",
        "backbone": about.study.backbone if about.design else "none",
        "training": config.plain(about.study.training) if about.design else "none",
        **config.surroundings(),
    }


def _page(about: About, found: Sequence[Finding], results: Sequence[Result], pictures: dict[str, str]) -> str:
    names = list(dict.fromkeys(f.invariance for f in found))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ssl_robot"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("report.html").render(
        headline=headline(found),
        sentences=summary(found).splitlines(),
        found=sorted(found, key=lambda f: (f.layer != "output", names.index(f.invariance))),
        designs=list(dict.fromkeys(f.design for f in found)),
        words=_WORDS,
        baselines=_baselines(results),
        failed=[r for r in results if r.failure],
        pictures=pictures,
        facts=_facts(about),
        recommended=recommended(about.study, found).as_dict() if about.design else {},
        trained=bool(about.design),
    )


def _baselines(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Mean test score of every arm on the vector, for the table at the end of the page."""
    rows = []
    for arm in dict.fromkeys(result.arm for result in results if not result.failure):
        runs = [result.scores["output"] for result in results if result.arm == arm and not result.failure]
        cells = [
            {
                "name": f"{s.target} {s.component} {'R2' if s.metric == 'r2' else s.unit or 'error'}",
                "value": float(np.mean(values)),
            }
            for s, values in ((runs[0][i], [run[i].value for run in runs]) for i in range(len(runs[0])))
        ]
        rows.append({"arm": arm, "seeds": len(runs), "cells": cells})
    return rows
