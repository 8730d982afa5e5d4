"""Candidates timed in turns, so that whatever else the machine does hits all of them alike."""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tqdm import tqdm


@dataclass(frozen=True)
class Timed:
    """How a candidate did.

    Attributes:
        name: What was timed.
        ratio: Frames per second over the baseline's, median of the rounds' own ratios.
        median_s: Seconds of a round.
        frames_per_s: Frames over the median.
        note: What else was measured.
    """

    name: str
    ratio: float
    median_s: float
    frames_per_s: float
    note: str = ""


def alternated(
    candidates: Mapping[str, Callable[[int], int]],
    baseline: str,
    rounds: int,
    title: str = "bench",
    rest: float = 0,
    before: Callable[[str], object] = str,
) -> list[Timed]:
    """Run every candidate once per round, in an order that changes, for each leaves caches and heap to the next.

    Args:
        candidates: From the round's number to the number of frames handled.
        baseline: The candidate that the others are compared with.
        rounds: How often; one more comes first and does not count.
        title: Of the progress bar.
        rest: Seconds between two turns, in which what works in the background comes to an end.
        before: What is done with a candidate, by its name, before its turn is timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    counts: dict[str, int] = {}
    for turn in tqdm(range(rounds + 1), desc=title, unit="round"):
        for name in np.random.default_rng(turn).permutation(list(candidates)).tolist():
            time.sleep(rest)
            before(name)
            began = time.perf_counter()
            counts[name] = candidates[name](turn)
            seconds[name].append(time.perf_counter() - began)
    rates = {name: counts[name] / np.array(values[1:]) for name, values in seconds.items()}
    return [
        Timed(
            name,
            float(np.median(rates[name] / rates[baseline])),
            float(np.median(seconds[name][1:])),
            float(np.median(rates[name])),
        )
        for name in candidates
    ]


def machine() -> str:
    """What the times were measured on, in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{cores} x {model}, {platform.system()}, Python {platform.python_version()}"


def as_record(title: str, baseline: str, rows: Sequence[Timed]) -> dict[str, Any]:
    """What a program reads."""
    return {"title": title, "machine": machine(), "baseline": baseline, "rows": [asdict(row) for row in rows]}


def as_table(title: str, rows: Sequence[Timed]) -> str:
    """What a person reads, in Markdown."""
    lines = [f"**{title}**", "", "| candidate | ratio | frames/s | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.name} | {row.ratio:.3g} | {row.frames_per_s:,.0f} | {row.note} |" for row in rows]
    return "\n".join(lines)
