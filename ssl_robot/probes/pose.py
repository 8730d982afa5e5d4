"""Where things are and which way they point, component by component; a camera's own place and joint angles too."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot import cache
from ssl_robot.errors import InputError
from ssl_robot.frames import Frames, Label, find_label
from ssl_robot.probes import Reading, Score, few
from ssl_robot.probing import learned, regression, resampling
from ssl_robot.probing.examination import Examination, Line, Table, elsewhere
from ssl_robot.probing.quantities import unmet
from ssl_robot.ranges import number
from ssl_robot.readers import EncoderReader, Reader
from ssl_robot.splits import Split, sessions_of, split

_LEARNT = "The encoder was pre-trained on this file, by episode: it may have seen frames of the sessions tested here."
_CELLS = 4  # a side: heads for vectors read maps coarsely, so that heads for map and vector are of like size


@dataclass(frozen=True)
class Pose(Reading):
    """Read labels off frozen features: numbers, angles and rotations, each with R2, error, chance and control.

    A rotation (components ``qw qx qy qz``) is regressed as six numbers and scored as one, by the angle of the turn
    that is left, in degrees. What never varies is named and not scored.

    Attributes:
        target: Labels to read, as poses/block, or cameras/front for a calibrated camera's own place and rotation; all
            that are listed but the actions, if none are named.
        layer: The vector a policy reads (output), the feature map (map), or a layer inside the network by name, as
            block2, layer3 or blocks.3; layer3+layer4 for several. Those are averaged to the cells of the map.
        head: Kernel (radial basis functions) or ridge (linear), in closed form; neighbours, the mean of the 20 nearest
            by cosine; mlp, two hidden layers; attentive (attention pooling) and softmax (places of learnt features),
            which look at the map.
        symmetric: Shapes that look the same after a part of a turn, as block:z:2 (LABEL:AXIS:TIMES), cup:z:inf, or
            block:angle:4.
        session: Divide by recording session instead of by episode: the label, or component as state:elbow, that stays
            the same within one, or what an importer noted, as attributes/origin.
        session_gap: Episodes whose means of it lie further apart than this are of different sessions.
        control: Also read answers that belong to other episodes, which should come to nothing.
        seed: Of trained heads and of the control.
    """

    target: tuple[str, ...] = ()
    layer: str = "output"
    head: Literal["kernel", "ridge", "neighbours", "mlp", "attentive", "softmax"] = "kernel"
    symmetric: tuple[str, ...] = ()
    session: str = ""
    session_gap: float = number(0.0, 0)
    control: bool = True
    seed: int = number(0, 0)

    def ask(self, reader: Reader, frames: Frames) -> list[Score]:
        """Scores of the test episodes.

        Raises:
            InputError: If a label, symmetry or session does not fit the recording, or the head the layer.
        """
        self._labels(frames)
        if self.head in learned.ON_MAPS and self.layer == "output":
            raise InputError(f"The head '{self.head}' looks at a feature map: ask for --layer map.")
        scores = self.score(cache.features(reader, frames, self.layer), frames)
        learnt = isinstance(reader, EncoderReader) and reader.encoder.card.origin.get("data") == frames.fingerprint
        if not self.session or not learnt:
            return scores
        return [replace(score, note=f"{score.note} {_LEARNT}".strip()) for score in scores]

    def score(self, features: Tensor, frames: Frames, parts: Split | None = None) -> list[Score]:
        """Scores of features that are there already.

        Args:
            features: One row per frame, (frames, d), or maps of (frames, channels, h, w).
            frames: Where labels and episodes come from.
            parts: Rows to learn from, to choose by and to score, as to ask elsewhere than where was learnt; by the
                content of the episodes if not given.
        """
        labels = self._labels(frames)
        sessions = sessions_of(frames, self.session, self.session_gap) if self.session else None
        parts = split(frames, sessions=sessions) if parts is None else parts
        exam = Examination.of(frames, parts, sessions)
        tables = [Table.of(label, frames, self.symmetric) for label in labels]
        shuffled = [table.taken(elsewhere(frames.episodes, self.seed)) for table in tables] if self.control else []
        predicted = self._predicted(features, [table.columns for table in (*tables, *shuffled)], parts)
        lines = [exam.lines(table, found) for table, found in zip((*tables, *shuffled), predicted, strict=True)]
        fewer = few(exam.tested if sessions is None else len(np.unique(sessions[frames.episodes[parts.test]])), self.by)
        scores: list[Score] = []
        for i, table in enumerate(tables):
            controls = lines[len(tables) + i] if self.control else None
            notes = (fewer, exam.repeated(features, table))
            scores += [*self._scored(table, lines[i], controls, exam, notes), *self._still(table, exam)]
        return scores

    @property
    def by(self) -> str:
        """What no two parts share."""
        return "session" if self.session else "episode"

    def _labels(self, frames: Frames) -> list[Label]:
        asked = self.target or tuple(name for name in frames.label_names if name != "actions")
        labels = list(dict.fromkeys(find_label(frames, name) for name in asked))
        if not labels:
            raise InputError("The recording has no labels to read: a probe needs poses or states beside the frames.")
        unmet(self.symmetric, labels)
        return labels

    def _predicted(self, features: Tensor, tables: Sequence[Tensor], parts: Split) -> list[Tensor]:
        """Test rows of each table as the head reads them; a trained head reads each with a network of its own."""
        head, x = self.head, features if self.head in learned.ON_MAPS else _flat(features)
        together = torch.cat(list(tables), 1)
        if not together.shape[1]:  # nothing varies
            return [table[torch.from_numpy(parts.test)] for table in tables]
        if head == "mlp" or head == "attentive" or head == "softmax":
            return [learned.fit(x, table, parts, head, self.seed).predicted for table in tables]
        predicted = regression.fit(x, together, parts, head).predicted
        return list(predicted.split([table.shape[1] for table in tables], 1))

    def _scored(
        self,
        table: Table,
        lines: Sequence[Line],
        controls: Sequence[Line] | None,
        exam: Examination,
        notes: Sequence[str],
    ) -> Iterator[Score]:
        settled = exam.settled(table)
        for i, line in enumerate(lines):
            control = float(controls[i].values[0]) if controls is not None else None
            note = " ".join(filter(None, (*notes, settled.get(line.quantity.name, ""))))
            yield Score(
                table.label.name, line.component, line.metric, line.unit, *resampling.interval(line.values),
                len(exam.parts.test), line.chance, exam.tested, line.values[1:], self.layer, self.head, self.by,
                self.seed, control, note,
            )  # fmt: skip

    def _still(self, table: Table, exam: Examination) -> Iterator[Score]:
        """What does not vary."""
        for name, unit, value in table.still:
            yield Score(
                table.label.name, name, "constant", unit, value, value, value, len(exam.parts.test), value,
                exam.tested, np.full(resampling.RESAMPLES, value), self.layer, self.head, self.by, self.seed,
            )  # fmt: skip


def _flat(features: Tensor) -> Tensor:
    """Vectors as they are, maps averaged to 4x4 cells: (frames, d)."""
    return features if features.ndim == 2 else F.adaptive_avg_pool2d(features, _CELLS).flatten(1)
