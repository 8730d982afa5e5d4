"""Frames, a method and a recipe make an encoder."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_robot import checkpoints, interrupts
from ssl_robot.config import plain, read_yaml, surroundings, write_yaml
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.features import statistics
from ssl_robot.frames import Frames
from ssl_robot.methods import Method
from ssl_robot.online import Watch
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.records import Records, Service
from ssl_robot.remedies import Remedy
from ssl_robot.run import Run
from ssl_robot.training import MAY_CHANGE, Training
from ssl_robot.weights import begun, print_of

CONFIG = "config.yaml"
_SHARED = (
    "Little of the picture moves: all frames of a batch share what is drawn for a view, else nothing would be learnt. "
    "--draws frame draws for each."
)


def pretrain(
    frames: Frames,
    rows: NDArray[np.int64],
    method: Method,
    recipe: Recipe,
    backbone: str,
    training: Training,
    out: Path | None = None,
    quiet: bool = False,
    others: Sequence[Frames] = (),
    resume: bool = False,
    service: Service = "none",
    start: str | None = None,
    remedies: Sequence[Remedy] = (),
    watch: Watch | None = None,
) -> Encoder:
    """Train an encoder on some rows of a collection.

    Started by ``torchrun``, several processes train together, each on its part of every batch.

    Args:
        frames: The collection.
        rows: Which of its frames; the rest is never read.
        method: The objective.
        recipe: The views.
        backbone: Name of the network.
        training: How long and how fast.
        out: Run directory for configuration, checkpoints, figures and encoder.
        quiet: No progress bar and no lines.
        others: The same moments through other cameras, for recipes with ``camera``.
        resume: Go on from the last checkpoint in the run directory, if there is one.
        service: Where figures go beside the run directory.
        start: Weights to begin with: one of our runs, a file, or ``pretrained``; fresh ones if not given.
        remedies: Further tasks, which keep in the encoder what the views would hide.
        watch: What is asked of the encoder ten times in a run; how well the frames' labels can be read, if nothing is
            given.

    Returns:
        The encoder, frozen.

    Raises:
        CollapseError: If all embeddings become the same and ``on_collapse`` is ``stop``.
        InputError: If there are too few frames, they cannot show what the recipe asks for, the loss stops being a
            number, or the run that is to go on was another.
        KeyboardInterrupt: After Ctrl-C, when a checkpoint is written.
        SystemExit: After SIGTERM, likewise.
    """
    check(frames, rows, recipe, others)
    origin = {**_origin(frames, method, remedies, training), "start": print_of(start)}
    card = Card(backbone, training.size, *statistics(frames, rows), recipe.as_dict(), origin)
    if out is not None:
        _check_earlier(out, card, resume)
    run = Run(frames, rows, method, remedies, begun(card, training.seed, start), training, others, watch)
    if run.views.alike and training.draws == "auto" and run.first and not quiet:
        tqdm.write(_SHARED, file=sys.stderr)
    folder = out if run.first else None
    if out is not None and resume:
        run.restore(checkpoints.load(out, run.fabric.device))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_yaml(folder / CONFIG, {**plain(card), "surroundings": surroundings()})
    each = run.batch * training.accumulate
    whole, done = training.epochs * run.steps * each, run.done * each
    bar = tqdm(total=whole, initial=done, unit="frame", unit_scale=True, disable=quiet or not run.first)
    with closing(Records(folder, run.history, service, asdict(card))) as records, interrupts.heard() as stop, bar:
        run.train(folder, records, stop, bar)
    return run.finished(folder, records)


def check(frames: Frames, rows: NDArray[np.int64], recipe: Recipe, others: Sequence[Frames]) -> None:
    """Refuse frames that cannot show what a recipe asks for.

    Raises:
        InputError: If there are too few, or they lack another camera or another time.
    """
    if len(rows) < 8:
        raise InputError(f"{len(rows)} frames are too few to pre-train on: record hundreds, better thousands.")
    if len(recipe.views) < 2:
        raise InputError("One view has nothing to agree with: give the recipe's views at least two.")
    if "camera" in recipe.names and not others:
        raise InputError("The recipe has 'camera', but there is only one: record several, or add --without camera.")
    if "time" in recipe.names and len(np.unique(frames.episodes[rows])) == len(rows):
        raise InputError("The recipe has 'time', but every episode is one frame long: add --without time.")


def _origin(frames: Frames, method: Method, remedies: Sequence[Remedy], training: Training) -> dict[str, Any]:
    """How an encoder came about; each part under its own name, so that a difference can be named."""
    added = {"remedies": [name_of(item) for item in remedies]} if remedies else {}
    parts = {name_of(item): plain(item) for item in (method, *remedies)}
    return {"method": name_of(method), **added, **parts, "training": plain(training), "data": frames.fingerprint}


def _check_earlier(out: Path, card: Card, resume: bool) -> None:
    """Whether what lies in the run directory may be gone on with.

    Raises:
        InputError: If an unfinished run is there and not to go on, or was another.
    """
    if not (out / CONFIG).exists() or not checkpoints.found(out):
        return
    if not resume:
        raise InputError(f"{out} holds an unfinished run: add --resume to go on, or choose another --out.")
    before = read_yaml(out / CONFIG)
    wrong = sorted(_differences({name: before.get(name) for name in plain(card)}, plain(card)))
    if wrong:
        raise InputError(
            f"The run in {out} was begun with other settings ({'; '.join(wrong)}): give the same ones to resume it, or "
            "choose another --out."
        )


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """What is not the same, by its path, as ``training.lr is 2.0, was 1.0``."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**before, **now}:
            if name not in MAY_CHANGE:
                yield from _differences(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path.removeprefix('origin.')} is {now}, was {before}"
