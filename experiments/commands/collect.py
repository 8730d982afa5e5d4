"""Record a simulator."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Collect:
    """Record frames, poses and actions of a Gymnasium environment.

    Attributes:
        env_id: Environment, as in gym_pusht/PushT-v0, Reacher-v5 or metaworld/drawer-open-v3.
        out: File to write.
        frames: Observations before an action; final observations come on top.
        size: Height and width of the frames.
        explorer: How to act: uniform, sticky, pink_noise, or expert where the simulator brings one.
        noise: Standard deviation of noise on the explorer's actions, in half the range of each.
        reset_every: Cut episodes after this many steps; 1 records independent poses; 0 lets them run.
        seed: Seeds the actions and, counting up, every episode.
        if_exists: What to do with a file that is there already.
        num_envs: Environments that run side by side, each in a process of its own.
        camera: Camera to look through, may be given again; the environment's own view if not given.
        depth: Record distances too.
        segmentation: Record which body each pixel shows too, for probe detection.
        render: fast leaves out shadows and smoothing where a simulator draws them in software.
        allow_static: Record frames although they show nothing or never change.
        raw: Store pixels uncompressed.
    """

    env_id: Positional[str]
    out: Path
    frames: int
    size: int = 96
    explorer: str = "uniform"
    noise: float = 0.0
    reset_every: int = 0
    seed: int = 0
    if_exists: Literal["error", "append", "overwrite"] = "error"
    num_envs: int = 1
    camera: Annotated[tuple[str, ...], UseAppendAction] = ()
    depth: bool = False
    segmentation: bool = False
    render: Literal["fast", "full"] = "fast"
    allow_static: bool = False
    raw: bool = False

    def run(self) -> int:
        """Record; interrupted, it keeps what it has."""
        from ssl_robot.datasets.store import FrameStore
        from ssl_robot.datasets.writer import FrameWriter
        from ssl_robot.envs.collect import Plan, collect
        from ssl_robot.envs.world import Sight
        from ssl_robot.errors import InputError

        plan = Plan(
            self.frames, self.reset_every, self.explorer, self.noise, self.seed, self.num_envs, self.allow_static
        )
        sight = Sight(self.size, self.camera, self.depth, self.render, self.segmentation)
        if self.if_exists == "append" and self.out.is_file() and (taken := self._taken(FrameStore(self.out).seeds)):
            raise InputError(
                f"{self.out} holds seed {min(taken)} already: the same scenes again; "
                f"give --seed {max(taken) + 1} or more."
            )
        sink = FrameWriter(self.out, self.if_exists, self.raw)
        try:
            with sink, _as_sentences():
                collect(self.env_id, sight, sink, plan)
        except KeyboardInterrupt:
            kept = f"{self.out} holds the frames so far" if sink.rows else "no frame was recorded"
            print(f"ssl-robot: interrupted; {kept}.", file=sys.stderr)
            return 130
        return 0

    def _taken(self, seeds: "NDArray[np.int64]") -> list[int]:
        """Those seeds of a file that this recording could use again; only resets at every step surely use them all."""
        used = self.frames if self.reset_every == 1 else 1
        return [seed for seed in seeds.tolist() if self.seed <= seed < self.seed + used]


@contextmanager
def _as_sentences() -> Iterator[None]:
    """Shows our own warnings as other commands do, without the line of code they come from."""
    from ssl_robot.envs.world import AspectWarning

    others: Any = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, AspectWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            others(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", AspectWarning)
        warnings.showwarning = show  # put back at the end
        yield
