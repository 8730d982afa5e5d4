"""One file per remedy: a second task beside any method that keeps in the encoder what its views would hide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ssl_robot.methods import Drawn, Loss, Objective
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe


class Task(nn.Module):
    """What is asked of the backbone's vectors besides."""

    def forward(
        self, backbone: nn.Module, views: Sequence[Tensor], features: list[Tensor], drawn: Sequence[Drawn]
    ) -> Tensor:
        """The task's loss, a scalar.

        Args:
            backbone: Makes vectors, (b, width), of views.
            views: (b, 3, h, w) each.
            features: Vectors of the first views, as far as the method made them.
            drawn: What made each of the views.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Remedy:
    """Settings of a task.

    Attributes:
        weight: Of its loss beside the method's.
        reads: Whether it asks what was drawn for each frame.

    Raises:
        InputError: If a setting is out of its range.
    """

    reads: ClassVar[bool] = False

    weight: float = number(1.0, 0, 1000)

    def __post_init__(self) -> None:
        check(self)

    def build(self, width: int, recipe: Recipe) -> Task:
        """The task for vectors of this width and views of this recipe."""
        raise NotImplementedError


class Remedied(Objective):
    """A method's objective with further tasks.

    Args:
        objective: The method's.
        tasks: By name.
        weights: Of the tasks.
    """

    def __init__(self, objective: Objective, tasks: dict[str, Task], weights: dict[str, float]) -> None:
        super().__init__()
        self.objective, self.tasks, self.weights = objective, nn.ModuleDict(tasks), weights

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        """The method's: registered once."""
        return self.objective.backbone

    def forward(self, views: Sequence[Tensor], drawn: Sequence[Drawn] = ()) -> Loss:
        """The method's loss and, weighed, those of the tasks."""
        self.objective.together = self.together
        loss = self.objective(views, drawn)
        total, parts = loss.total, dict(loss.parts)
        for name, task in self.tasks.items():
            asked = task(self.backbone, views, list(loss.features), drawn)
            total, parts[name] = total + self.weights[name] * asked, asked.detach()
        return Loss(total, {**parts, "loss": total.detach()}, loss.embeddings, loss.features)

    def begin(self, epoch: float, epochs: int) -> None:
        """What the method does."""
        self.objective.begin(epoch, epochs)

    def trim(self, epoch: float) -> None:
        """What the method does."""
        self.objective.trim(epoch)

    def constant_rate(self) -> list[nn.Parameter]:
        """Those of the method."""
        return self.objective.constant_rate()
