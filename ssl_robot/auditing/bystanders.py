"""What stands beside the trained encoders: baselines, and encoders that are there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_robot import __version__, baselines
from ssl_robot.auditing.questions import Question
from ssl_robot.auditing.runs import Result, answers, reason, remember
from ssl_robot.config import key
from ssl_robot.encoder import Card

FOLDER = "bystanders"


@dataclass(frozen=True)
class Bystander:
    """A baseline or a finished encoder to be asked.

    Attributes:
        name: As on the command line: ``pixels``, ``timm:resnet18``, or a run.
        questions: What it is asked.
        like: Network and preprocessing of the encoders it stands beside.
        out: Folder of the audit.
    """

    name: str
    questions: tuple[Question, ...]
    like: Card
    out: Path


def interview(bystander: Bystander) -> Result:
    """Its answers; questions that it cannot be asked, as for a feature map that it lacks, have none."""
    found, refused = {}, []
    for question in bystander.questions:
        try:
            reader = baselines.named(bystander.name, question.frames, bystander.like)
            content = key(__version__, reader.key, question.key)[:12]
            path = bystander.out / FOLDER / f"{question.name}-{content}.json"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                remember(path, question.ask(reader))
            found[question.key] = list(answers(path))
        except Exception as error:  # whatever goes wrong with it must not cost the page of the others
            refused.append(reason(error))
    return Result(bystander.name, 0, found, "" if found else " ".join(dict.fromkeys(refused)))


def bystanders(names: Sequence[str], questions: Sequence[Question], like: Card, out: Path) -> list[Bystander]:
    """Those of these names; a projector is nothing that they have."""
    asked = tuple(question for question in questions if question.part == "backbone")
    return [Bystander(name, asked, like, out) for name in names]
