"""Verdicts in plain words: what hurts, what helps, and what does not matter."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from ssl_robot.auditing.design import RECOMMENDED
from ssl_robot.auditing.verdicts import Finding
from ssl_robot.probes import FEW_EPISODES
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


def headline(found: Sequence[Finding], groups: Sequence[str] = ()) -> str:
    """What hurts, helps and does not matter in one sentence, from the strongest evidence: training, where there is any.

    Args:
        found: Findings that decide.
        groups: Names that stand for several invariances; they are told of where they say more than their members.
    """
    rows = strongest(found)
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


def strongest(found: Sequence[Finding]) -> list[Finding]:
    """Of trained encoders, where there are any; else of exact blindness."""
    return [f for f in found if f.design in TRAINED] or [f for f in found if f.design == "potential"]


def _names(found: Sequence[Finding]) -> list[str]:
    return [f.invariance for f in found]


def effects(found: Sequence[Finding], groups: Sequence[str]) -> list[str]:
    """The largest harm and the largest gain of each invariance, measured by what would be negligible."""
    rows, lines = strongest(found), []
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
