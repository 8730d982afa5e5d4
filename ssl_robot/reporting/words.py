"""The answer in plain words: what hurts, what helps, what does not matter, and what could not be seen."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ssl_robot.audit import Audited, gaps
from ssl_robot.auditing.design import RECOMMENDED, Arm
from ssl_robot.auditing.pairs import Gap
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.probes import FEW_EPISODES
from ssl_robot.recipes import name_of
from ssl_robot.reporting import units

Kind = Literal["hurts", "helps", "regains", "negligible", "no_evidence", "never", "few"]
Standing = Literal["hurts", "mixed", "helps", "regains", "negligible", "partly", "no_evidence", "never"]

WORDS: dict[Kind, str] = {
    "hurts": "hurts",
    "helps": "helps",
    "regains": "only back to random weights",
    "negligible": "does not matter",
    "no_evidence": "no evidence",
    "never": "the encoder never held it",
    "few": "too few test episodes",
}
TRAINED = ("leave_one_out", "add_one_in")


@dataclass(frozen=True)
class Answer:
    """The top of the page.

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


def kind(finding: Finding) -> Kind:
    """What a finding says; where nothing was held, nothing could be lost."""
    if finding.episodes < FEW_EPISODES:
        return "few"
    return finding.verdict if finding.held else "never"


def verdict(finding: Finding) -> str:
    """What a finding says, in words: of exact blindness what it would do."""
    if finding.design == "potential":
        said = {"hurts": "would hurt", "helps": "would help", "negligible": "would not matter"}
        return said.get(kind(finding), WORDS[kind(finding)])
    return WORDS[kind(finding)]


def answer(audited: Audited) -> Answer:
    """The answer, what to do about it, and how far it can be trusted."""
    found = [f for f in audited.findings if f.role == "verdict"]
    said = headline(found, audited.study.groups)
    if audited.recommended is not None and found:
        said = f"{said} Train with {listed(audited.recommended.recipe.names)}."
    return Answer(said, _effects(found, audited.study.groups), _advice(audited, found), list(_limits(audited, found)))


def headline(found: Sequence[Finding], groups: Sequence[str] = ()) -> str:
    """What hurts, helps and does not matter in one sentence, from the strongest evidence: training, where there is any.

    Args:
        found: Findings that decide.
        groups: Names that stand for several invariances; they are told of where they say more than their members.
    """
    rows = _strongest(found)
    if not rows:
        return "There is no verdict: no two recipes were both trained and asked."
    bound = rows[0].design == "potential"
    how = {name: _standing([f for f in rows if f.invariance == name]) for name in dict.fromkeys(_names(rows))}
    alone = {standing for name, standing in how.items() if name not in groups}
    clauses = []
    for standing in _CLAUSES:
        names = [n for n in how if how[n] == standing and (n not in groups or standing not in alone)]
        names = [f"{name} together" if name in groups else name for name in names]
        clauses += [_clause(standing, names, bound)] if names else []
    text = "; ".join(clauses)
    return f"Exact blindness to {text}." if bound else f"{text[0].upper()}{text[1:]}."


def _strongest(found: Sequence[Finding]) -> list[Finding]:
    return [f for f in found if f.design in TRAINED] or [f for f in found if f.design == "potential"]


def _names(found: Sequence[Finding]) -> list[str]:
    return [f.invariance for f in found]


def _effects(found: Sequence[Finding], groups: Sequence[str]) -> list[str]:
    """The largest harm and the largest gain of each invariance, measured by what would be negligible."""
    rows, lines = _strongest(found), []
    for name in dict.fromkeys(_names(rows)):
        for how in ("hurts", "helps"):
            sure = [f for f in rows if f.invariance == name and kind(f) == how]
            if sure:
                largest = max(sure, key=lambda f: abs(f.effect) / f.margin)
                shown = f"{name} together" if name in groups else name
                lines.append(f"{shown} {verdict(largest)}: {told(largest)}")
    return lines


def summary(found: Sequence[Finding]) -> str:
    """A sentence for each invariance and design, from what was measured: for a terminal."""
    rows = [f for f in found if f.role == "verdict"]
    keys = dict.fromkeys((f.invariance, f.design, f.dose, f.encoder) for f in rows)
    return "\n".join(_sentence([f for f in rows if (f.invariance, f.design, f.dose, f.encoder) == k]) for k in keys)


def listed(names: Iterable[str], word: str = "and") -> str:
    """Names as in a sentence.

    >>> listed(["crop", "hue", "gray"])
    'crop, hue and gray'
    """
    *first, last = [*names] or ["nothing"]
    return f"{', '.join(first)} {word} {last}" if first else last


def told(finding: Finding) -> str:
    """What an effect comes to, in the user's units where there are any."""
    scale, off = units.own(finding), units.users(finding)
    if off:
        return f"error of {finding.what} {off}"
    return f"{scale.name} of {finding.what} {scale.steps(finding.without, finding.having)}"


# What is said of those that stand alike: of one, of several, and of exact blindness to them.
_CLAUSES: dict[Standing, tuple[str, str, str]] = {
    "hurts": ("{} hurts", "{} hurt", "{} would hurt"),
    "mixed": (
        "{} hurts one thing and helps another",
        "{} hurt one thing and help another",
        "{} would hurt one thing and help another",
    ),
    "helps": ("{} helps", "{} help", "{} would even help"),
    "regains": (
        "{} only keeps what random weights read too",
        "{} only keep what random weights read too",
        "{} would only keep what chance gives",
    ),
    "negligible": ("{} does not matter", "{} do not matter", "{} would not matter"),
    "partly": (
        "{} takes nothing that was held",
        "{} take nothing that was held",
        "{} would take nothing that was held",
    ),
    "no_evidence": ("for {} there is no evidence either way",) * 2 + ("{} shows nothing clear",),
    "never": ("what {} could hide the encoder never held",) * 2 + ("{} could take nothing that was held",),
}


def _clause(how: Standing, names: Sequence[str], bound: bool) -> str:
    """What is said of those that stand alike."""
    return _CLAUSES[how][2 if bound else min(len(names), 2) - 1].format(listed(names, "or" if bound else "and"))


def _standing(rows: Sequence[Finding]) -> Standing:
    """One word for an invariance, from all its components and designs."""
    kinds = {kind(row) for row in rows}
    if {"hurts", "helps"} <= kinds:
        return "mixed"
    sure: tuple[Standing, ...] = ("hurts", "helps", "regains")
    for how in sure:
        if how in kinds:
            return how
    if kinds == {"never"}:
        return "never"
    if kinds == {"negligible", "never"}:  # of some of it there was nothing to lose
        return "partly"
    return "negligible" if kinds == {"negligible"} else "no_evidence"


def _advice(audited: Audited, found: Sequence[Finding]) -> str:
    if audited.recommended is None:
        return _again(audited) or _next(found, audited.beside)
    begun, arm = audited.study.arms()[audited.study.start], audited.recommended
    steps = list(_steps(begun, arm))
    if not steps:
        return "Keep the recipe as it is."
    unproved = (
        ""
        if gaps(audited)
        else "It was not trained: the same command without --quick proves it, with seeds of its own."
    )
    parts = [f"Recommended: {'; '.join(steps)}.", _masking(begun, arm, found), _proof(found) or unproved]
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
    names = dict.fromkeys(_names(found))
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


def _proof(found: Sequence[Finding]) -> str:
    """Whether the recommended recipe is at least as good, where it was trained."""
    rows = [f for f in found if f.design == "remedy"]
    if not rows:
        return ""
    where = "Trained with seeds that had no part in choosing it"
    if all(f.safe for f in rows):
        return f"{where}: not inferior to the first recipe on any component."
    unsure = listed(f.what for f in rows if not f.safe)
    safe = sum(f.safe for f in rows)
    return f"{where}: not inferior to the first recipe on {safe} of {len(rows)} components; unsure: {unsure}."


def _limits(audited: Audited, found: Sequence[Finding]) -> Iterable[str]:
    """What the study could not have seen, and what is missing."""
    holes = gaps(audited)
    few = [f for f in _strongest(found) if f.episodes < FEW_EPISODES]
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


def _sentence(rows: Sequence[Finding]) -> str:
    """What one invariance does in one design, component by component."""
    first = rows[0]
    starts: dict[str, Callable[[], str]] = {
        "potential": lambda: f"Exact blindness to {first.invariance}{f' of {first.encoder}' if first.encoder else ''}",
        "leave_one_out": lambda: f"{first.invariance} in the full recipe",
        "add_one_in": lambda: f"{first.invariance} added to the plain recipe",
        "sweep": lambda: f"{first.invariance} at strength {first.dose:g}",
        "remedy": lambda: f"The {RECOMMENDED} recipe",
    }
    would = first.design == "potential"
    verbs: dict[Kind, str] = {
        "hurts": "would worsen" if would else "worsens",
        "helps": "would improve" if would else "improves",
        "regains": "keeps no more than random weights read of",
        "negligible": "would not change" if would else "does not change",
        "no_evidence": "shows no clear effect on",
        "never": "could take nothing that was held of",
        "few": "was asked in too few test episodes about",
    }
    twice = {row.what for row in rows if len({other.metric for other in rows if other.what == row.what}) > 1}
    parts = []
    for how, verb in verbs.items():
        own = [row for row in rows if kind(row) == how]
        if own:
            names = (told(r) if how in ("hurts", "helps", "regains") else _named(r, r.what in twice) for r in own)
            parts.append(f"{verb} {', '.join(names)}")
    start = starts[first.design]()
    return f"{start[0].upper()}{start[1:]} {'; '.join(parts)}."


def _named(finding: Finding, twice: bool) -> str:
    """A component, and by which measure where there are several."""
    return f"{units.own(finding).name} of {finding.what}" if twice else finding.what
