"""Potential harm: what features that are exactly blind to an invariance can no longer tell. No training."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.verdicts import Finding, potential
from ssl_robot.baselines.blind import Averaged
from ssl_robot.encoder import Card, Encoder
from ssl_robot.features import random_encoder, statistics
from ssl_robot.invariances import Source
from ssl_robot.probes import Reading
from ssl_robot.readers import EncoderReader
from ssl_robot.recipes import Recipe

NETWORK = "wide"  # whose random weights hold a pose already


def instant(
    questions: Sequence[Question], asked: Recipe, size: int, encoder: Encoder | None = None, name: str = ""
) -> list[Finding]:
    """What exact blindness to each invariance alone would cost, in minutes, beside what training makes of it.

    Another time or camera cannot be averaged over from a frame alone, and policies take too long to be learnt again
    for each invariance: those are left to training.

    Args:
        questions: What is asked; those that a recording answers from the vector, and that decide.
        asked: The invariances, at their strengths.
        size: Frames are resized to this.
        encoder: Whose features are averaged; a network with random weights if not given.
        name: What a report calls it.

    Returns:
        A finding for each invariance and component.
    """
    chosen = [q for q in questions if q.role == "verdict" and isinstance(q.probe, Reading) and q.part == "backbone"]
    items = [(n, i) for n, i in zip(asked.names, asked.invariances, strict=True) if not isinstance(i, Source)]
    findings: list[Finding] = []
    with tqdm(total=len(chosen) * (1 + len(items)), unit="encoder", desc="potential harm") as bar:
        for question in chosen:
            frames = question.frames
            looked = encoder or random_encoder(Card(NETWORK, size, *statistics(frames, np.arange(len(frames)))))
            called = name or f"untrained {NETWORK} network"
            plain = question.ask(EncoderReader(looked, called))
            bar.update()
            for invariance, item in items:
                blind = question.ask(Averaged(looked, item, f"blind:{invariance}"))
                findings += potential(invariance, question, called, plain, blind)
                bar.update()
    return findings


def harmless(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Invariances of which exact blindness would cost nothing of what is held; training may still take other things.

    Args:
        findings: Of potential harm.
    """
    found = dict.fromkeys(f.invariance for f in findings)
    harmed = {f.invariance for f in findings if f.held and f.better < 0 and not f.safe}
    return tuple(name for name in found if name not in harmed)
