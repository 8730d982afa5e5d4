"""What lies on the table: its measures, how chance lays it out, and which layouts a picture cannot tell apart.

Lengths are metres, angles radians anticlockwise as the picture shows them, x to the right and y up.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ssl_robot.frames import Label

EYE = 1.0  # height of the camera over the tray's lowest place
REACH = 0.25  # farthest command of the gripper in x and in y
LIFT = 0.3  # highest command in z
LAP = 40  # steps in which a moving puck goes once around the middle
CLUTTER = 4  # most gray plates that mean nothing
# Half a turn of the colour wheel apart, of one saturation and value, and of one luma to .006 of a grey level: two
# colours can be both only if their luma lies halfway between their largest and their smallest number.
ORANGE, AZURE = (232, 111, 48), (48, 169, 232)
TABLE = 64

_MIDDLE = 0.03  # farthest that the block lies from the middle
_RING = (0.14, 0.19)  # distance of the puck from the middle
_HALF = (0.022, 0.042)  # half the side of the puck's squares
_RAISED = 0.15  # highest tray
_HOVER = 0.1  # share of the way from the tray to the camera at which the gripper waits

# One number each: what a picture shows, whatever the task.
COMPONENTS = (
    "block x",
    "block y",
    "block yaw",
    "block colour",
    "puck x",
    "puck y",
    "puck distance",
    "puck size",
    "tray height",
)
SCENE = Label(
    "scene",
    COMPONENTS,
    ("m", "m", "rad", "", "m", "m", "m", "m", "m"),
    tuple(name == "block yaw" for name in COMPONENTS),
)


@dataclass(frozen=True)
class Place:
    """Where a plate lies, and which way it points.

    Attributes:
        x: Metres to the right of the middle.
        y: Metres above the middle, as the picture shows it.
        yaw: Radians anticlockwise from the x axis.
    """

    x: float
    y: float
    yaw: float

    def turned(self, angle: float) -> "Place":
        """Carried around the middle; by quarter turns without rounding."""
        parts = math.cos(angle), math.sin(angle)
        cos, sin = (round(part) if abs(part - round(part)) < 1e-12 else part for part in parts)
        return Place(cos * self.x - sin * self.y, sin * self.x + cos * self.y, self.yaw + angle)

    def mirrored(self, axis: Literal["x", "y"]) -> "Place":
        """Its mirror image: with the other sign of x, or of y."""
        return Place(-self.x, self.y, math.pi - self.yaw) if axis == "x" else Place(self.x, -self.y, -self.yaw)


@dataclass(frozen=True)
class State:
    """Everything that a picture of the plain table depends on.

    Attributes:
        block: The T-shaped block; its stem points along its yaw.
        puck: The round plate.
        gripper: The gripper, seen from above; half a turn does not show.
        reach: Height of the gripper, metres.
        colour: 1 where the block is orange and the puck azure, -1 where it is the other way round.
        size: Half the side of the two squares that make the puck, metres.
        height: Height of the tray on which everything lies, metres.
        spin: Which way round the puck goes where it moves: 1 anticlockwise; a picture does not show it.
        clutter: Gray plates that mean nothing.
    """

    block: Place
    puck: Place
    gripper: Place
    reach: float
    colour: int
    size: float
    height: float
    spin: int = 1
    clutter: tuple[Place, ...] = ()

    @property
    def facts(self) -> tuple[float, ...]:
        """The numbers of the label ``scene``; the block's yaw in [-pi, pi)."""
        block, puck = self.block, self.puck
        yaw = math.remainder(block.yaw, 2 * math.pi)
        distance = math.hypot(puck.x, puck.y)
        yaw = -math.pi if yaw >= math.pi else yaw
        return block.x, block.y, yaw, float(self.colour), puck.x, puck.y, distance, self.size, self.height

    def turned(self, angle: float) -> "State":
        """Everything carried around the middle: what a turned picture shows."""
        return self._moved([place.turned(angle) for place in self._places], self.spin)

    def mirrored(self, axis: Literal["x", "y"]) -> "State":
        """Everything mirrored: what a picture shows after a flip (x) or a vertical flip (y)."""
        return self._moved([place.mirrored(axis) for place in self._places], -self.spin)

    def recoloured(self) -> "State":
        """Colours exchanged: what a picture shows after half a turn of the colour wheel."""
        return replace(self, colour=-self.colour)

    def nearer(self, zoom: float) -> "State":
        """Tray and gripper nearer to the camera: what the middle of a picture shows, ``zoom`` times enlarged."""
        return replace(self, height=EYE - (EYE - self.height) / zoom, reach=EYE - (EYE - self.reach) / zoom)

    def later(self) -> "State":
        """The puck one step further on its way around the middle."""
        turned = self.puck.turned(self.spin * 2 * math.pi / LAP)
        return replace(self, puck=replace(turned, yaw=self.puck.yaw))

    @property
    def _places(self) -> tuple[Place, ...]:
        return self.block, self.puck, self.gripper, *self.clutter

    def _moved(self, places: list[Place], spin: int) -> "State":
        block, puck, gripper, *clutter = places
        return replace(self, block=block, puck=puck, gripper=gripper, clutter=tuple(clutter), spin=spin)


def level(height: float, share: float) -> float:
    """Height of what lies a share of the way from the tray to the camera: so that a zoom lifts all plates alike."""
    return EYE - (EYE - height) * (1 - share)


def drawn(random: np.random.Generator, clutter: int = 0) -> State:
    """A layout by chance; its turned, mirrored and recoloured images are as likely as it is.

    Args:
        random: Where chance comes from.
        clutter: Gray plates that mean nothing, at most 4.
    """

    def anywhere(radius: float) -> Place:
        distance, direction, yaw = radius * math.sqrt(random.random()), *random.uniform(-math.pi, math.pi, 2)
        return Place(distance * math.cos(direction), distance * math.sin(direction), float(yaw))

    height, size = random.uniform(0, _RAISED), random.uniform(*_HALF)
    distance, direction, yaw = random.uniform(*_RING), *random.uniform(-math.pi, math.pi, 2)
    colour, spin = (int(sign) for sign in random.choice((-1, 1), 2))
    return State(
        block=anywhere(_MIDDLE),
        puck=Place(distance * math.cos(direction), distance * math.sin(direction), float(yaw)),
        gripper=anywhere(0.8 * REACH),
        reach=level(height, _HOVER),
        colour=colour,
        size=float(size),
        height=float(height),
        spin=spin,
        clutter=tuple(anywhere(REACH) for _ in range(CLUTTER))[:clutter],
    )
