"""Which frames teach, which choose, and which are kept for the examination: decided once, by content."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, find_label

Part = Literal["train", "validation", "test"]
_FEW = 50  # below this many episodes or sessions, a share of the hash's range may hold none of them


@dataclass(frozen=True)
class Split:
    """Rows of the three parts; no episode, and no two episodes that begin with the same frame, lie in two of them.

    Nor does a session, where they were divided by session.

    Attributes:
        train: Rows to learn from, for pre-training and for a probe's head alike.
        validation: Rows that choose a head's regularisation.
        test: Rows for scores; pre-training never sees them.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    frames: Frames, validation: float = 0.15, test: float = 0.25, sessions: NDArray[np.int64] | None = None
) -> Split:
    """Divide the episodes by the hash of their first frame, or whole sessions by the least hash of theirs.

    An episode's part depends on its own content only, so merging recordings moves nothing from one part to
    another; with sessions it depends on its session's. With fewer than 50 episodes or sessions they are dealt by the
    rank of their hash instead, so that no part is empty; of so few sessions the longest is for training.

    Args:
        frames: The collection.
        validation: Share of the episodes or sessions for validation.
        test: Share of the episodes or sessions for test.
        sessions: The session of each episode, (episodes,), so that none lies in two parts; see ``sessions_of``.

    Raises:
        InputError: If there are fewer than three different episodes, or sessions.
    """
    group, contents = _grouped(frames.contents, sessions)
    if len(contents) < 3:
        what, remedy = ("episode", "record at least three, better hundreds (--reset-every 1)")
        if sessions is not None:
            what, remedy = "session", "split by episode, or import more sessions"
        raise InputError(
            f"{len(contents)} different {what}(s) cannot be split into train, validation and test: {remedy}."
        )
    if len(contents) < _FEW:
        share = (_ranks(group, contents, frames.episodes, sessions is not None) + 0.5) / len(contents)
        validation, test = (max(part, 1.01 / len(contents)) for part in (validation, test))
    else:
        share = contents.astype(np.float64) / 2.0**64
    of_row = share[group[frames.episodes]]
    return Split(
        train=np.flatnonzero(of_row >= validation + test),
        validation=np.flatnonzero((of_row >= test) & (of_row < validation + test)),
        test=np.flatnonzero(of_row < test),
    )


def sessions_of(frames: Frames, name: str, gap: float = 0.0) -> NDArray[np.int64]:
    """The recording session of each episode, told from a number that stays the same within one, (episodes,).

    Args:
        frames: The collection.
        name: A label, or one of its components as ``state:elbow``; what an importer noted about each episode is
            ``attributes/task`` or the like. A label of several components tells sessions by all of them.
        gap: Episodes whose means lie further apart than this, with none between them, are of different sessions.

    Raises:
        InputError: If there is no such label or component, or its numbers vary more within an episode than the gap
            between sessions.
    """
    target, _, component = name.partition(":")
    label = find_label(frames, target)
    if component and component not in label.components:
        raise InputError(f"{label.name} has no '{component}': choose from {', '.join(label.components)}.")
    places = [label.components.index(component)] if component else list(range(len(label.components)))
    values = frames.values(label.name)[:, places]
    count = np.bincount(frames.episodes)
    sums = np.stack([np.bincount(frames.episodes, column) for column in values.T], 1)
    means = sums / count[:, None]
    within = np.abs(values - means[frames.episodes]).max()
    if within > gap + 1e-9 * (1 + np.abs(values).max()):
        raise InputError(
            f"{name} varies by {within:.3g} within an episode and cannot name its session: name what stays the same, "
            "or the gap between sessions."
        )
    _, session = np.unique(np.stack([_steps(column, gap) for column in means.T], 1), axis=0, return_inverse=True)
    return session.reshape(-1).astype(np.int64)


def _steps(values: NDArray[np.float64], gap: float) -> NDArray[np.int64]:
    """How many gaps lie below each value."""
    order = np.argsort(values)
    ranks = np.empty(len(values), np.int64)
    least = gap + 1e-9 * (1 + np.abs(values).max())
    ranks[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > least)])
    return ranks


def _grouped(
    contents: NDArray[np.uint64], sessions: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """What is dealt out whole: the group of each episode, and a hash of each group.

    Episodes that begin with the same frame are one group, and so are sessions that share such an episode.
    """
    distinct, place = np.unique(contents, return_inverse=True)
    if sessions is None:
        return place, distinct
    _, session = np.unique(sessions, return_inverse=True)
    nodes = len(distinct) + int(session.max()) + 1
    edges = coo_array((np.ones(len(place)), (place, len(distinct) + session)), (nodes, nodes))
    joined = connected_components(edges, directed=False)[1][: len(distinct)]
    _, first, group = np.unique(joined, return_index=True, return_inverse=True)  # the first has the least hash
    order = np.argsort(first)
    rank = np.argsort(order)
    alone = np.bincount(group)[order] == 1
    least = distinct[first[order]]
    return rank[group][place], np.where(alone, least, np.array([_again(value) for value in least], np.uint64))


def _again(value: np.uint64) -> int:
    """A hash of a hash: the least of many is small, the hash of that is not."""
    return int.from_bytes(hashlib.blake2b(value.tobytes(), digest_size=8).digest(), "little")


def _ranks(
    group: NDArray[np.int64], contents: NDArray[np.uint64], episodes: NDArray[np.int64], by_session: bool
) -> NDArray[np.float64]:
    """Places of the groups in the order they are dealt in, test first."""
    order = np.arange(len(contents))
    if by_session:
        longest = int(np.bincount(group[episodes]).argmax())
        order = np.concatenate([order[order != longest], [longest]])
    return np.argsort(order).astype(np.float64)
