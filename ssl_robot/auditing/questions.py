"""What is asked of every encoder of an audit."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Literal

from ssl_robot.arena import Arena, Demonstrations
from ssl_robot.config import key
from ssl_robot.frames import Frames
from ssl_robot.probes import Acting, Reading, Score
from ssl_robot.readers import Reader
from ssl_robot.recipes import name_of

Role = Literal["verdict", "sensitivity", "mechanism"]
Part = Literal["backbone", "projector"]


@dataclass(frozen=True)
class Question:
    """A probe, and what it is put to.

    Attributes:
        probe: The question.
        frames: A recording that answers it; demonstrations, where it is answered by acting.
        opened: Makes the world to act in; none where a recording answers. Other processes call it too.
        role: ``verdict``: its scores decide; ``sensitivity``: whether another layer or head would have said the same;
            ``mechanism``: how invariant the encoder became.
        part: Whether the backbone is read, or what the projector makes of it.
    """

    probe: Reading | Acting
    frames: Frames
    opened: Callable[[], Arena] | None = None
    role: Role = "verdict"
    part: Part = "backbone"

    @property
    def name(self) -> str:
        """The probe's, as on the command line."""
        return name_of(self.probe)

    @property
    def key(self) -> str:
        """A text that changes when the answers may."""
        return key(self.name, asdict(self.probe), self.frames.fingerprint, self.part)[:12]

    def ask(self, reader: Reader) -> list[Score]:
        """Scores of what the reader reads.

        Raises:
            InputError: If the probe cannot be answered with it.
        """
        if isinstance(self.probe, Reading):
            return list(self.probe.ask(reader, self.frames))
        assert self.opened is not None
        with closing(self.opened()) as arena:
            demonstrations: Demonstrations = self.frames  # type: ignore[assignment]
            return list(self.probe.ask(reader, demonstrations, arena))
