"""What an encoder and an answer are kept by: everything that they depend on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_robot.arrays import Arrays
from ssl_robot.auditing import runs
from ssl_robot.auditing.design import Arm, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Lesson, Task
from ssl_robot.methods.byol import Byol
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.probes.pose import Pose
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself
from ssl_robot.training import Training


def grey(level: int) -> Arrays:
    return Arrays(np.full((6, 4, 4, 3), level, np.uint8))


TRAINING = Training(epochs=1, batch_size=4, size=16)
LESSON = Lesson(grey(10), np.arange(5), (grey(20),))
CROP = Arm("full", Recipe.named("crop"))
TASK = Task(CROP, 0, Simsiam(width=16), "small", TRAINING, LESSON, (), Path())


def test_every_run_trains_with_its_own_seed() -> None:
    study = Study(Recipe.named("crop"), seeds=3, first=4, training=TRAINING)
    found = runs.tasks(study, [CROP, Arm("without crop", Recipe.named("shift"))], LESSON, [], Path())
    assert [task.arm.name for task in found] == ["full", "without crop"] * 3
    assert {(task.seed, task.training.seed) for task in found} == {(4, 4), (5, 5), (6, 6)}


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "seed": {"seed": 1},
    "method": {"method": Byol(width=16)},
    "setting of the method": {"method": Simsiam(width=32)},
    "training": {"training": replace(TRAINING, lr=0.5)},
    "rows": {"lesson": replace(LESSON, rows=np.arange(4))},
    "frames": {"lesson": replace(LESSON, frames=grey(11))},
    "other camera": {"lesson": replace(LESSON, others=(grey(21),))},
    "no other camera": {"lesson": replace(LESSON, others=())},
    "remedy": {"arm": replace(CROP, remedies=(Augself(of=("crop",)),))},
    "recipe": {"arm": replace(CROP, recipe=Recipe.named("crop").having("flip"))},
    "backbone": {"backbone": "wide"},
}


def test_encoders_that_may_differ_lie_in_folders_of_their_own() -> None:
    folders = {name: replace(TASK, **changes).folder for name, changes in CHANGES.items()}
    assert len(set(folders.values())) == len(CHANGES), folders
    again = replace(TASK, arm=replace(CROP, name="with nothing"), lesson=replace(LESSON, frames=grey(10)))
    assert again.folder == folders["nothing"]  # what it is called is no matter


@pytest.mark.parametrize("name", ["nothing", "seed", "rows", "frames", "backbone"])
def test_what_is_not_trained_depends_on_less(name: str) -> None:
    bare = replace(TASK, arm=Arm("untrained", Recipe(), trained=False))
    assert replace(bare, method=Byol(width=16)).folder == bare.folder != TASK.folder
    assert (replace(bare, **CHANGES[name]).folder == bare.folder) == (name == "nothing")


def test_answers_that_may_differ_have_keys_of_their_own() -> None:
    asked = Question(Pose(), grey(10))
    others = [
        replace(asked, probe=Pose(head="ridge")),
        replace(asked, frames=grey(11)),
        replace(asked, part="projector"),
    ]
    assert len({question.key for question in (asked, *others)}) == 4
    assert replace(asked, frames=grey(10), role="sensitivity").key == asked.key
