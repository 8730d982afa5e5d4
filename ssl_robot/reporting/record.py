"""What programs read: ``report.json``, ``scores.csv`` and the recommended recipe."""

import csv
import io
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ssl_robot import config
from ssl_robot.audit import Audited
from ssl_robot.auditing import remedy
from ssl_robot.auditing.runs import RUNS, Result
from ssl_robot.frames import Frames
from ssl_robot.probes import Score
from ssl_robot.recipes import name_of
from ssl_robot.records import SUMMARY
from ssl_robot.splits import split

RECIPE = "recommended.yaml"


@dataclass(frozen=True)
class About:
    """What was audited.

    Attributes:
        audited: What came out.
        frames: Recording to pre-train on.
        probed: Frames the probe read.
        command: What makes the page again.
        learnt: How many frames of the recording were pre-trained on: none that probes are examined on.
    """

    audited: Audited
    frames: Frames
    probed: Frames
    command: str
    learnt: int


def scores(audited: Audited) -> str:
    """A line for each score of each arm and pre-training seed, as CSV; the probe's own seed has a column too."""
    names = [item.name for item in fields(Score) if item.name != "resampled"]
    shown = ["probe_seed" if name == "seed" else name for name in names]
    lines = [["arm", "seed", "probe", "role", "part", *shown]]
    for result in audited.results:
        for question in audited.questions:
            for score in result.answers.get(question.key, ()):
                asked = (result.arm, result.seed, question.name, question.role, question.part)
                lines.append([str(value) for value in (*asked, *(getattr(score, name) for name in names))])
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def record(about: About, out: Path) -> str:
    """Everything, as JSON; what is not a number is null.

    Args:
        about: What was audited.
        out: Folder of the audit and its runs.
    """
    audited = about.audited
    closed = remedy.closed(audited.findings, audited.results, audited.questions, audited.study)
    arms = [*(audited.study.arms().values() if audited.trained else ()), audited.recommended]
    found = {
        "verdicts": [vars(finding) for finding in audited.findings],
        "arms": [
            {
                "name": arm.name,
                "recipe": arm.recipe.as_dict(),
                "remedies": {name_of(item): config.plain(item) for item in arm.remedies},
                "runs": [r.folder for r in audited.results if r.arm == arm.name and r.folder],
            }
            for arm in arms
            if arm is not None
        ],
        "recommended": audited.recommended.recipe.as_dict() if audited.recommended else {},
        "closed": {" ".join(part for part in place if part): share for place, share in closed.items()},
        "failed": [{"arm": r.arm, "seed": r.seed, "why": r.failure} for r in audited.results if r.failure],
        "skipped": list(audited.skipped),
        "beside": list(audited.beside),
        "collapsed": [{"arm": r.arm, "seed": r.seed} for r in collapsed(audited)],
        "about": facts(about, out),
    }
    return json.dumps(_finite(found), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def collapsed(audited: Audited) -> list[Result]:
    """Runs that ended with nearly the same embedding, or its opposite, for all frames."""
    return [result for result in audited.results if result.collapsed]


def facts(about: About, out: Path) -> dict[str, Any]:
    """What was run, on what, for how long, with which versions."""
    parts = split(about.probed)
    return {
        "command": about.command,
        "probe frames: training + validation + test": " + ".join(
            str(len(rows)) for rows in (parts.train, parts.validation, parts.test)
        ),
        "fingerprints": f"{about.frames.fingerprint}, {about.probed.fingerprint}",
        **(_studied(about, out) if about.audited.trained else {}),
        **config.surroundings(),
    }


def _studied(about: About, out: Path) -> dict[str, Any]:
    """What was trained, and how."""
    study = about.audited.study
    told = _summaries(about.audited, out)
    return {
        "frames pre-trained on": f"{about.learnt} of {len(about.frames)}",
        "seeds": study.seeds,
        "design": study.design.replace("_", " "),
        "full recipe": config.plain(study.recipe.as_dict()),
        "plain recipe": config.plain(study.base.as_dict()),
        "method": {"name": name_of(study.method), **config.plain(study.method)},
        "backbone": study.backbone,
        "training": config.plain(study.training),
        "draws": ", ".join(sorted({summary["draws"] for summary in told})),
        "minutes of training, all runs": round(sum(summary["minutes"] for summary in told), 1),
    }


def _summaries(audited: Audited, out: Path) -> list[Any]:
    """What the runs say of themselves; arms of one recipe share theirs."""
    folders = dict.fromkeys(r.folder for r in audited.results if r.folder)
    paths = [out / RUNS / folder / SUMMARY for folder in folders]
    return [json.loads(path.read_text()) for path in paths if path.is_file()]


def pretraining(about: About, out: Path) -> str:
    """The command that trains the recommended recipe, from where the audit ran; empty where none was found."""
    arm, study = about.audited.recommended, about.audited.study
    if arm is None:
        return ""
    named = shlex.split(about.command)
    data = named[2] if len(named) > 2 else "RECORDING.h5"  # the command, its name, what it reads
    t = study.training
    said = ["ssl-robot", "pretrain", data, "--out", "runs/recommended", "--recipe", str(out / RECIPE)]
    said += ["--method", name_of(study.method), "--backbone", study.backbone]
    said += ["--epochs", f"{t.epochs}", "--batch-size", f"{t.batch_size}", "--lr", f"{t.lr:g}", "--size", f"{t.size}"]
    said += ["--draws", t.draws]
    said += named[named.index("--camera") :][:2] if "--camera" in named else []
    if arm.remedies:
        said += ["--remedies", *map(name_of, arm.remedies)]
    for item in arm.remedies:
        of = getattr(item, "of", ())
        said += [f"--{name_of(item)}.of", *of] if of else []
    return shlex.join(said)
