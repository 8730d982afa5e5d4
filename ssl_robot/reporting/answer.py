"""The top of the page: the answer, what to do about it, and how far it can be trusted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssl_robot.audit import Audited, gaps
from ssl_robot.auditing.design import Arm
from ssl_robot.auditing.pairs import Gap
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.probes import FEW_EPISODES
from ssl_robot.recipes import name_of
from ssl_robot.reporting import units
from ssl_robot.reporting.words import TRAINED, effects, headline, kind, listed, strongest


@dataclass(frozen=True)
class Answer:
    """What it says.

    Attributes:
        headline: What hurts, helps and does not matter, and what to train with.
        effects: The largest effect of each invariance that has a sure one.
        advice: How the recommended recipe differs, and whether it was shown to be as good; or what to do next.
        limits: What the study could not have seen, and what is missing from it.
    """

    headline: str
    effects: Sequence[str]
    advice: str
    limits: Sequence[str]


def answer(audited: Audited) -> Answer:
    """The answer, what to do about it, and how far it can be trusted."""
    found = [f for f in audited.findings if f.role == "verdict"]
    said = headline(found, audited.study.groups)
    if audited.recommended is not None and found:
        said = f"{said} Train with {listed(audited.recommended.recipe.names)}."
    return Answer(said, effects(found, audited.study.groups), _advice(audited, found), list(_limits(audited, found)))


def _advice(audited: Audited, found: Sequence[Finding]) -> str:
    if audited.recommended is None:
        return _again(audited) or _next(found, audited.beside)
    begun, arm = audited.study.arms()[audited.study.start], audited.recommended
    steps = list(_steps(begun, arm))
    if not steps:
        return "Keep the recipe as it is."
    parts = [f"Recommended: {'; '.join(steps)}.", _masking(begun, arm, found), _proof(audited, found)]
    return " ".join(part for part in parts if part)


def _again(audited: Audited) -> str:
    """What to do after an audit whose training came to nothing."""
    return "Run the same command again with --resume: too many runs failed for a verdict." if gaps(audited) else ""


def _next(found: Sequence[Finding], beside: Sequence[str]) -> str:
    """What to do after an audit without training.

    Args:
        found: Findings that decide.
        beside: Encoders that were there already.
    """
    if not found:
        return ""
    asked = [name for name in dict.fromkeys(f.encoder for f in found) if name in beside]
    if asked:
        return (
            f"This is what exact blindness would take from {listed(asked)}; how blind that is already stands further "
            "down."
        )
    names = dict.fromkeys(f.invariance for f in found)
    harmful = [n for n in names if any(f.held and f.better < 0 and not f.safe for f in found if f.invariance == n)]
    if not harmful:
        return (
            "Exact blindness alone costs nothing that was asked about; that training for it takes nothing else, only "
            "training shows (the same command without --instant)."
        )
    return (
        f"This is what exact blindness alone would take, not what training does take: train with and without "
        f"{listed(harmful)} to see (the same command without --instant)."
    )


def _steps(begun: Arm, arm: Arm) -> Iterable[str]:
    """How the recommended recipe differs from the one that the study began with."""
    before, after = begun.recipe.as_dict(), arm.recipe.as_dict()
    changed = [
        f"{n} ({', '.join(f'{k} {before[n].get(k)} → {v}' for k, v in after[n].items() if before[n].get(k) != v)})"
        for n in after
        if n in before and after[n] != before[n]
    ]
    kept = list(dict.fromkeys(n for remedy in arm.remedies for n in getattr(remedy, "of", ())))
    names = listed(name_of(remedy) for remedy in arm.remedies)
    parts: list[tuple[str, Sequence[str], str]] = [
        ("drop", [n for n in begun.recipe.names if n not in after], ""),
        ("weaken", changed, ""),
        ("add", [n for n in arm.recipe.names if n not in before], ""),
        ("keep", kept, f", but have the encoder predict it ({names})"),
    ]
    return [f"{verb} {listed(what)}{more}" for verb, what, more in parts if what]


def _masking(begun: Arm, arm: Arm, found: Sequence[Finding]) -> str:
    """Why something is dropped that does not hurt alone."""
    harmful = {f.invariance for f in found if kind(f) == "hurts" and f.design in TRAINED}
    alone = [name for name in begun.recipe.names if name not in arm.recipe.names and name not in harmful]
    return f"Of {listed(alone)} alone no harm was seen; with the rest of the group more is taken." if alone else ""


def _proof(audited: Audited, found: Sequence[Finding]) -> str:
    """Whether the recommended recipe is at least as good, where it was trained."""
    rows = [f for f in found if f.design == "remedy"]
    if not rows and gaps(audited):
        return ""  # which runs are missing stands among the limits
    if not rows:
        return "It was not trained: the same command without --quick proves it, with seeds of its own."
    where = "Trained with seeds that had no part in choosing it"
    if all(f.safe for f in rows):
        return f"{where}: not inferior to the first recipe on any component."
    unsure = listed(f.what for f in rows if not f.safe)
    safe = sum(f.safe for f in rows)
    return f"{where}: not inferior to the first recipe on {safe} of {len(rows)} components; unsure: {unsure}."


def _limits(audited: Audited, found: Sequence[Finding]) -> Iterable[str]:
    """What the study could not have seen, and what is missing."""
    holes = gaps(audited)
    few = [f for f in strongest(found) if f.episodes < FEW_EPISODES]
    if few:
        yield (
            f"{max(f.episodes for f in few)} test episodes are too few for a verdict, whatever the encoders: record or "
            f"import more ({4 * FEW_EPISODES} have about {FEW_EPISODES} to test)."
        )
    yield from _unseen(found, audited.study.seeds - sum(len(hole.seeds) for hole in holes if not hole.proof))
    yield from map(_missing, holes)
    if audited.skipped:
        yield (
            f"Nothing was trained for {listed(audited.skipped)}: exact blindness alone would cost nothing here, but "
            "training for it may take other things along."
        )


def _unseen(found: Sequence[Finding], seeds: int) -> Iterable[str]:
    """How large an effect may be where there is no evidence of one."""
    sizes: dict[tuple[str, str], list[float]] = {}
    for f in found:
        if f.design in TRAINED and kind(f) == "no_evidence" and f.detectable is not None:
            sizes.setdefault((f.metric, f.unit), []).append(f.detectable)
    if sizes:
        scales = {units.scale(*unit): max(of) for unit, of in sizes.items()}
        seen = listed([f"{scale.size(size)} of {scale.name}" for scale, size in scales.items()])
        yield (
            f"No evidence is not no effect: at {seeds} seeds, one of up to {seen} would mostly have gone unseen there."
        )


def _missing(hole: Gap) -> str:
    """What failed runs took."""
    parts = [f"Runs of {listed(hole.failed)} failed"]
    if hole.without:
        parts.append(f"verdicts that need {listed(hole.without)} are missing")
    if hole.seeds:
        which = "the comparison with the recommended recipe leaves" if hole.proof else "all comparisons leave"
        parts.append(f"{which} out seed{'s' if len(hole.seeds) > 1 else ''} {listed(map(str, hole.seeds))}")
    return f"{'; '.join(parts)}."
