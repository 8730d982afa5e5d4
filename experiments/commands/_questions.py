"""What an audit asks of every encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl_robot.auditing.design import Study
    from ssl_robot.auditing.questions import Question
    from ssl_robot.frames import Frames


def reading(probed: "Frames", targets: Sequence[str], study: "Study", brief: bool) -> "list[Question]":
    """What can be read off the vector by a kernel, which decides, and off other layers by other heads.

    Args:
        probed: Recording with labels.
        targets: Labels to read; all but the actions, if none are named.
        study: Whose method may have a projector.
        brief: Leave out what takes longest.

    Returns:
        Nothing, where there are no labels and none are asked for.

    Raises:
        InputError: If a label is not known, or nothing of all of them ever changes.
    """
    import numpy as np

    from ssl_robot import projection
    from ssl_robot.auditing.questions import Question
    from ssl_robot.errors import InputError
    from ssl_robot.frames import find_label
    from ssl_robot.probes.pose import Pose

    listed = targets or [name for name in probed.label_names if name != "actions"]
    names = tuple(dict.fromkeys(find_label(probed, name).name for name in listed))
    if not names:
        return []
    if not any((np.ptp(np.nan_to_num(probed.values(name)), axis=0) > 0).any() for name in names):
        raise InputError(
            f"Nothing of {' and '.join(names)} ever changes in the recording, so that there is nothing to read: name "
            "another --target, or record more."
        )
    found = [
        Question(Pose(names, control=False), probed),
        Question(Pose(names, "map", control=False), probed, role="sensitivity"),
        Question(Pose(names, head="ridge", control=False), probed, role="sensitivity"),
    ]
    if not brief:
        found.append(Question(Pose(names, head="mlp", control=False), probed, role="sensitivity"))
    if projection.kept(study.method):
        found.append(Question(Pose(names, control=False), probed, role="sensitivity", part="projector"))
    return found


def acting(demonstrations: Sequence[Path], camera: str | None) -> "list[Question]":
    """How well policies act that are cloned from demonstrations on top of each encoder."""
    from ssl_robot.auditing.questions import Question
    from ssl_robot.datasets.store import FrameStore
    from ssl_robot.experiments.commands._arena import opener
    from ssl_robot.probes.policy import Policy

    stores = [FrameStore(path, camera) for path in demonstrations]
    return [Question(Policy(), store, opener(store)) for store in stores]


def mechanism(probed: "Frames", study: "Study") -> "list[Question]":
    """How invariant each encoder is to what is asked about; nothing, where a single frame shows none of it."""
    from ssl_robot.auditing.questions import Question
    from ssl_robot.invariances import Source
    from ssl_robot.probes.invariance import Invariance

    kept = zip(study.asked.names, study.asked.invariances, strict=True)
    names = tuple(name for name, item in kept if not isinstance(item, Source))
    return [Question(Invariance(names, 300, 2), probed, role="mechanism")] if names else []
