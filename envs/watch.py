"""Frames that show nothing, noticed while they are recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ssl_robot.errors import InputError

PATIENCE = 30  # frames in a row
_FLAT = 2  # grey levels: a picture with no more contrast shows nothing


class StaticError(InputError):
    """A camera shows nothing, or always the same."""


@dataclass
class Watch:
    """Looks at every frame of a recording.

    Attributes:
        blank: Frames of one colour in a row, by camera.
        same: Frames equal to the one before in a row, by camera.
    """

    blank: dict[str, int] = field(default_factory=dict)
    same: dict[str, int] = field(default_factory=dict)
    _last: dict[str, tuple[bytes, NDArray[np.uint8]]] = field(default_factory=dict)

    def look(self, frames: Mapping[str, NDArray[np.uint8]]) -> None:
        """Take note of what each camera sees.

        Raises:
            StaticError: If 30 frames in a row show one colour, or are all equal.
        """
        for camera, frame in frames.items():
            sample = frame[::16, ::16].tobytes()  # a few pixels tell most frames apart
            last, before = self._last.get(camera, (b"", frame[:0]))
            blank = len(set(sample)) <= _FLAT + 1 and np.ptp(frame) <= _FLAT
            same = sample == last and np.array_equal(frame, before)
            self.blank[camera] = self.blank.get(camera, 0) + 1 if blank else 0
            self.same[camera] = self.same.get(camera, 0) + 1 if same else 0
            self._last[camera] = sample, frame
            if self.blank[camera] >= PATIENCE:
                raise StaticError(_sentence(camera, f"of one colour (grey level {int(frame.mean())})", _BLANK))
            if self.same[camera] >= PATIENCE:
                raise StaticError(_sentence(camera, "the same", _SAME))


_BLANK = (
    "the renderer has probably lost its GL context (another environment of this process was closed) or the camera "
    "looks at nothing"
)
_SAME = "the camera probably does not see what moves, or the policy does nothing"


def _sentence(camera: str, what: str, cause: str) -> str:
    return (
        f"The last {PATIENCE} frames of camera '{camera}' are {what}: {cause}; choose another camera or policy, or "
        "record it all the same with --allow-static (in Python: allow_static=True)."
    )
