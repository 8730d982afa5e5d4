"""The testbed: small worlds whose answers are known by construction, registered when this file is imported.

``ssl_robot.envs.tabletop:AlignYaw-v0`` and the like; ``Flat`` in a name draws without OpenGL, ``Nuisance`` shows
another light and another table in every episode. What each invariance must do is written down as data:

>>> sorted(row.invariance for row in predictions() if row.component == "block colour" and row.effect == "hidden")
['gray', 'hue']
"""

import gymnasium as gym

from ssl_robot.envs.testbed.scene import LAP
from ssl_robot.envs.testbed.tasks import TASKS, Prediction, Task, hurt_by, predictions

__all__ = ["IDS", "TASKS", "Prediction", "Task", "hurt_by", "predictions"]

PREFIX = "ssl_robot.envs.tabletop:"
CUE = {"state": (0, 1)}  # what the gripper knows without a camera
_TWINS = tuple((flat, nuisance) for flat in (False, True) for nuisance in (False, True))


def _name(task: Task, flat: bool, nuisance: bool) -> str:
    return f"{task.name}{'Flat' if flat else ''}{'Nuisance' if nuisance else ''}-v0"


IDS = tuple(PREFIX + _name(task, flat, nuisance) for task in TASKS for flat, nuisance in _TWINS)
"""Names of all environments, as ``gymnasium.make`` takes them: five tasks, each with three twins."""

for _task in TASKS:
    for _flat, _nuisance in _TWINS:
        gym.register(
            _name(_task, _flat, _nuisance),
            "ssl_robot.envs.testbed.env:TabletopEnv",
            max_episode_steps=LAP,
            kwargs={"task": _task.name, "flat": _flat, "nuisance": _nuisance},
        )
