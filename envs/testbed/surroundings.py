"""What differs from one laboratory to the next and means nothing: light, what covers the table, the camera's mount."""

import colorsys
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_robot.envs.testbed.scene import EYE, TABLE

PATCHES = 10
_LUMA = (0.299, 0.587, 0.114)
_BARE = -0.5
_TINTED = 0.1  # a light's red, green and blue differ from white by at most this share, and a little for its luma
_SHIFT, _TILT = 0.02, 0.06  # metres, radians


@dataclass(frozen=True)
class Patch:
    """A coloured plate flat on the table, under everything else.

    Attributes:
        x: Of its middle, metres.
        y: Of its middle, metres.
        yaw: Radians.
        width: Half its width, metres.
        height: Half its height, metres.
        colour: Red, green, blue in [0, 1]; of the table's luma in the light of its surroundings.
    """

    x: float
    y: float
    yaw: float
    width: float
    height: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Surroundings:
    """Light, cover and mount.

    Attributes:
        light: Its red, green and blue; 1, 1, 1 shows every plate in its own colour.
        patches: What covers the table.
        mount: How far the camera is from its place in x and y, metres, and tilted about x and y, radians.
    """

    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    patches: tuple[Patch, ...] = ()
    mount: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def dress(self, model: Any) -> None:
        """Change a model of the table accordingly."""
        model.light_ambient[0], model.light_diffuse[0] = (share * np.array(self.light) for share in (0.4, 0.6))
        for i in range(PATCHES):
            geom = model.geom(f"patch{i}")
            if i >= len(self.patches):
                geom.pos[:] = (0, 0, _BARE)
                continue
            patch = self.patches[i]
            geom.pos[:] = (patch.x, patch.y, -0.009 + 0.0005 * i)
            geom.quat[:] = (math.cos(patch.yaw / 2), 0, 0, math.sin(patch.yaw / 2))
            geom.size[:2] = patch.width, patch.height
            geom.rgba[:3] = patch.colour
        x, y, about_x, about_y = self.mount
        model.cam_pos[0] = (x, y, EYE)
        quat = np.array([1, about_x / 2, about_y / 2, 0])
        model.cam_quat[0] = quat / np.linalg.norm(quat)


def drawn(random: np.random.Generator, nuisance: bool, mount: float) -> Surroundings:
    """Surroundings by chance.

    Args:
        random: Where chance comes from.
        nuisance: Whether light and table differ from the plain ones.
        mount: How far the camera may be from its place: 1 is 2 cm and 3.4 degrees either way, 0 not at all.
    """
    light = _light(random) if nuisance else (1.0, 1.0, 1.0)
    patches = tuple(_patch(random, light) for _ in range(PATCHES)) if nuisance else ()
    x, y, about_x, about_y = (mount * random.uniform(-1, 1, 4) * (_SHIFT, _SHIFT, _TILT, _TILT)).tolist()
    return Surroundings(light, patches, (x, y, about_x, about_y))


def _light(random: np.random.Generator) -> tuple[float, float, float]:
    """A tinted light under which gray plates keep their luma."""
    parts = 1 + _TINTED * random.uniform(-1, 1, 3)
    red, green, blue = (parts / (parts @ _LUMA)).tolist()
    return red, green, blue


def _patch(random: np.random.Generator, light: tuple[float, float, float]) -> Patch:
    x, y = random.uniform(-0.3, 0.3, 2).tolist()
    width, height = random.uniform(0.04, 0.16, 2).tolist()
    yaw, hue = random.uniform(-math.pi, math.pi), random.random()
    red, green, blue = (np.array(tint(hue)) / light).tolist()
    return Patch(x, y, yaw, width, height, (red, green, blue))


def tint(hue: float) -> tuple[float, float, float]:
    """A strong colour of the table's luma, so that without colour nothing of it is seen.

    Args:
        hue: In [0, 1), as HSV has it.

    Returns:
        Red, green, blue in [0, 1].
    """
    pure = colorsys.hsv_to_rgb(hue, 1, 1)
    luma = sum(weight * part for weight, part in zip(_LUMA, pure, strict=True))
    chroma = min(170.0, (TABLE - 8) / luma)
    red, green, blue = ((TABLE + chroma * (part - luma)) / 255 for part in pure)
    return red, green, blue
