"""What is asked of the gripper, and what each invariance must do to the answer: written down before any training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ssl_robot.envs.testbed.scene import COMPONENTS, LAP, REACH, State, level

Effect = Literal["hidden", "unharmed", "helped"]

_PAD = 0.8 * REACH  # how far right or left of the middle the pads of CuedSide lie, metres
_TOUCH = 0.02  # share of the way from the tray to the camera at which the gripper touches
# A label's circular number is asked for as its cosine and its sine.
ASKED = tuple(
    part for name in COMPONENTS for part in ((f"{name} cos", f"{name} sin") if name == "block yaw" else (name,))
)


@dataclass(frozen=True)
class Task:
    """What the gripper has to do.

    Attributes:
        name: As in the environment's id.
        asks: What it asks, in a sentence.
        needs: Components of the label ``scene`` without which nobody can do it.
        frees: Which joints a command moves: place (x and y), yaw, or height.
        goal: Where the gripper has to be, from a state and a cue: metres, or radians.
        tolerance: How near is near enough, in each number of the goal.
        cued: Whether the observation holds a cue, 0 or 1.
        moves: Whether the puck goes around the middle.
    """

    name: str
    asks: str
    needs: tuple[str, ...]
    frees: Literal["place", "yaw", "height"]
    goal: Callable[[State, int], tuple[float, ...]]
    tolerance: float
    cued: bool = False
    moves: bool = False


@dataclass(frozen=True)
class Prediction:
    """What blindness to an invariance must do to what can be read off a picture.

    Attributes:
        invariance: Its name.
        component: Of the label ``scene``; an angle's cosine or sine.
        effect: ``hidden``: nothing of it is left; ``unharmed``: nothing is lost; ``helped``: a head that was fitted to
            pictures of the plain table reads more off those of a nuisance twin.
        exactly: Whether the invariance's transformations form a group that maps layouts to equally likely ones, or a
            projection that makes them equal, so that features averaged over it are at chance; if not, only a part of
            what training hides can be shown so.
        together: What the same transformations hide too, and so cannot be told apart from it.
        given: What must hold of the recording; nothing, if empty.
    """

    invariance: str
    component: str
    effect: Effect
    exactly: bool = True
    together: tuple[str, ...] = ()
    given: str = ""


def _cued_colour(state: State, cue: int) -> tuple[float, ...]:
    target = state.block if (state.colour > 0) == (cue == 0) else state.puck
    return target.x, target.y


def _cued_side(state: State, cue: int) -> tuple[float, ...]:
    side = 1 if state.puck.x > 0 else -1
    return (side if cue == 0 else -side) * _PAD, 0.0


def _align_yaw(state: State, cue: int) -> tuple[float, ...]:
    return (state.block.yaw,)


def _reach_depth(state: State, cue: int) -> tuple[float, ...]:
    return (level(state.height, _TOUCH),)


def _find_moving(state: State, cue: int) -> tuple[float, ...]:
    return state.puck.x, state.puck.y


TASKS = (
    Task(
        "CuedColour",
        "Go to the orange plate (cue 0) or to the azure one (cue 1), be it the block or the puck.",
        ("block colour", "block x", "block y", "puck x", "puck y"),
        "place",
        _cued_colour,
        0.03,
        cued=True,
    ),
    Task(
        "CuedSide",
        "Go to the side of the table on which the puck is, left or right (cue 0), or to the other side (cue 1).",
        ("puck x",),
        "place",
        _cued_side,
        0.03,
        cued=True,
    ),
    Task("AlignYaw", "Point the way the block points.", ("block yaw cos", "block yaw sin"), "yaw", _align_yaw, 0.15),
    Task("ReachDepth", "Touch the tray: not above it, not through it.", ("tray height",), "height", _reach_depth, 0.01),
    Task(
        "FindMoving",
        "Go where the puck is, which circles, and stay with it.",
        ("puck x", "puck y"),
        "place",
        _find_moving,
        0.03,
        moves=True,
    ),
)

# What each invariance hides, exactly: the picture of another state is the transformed picture, and all of a state's
# images are equally likely, so that on average over them these numbers are the same for every picture.
_HIDDEN: Mapping[str, tuple[str, ...]] = {
    "hue": ("block colour",),
    "gray": ("block colour",),
    "flip": ("block x", "block yaw cos", "puck x"),
    "vertical_flip": ("block y", "block yaw sin", "puck y"),
    "rotation": ("block x", "block y", "block yaw cos", "block yaw sin", "puck x", "puck y"),
    "quarter_turn": ("block x", "block y", "block yaw cos", "block yaw sin", "puck x", "puck y"),
    "time": ("puck x", "puck y"),
    "brightness": (),
}
# Brighter pictures are no pictures of the table, and white stays white: nothing is averaged away exactly.
_INEXACT = ("brightness",)
# The puck moves in FindMoving alone, and a part of a lap still tells where it began.
_GIVEN: Mapping[str, str] = {"time": f"episodes of FindMoving that are whole laps: --reset-every {LAP}"}
# Without colour block and puck look alike, and their outlines run together where they touch.
_UNSURE: Mapping[str, tuple[str, ...]] = {"gray": ("puck distance", "puck size")}
# A part of the frame, enlarged, is a frame with a higher tray; but parts are cut at random, and no group.
_NEARLY: Mapping[str, tuple[str, ...]] = {"crop": ("tray height",)}
# All colours of a nuisance's table have one luma: without colour only the light differs.
_HELPED: Mapping[str, tuple[str, ...]] = {
    "gray": ("block x", "block y", "block yaw cos", "block yaw sin", "puck x", "puck y"),
}


def predictions() -> tuple[Prediction, ...]:
    """What each invariance must do to each component; of what is not listed nothing is promised."""
    found: list[Prediction] = []
    for invariance, hidden in _HIDDEN.items():
        for name in ASKED:
            together = tuple(other for other in hidden if other != name)
            exactly, given = invariance not in _INEXACT, _GIVEN.get(invariance, "")
            if name in hidden:
                found.append(Prediction(invariance, name, "hidden", exactly, together, given))
            elif name not in _UNSURE.get(invariance, ()):
                found.append(Prediction(invariance, name, "unharmed", exactly, given=given))
    found += [Prediction(item, name, "hidden", False) for item, names in _NEARLY.items() for name in names]
    found += [Prediction(item, name, "helped", False) for item, names in _HELPED.items() for name in names]
    return tuple(found)


def hurt_by(task: Task) -> tuple[str, ...]:
    """The invariances that hide something without which a task cannot be done, from an encoder that learnt them.

    What that takes of the recording that it learns from, a prediction's ``given`` says: time hides nothing where
    nothing moves.

    >>> hurt_by(next(task for task in TASKS if task.name == "ReachDepth"))
    ('crop',)
    """
    hidden = {**_HIDDEN, **_NEARLY}
    return tuple(name for name, components in hidden.items() if set(components) & set(task.needs))
