"""Small trained studies: what is finished is kept, shared and merged, and no number depends on how it was run."""

import dataclasses
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

from ssl_robot import audit, workers
from ssl_robot.auditing import runs
from ssl_robot.auditing.design import FULL, RECOMMENDED, UNTRAINED, Arm, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.errors import InputError, KilledError
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.probes.invariance import Invariance
from ssl_robot.probes.pose import Pose
from ssl_robot.recipes import Recipe
from ssl_robot.remedies.augself import Augself
from ssl_robot.reporting.answer import answer
from ssl_robot.splits import split
from ssl_robot.training import Training


def alone(perform: Any, tasks: Any, *, bar: "tqdm[Any]") -> Any:
    """A crew of this very process."""
    return map(perform, tasks)


def of(results: list[runs.Result]) -> dict[tuple[str, int], Any]:
    return {(r.arm, r.seed): r.answers for r in results}


@pytest.fixture(scope="module")
def study() -> Study:
    training = Training(epochs=1, batch_size=32, size=16, on_collapse="warn", device="cpu")
    recipe = Recipe.named("crop").having("flip")
    return Study(recipe, invariances=("flip",), seeds=3, method=Simsiam(width=16), training=training)


@pytest.fixture(scope="module")
def questions(resets: Any) -> list[Question]:
    asked = Pose(target=("block",), control=False)
    return [
        Question(asked, resets),
        Question(asked, resets, role="sensitivity", part="projector"),
        Question(Invariance(("flip",), 40, 1), resets, role="mechanism"),
    ]


@pytest.fixture(scope="module")
def first(study: Study, exploration: Any, questions: list[Question], tmp_path_factory: Any) -> Any:
    out = tmp_path_factory.mktemp("audit")
    return out, audit.compared(study, audit.lesson(exploration, questions), questions, out, alone)


def test_every_arm_and_seed_answers(first: Any, study: Study) -> None:
    results, findings = first[1]
    assert {(r.arm, r.seed) for r in results} == {(a, s) for a in (FULL, "without flip", UNTRAINED) for s in range(3)}
    assert not any(r.failure for r in results)
    assert {f.role for f in findings} == {"verdict", "sensitivity"}
    assert all(f.low <= f.effect <= f.high for f in findings)
    assert all(r.epochs for r in results if r.arm != UNTRAINED)


def test_nothing_is_done_twice_nor_told_otherwise(first: Any, study: Study, exploration: Any, questions: Any) -> None:
    out, (results, findings) = first
    written = {path: os.stat(path).st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again, same = audit.compared(study, audit.lesson(exploration, questions), questions, out, alone)
    assert of(again) == of(results)
    assert same == findings
    assert written == {path: os.stat(path).st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_new_questions_need_no_new_encoders(first: Any, study: Study, exploration: Any, questions: Any) -> None:
    out, _ = first
    encoders = {path: os.stat(path).st_mtime_ns for path in out.rglob("*.safetensors")}
    more = [Question(Pose(target=("agent_pos",), control=False), questions[0].frames)]
    results, _ = audit.compared(study, audit.lesson(exploration, questions), more, out, alone)
    assert all(set(r.answers) == {more[0].key} for r in results)
    assert encoders == {path: os.stat(path).st_mtime_ns for path in out.rglob("*.safetensors")}


@pytest.mark.slow
def test_two_machines_merge(first: Any, study: Study, exploration: Any, questions: Any, tmp_path: Path) -> None:
    """Each does its own seeds; the folders are put together, and nothing is left to train."""
    learnt = audit.lesson(exploration, questions)
    here, there = dataclasses.replace(study, seeds=3), dataclasses.replace(study, seeds=3, first=3)
    crew = partial(workers.performed, workers=2)
    other, _ = audit.compared(there, learnt, questions, tmp_path, crew)
    shutil.copytree(first[0] / runs.RUNS, tmp_path / runs.RUNS, dirs_exist_ok=True)
    both = dataclasses.replace(here, seeds=6)
    assert all(task.done for task in audit.prepared(both, learnt, questions, tmp_path))
    merged, _ = audit.compared(both, learnt, questions, tmp_path, alone)
    assert of(merged) == of([*first[1][0], *other])


def test_arms_of_one_recipe_are_one_run(first: Any, study: Study, exploration: Any, questions: Any) -> None:
    both = dataclasses.replace(study, design="both")
    listed = audit.prepared(both, audit.lesson(exploration, questions), questions, first[0])
    folders = {(task.arm.name, task.seed): task.folder for task in listed}
    assert folders["with flip", 0] == folders[FULL, 0]
    assert folders["base", 0] == folders["without flip", 0]
    results, _ = audit.compared(both, audit.lesson(exploration, questions), questions, first[0], alone)
    assert of(results)["with flip", 1] == of(results)[FULL, 1]


def test_a_failed_run_is_named_and_its_arm_left_out(
    study: Study, exploration: Any, questions: Any, tmp_path: Path
) -> None:
    wild = dataclasses.replace(study, training=dataclasses.replace(study.training, lr=1e30))
    results, findings = audit.compared(wild, audit.lesson(exploration, questions), questions, tmp_path, alone)
    assert all("lower --lr" in r.failure for r in results if r.arm != UNTRAINED)
    assert findings == []


def test_without_verdicts_nothing_is_recommended(
    study: Study, exploration: Any, questions: Any, tmp_path: Path
) -> None:
    wild = dataclasses.replace(study, training=dataclasses.replace(study.training, lr=1e30))
    done = audit.run(wild, audit.lesson(exploration, questions), questions, tmp_path, alone)
    assert done.recommended is None
    said = answer(done)
    assert "Train with" not in said.headline
    assert "Keep the recipe" not in said.advice
    assert "Runs of full and without flip failed; verdicts that need without flip" in said.limits[0]
    assert [hole.failed for hole in audit.gaps(done)] == [[FULL, "without flip"]]


def test_no_error_of_a_run_costs_more_than_its_seed(
    first: Any, study: Study, exploration: Any, questions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of the fourth seed, which leaves the three that there are already."""
    shutil.copytree(first[0] / runs.RUNS, tmp_path / runs.RUNS)
    more, learnt = dataclasses.replace(study, seeds=4), audit.lesson(exploration, questions)

    def fails(error: BaseException) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        return fail

    errors = {
        RuntimeError("CUDA error\nlong explanations"): "RuntimeError: CUDA error",
        np.linalg.LinAlgError(): "LinAlgError",
        InputError("The frames are flat."): "The frames are flat.",
    }
    for error, why in errors.items():
        monkeypatch.setattr(runs, "pretrain", fails(error))
        results, findings = audit.compared(more, learnt, questions, tmp_path, alone)
        assert {(r.seed, r.failure) for r in results if r.failure} == {(3, why)}
        assert findings == first[1][1]
    for end in (KeyboardInterrupt(), SystemExit(143)):
        monkeypatch.setattr(runs, "pretrain", fails(end))
        with pytest.raises(type(end)):
            audit.compared(more, learnt, questions, tmp_path, alone)


def test_what_kills_its_process_is_a_failed_run_and_a_silent_bystander(
    first: Any, study: Study, exploration: Any, questions: Any, tmp_path: Path
) -> None:
    """As a crew tells it when all else is done."""

    def deadly(perform: Any, listed: Any, *, bar: "tqdm[Any]") -> Any:
        yield from map(perform, listed[:-1])
        raise KilledError("no memory")

    shutil.copytree(first[0] / runs.RUNS, tmp_path / runs.RUNS)
    learnt = audit.lesson(exploration, questions)
    lost = audit.prepared(study, learnt, questions, tmp_path)[-1]
    shutil.rmtree(lost.folder)
    results, findings = audit.compared(study, learnt, questions, tmp_path, deadly)
    assert [(r.arm, r.seed, r.failure) for r in results if r.failure] == [(lost.arm.name, 2, "no memory")]
    assert findings == []  # of three seeds
    like = audit.card(exploration, 16, "small")
    stand = audit.interviewed(("pixels", "state"), questions[:1], like, tmp_path, deadly)
    assert [(r.arm, r.failure, bool(r.answers)) for r in stand] == [("pixels", "", True), ("state", "no memory", False)]


def test_the_recommended_recipe_is_trained_too(
    first: Any, study: Study, exploration: Any, questions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the verdicts say so: here they are told to."""
    monkeypatch.setattr(audit.remedy, "recommended", lambda study, _: study.arms()["without flip"])
    done = audit.run(study, audit.lesson(exploration, questions), questions, first[0], alone)
    assert done.recommended is not None
    assert done.recommended.recipe.names == ("crop",)
    monkeypatch.undo()
    same = dataclasses.replace(done.recommended, name=RECOMMENDED)
    monkeypatch.setattr(audit.remedy, "recommended", lambda study, _: same)
    done = audit.run(study, audit.lesson(exploration, questions), questions, first[0], alone)
    assert {f.design for f in done.findings} == {"leave_one_out", "remedy"}
    anew = [(r.arm, r.seed) for r in done.results if r.seed >= study.seeds]
    assert sorted(anew) == sorted(
        (arm, seed) for arm in (FULL, RECOMMENDED, UNTRAINED) for seed in study.anew.seed_range
    )
    told = [r.answers[questions[0].key][0].value for r in done.results if r.arm == RECOMMENDED]
    row = next(f for f in done.findings if f.design == "remedy" and f.role == "verdict")
    assert row.having == pytest.approx(np.mean(told))


def test_pretraining_never_sees_what_the_probe_is_examined_on(resets: Any) -> None:
    rows = audit.lesson(resets, [Question(Pose(), resets)]).rows
    assert not set(rows) & set(split(resets).test)
    assert set(rows) >= set(split(resets).train)


def test_what_cannot_be_done_is_said_before_anything_is(
    study: Study, exploration: Any, resets: Any, questions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = audit.lesson(exploration, questions)
    with pytest.raises(InputError, match="nothing to ask"):
        audit.prepared(study, learnt, [], tmp_path)
    timely = dataclasses.replace(study, recipe=Recipe.named("crop").having("time"), invariances=("time",))
    with pytest.raises(InputError, match="every episode is one frame long"):
        audit.prepared(timely, audit.lesson(resets, questions), questions, tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(audit.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="make room"):
        audit.prepared(study, learnt, questions, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_counts_what_is_left(first: Any, study: Study, exploration: Any, questions: Any, tmp_path: Path) -> None:
    learnt = audit.lesson(exploration, questions)
    nothing = audit.plan(study, learnt, questions, first[0], alone, workers=2)
    assert (nothing.runs, nothing.train, nothing.ask, nothing.minutes) == (9, 0, 0, 0.0)
    whole = audit.plan(study, learnt, questions, tmp_path, alone, workers=2)
    assert (whole.runs, whole.train, whole.ask) == (9, 6, 9)
    assert 0 < whole.minutes < 5
    assert not (tmp_path / runs.RUNS).exists()


def test_answers_of_another_machine_are_kept(
    first: Any, study: Study, exploration: Any, questions: Any, tmp_path: Path
) -> None:
    learnt = audit.lesson(exploration, questions)
    task = audit.prepared(study, learnt, questions, tmp_path)[0]
    result = next(r for r in first[1][0] if (r.arm, r.seed) == (task.arm.name, task.seed))
    runs.keep(task, result)
    assert task.done
    assert runs.recalled(task).answers == result.answers


def told(result: runs.Result, question: Question) -> list[float]:
    return [score.value for score in result.answers[question.key]]


def test_seeds_and_parts_of_an_encoder_answer_differently(first: Any, questions: list[Question]) -> None:
    """Untrained encoders of two seeds are two; a projector is not the backbone before it."""
    done = {(r.arm, r.seed): r for r in first[1][0]}
    for arm in (FULL, "without flip", UNTRAINED):
        assert told(done[arm, 0], questions[0]) != told(done[arm, 1], questions[0])
    for seed in range(3):
        assert told(done[FULL, seed], questions[0]) != told(done[FULL, seed], questions[1])


def test_an_arm_s_further_tasks_are_trained(first: Any, study: Study, exploration: Any, questions: Any) -> None:
    one, learnt = dataclasses.replace(study, seeds=1), audit.lesson(exploration, questions)
    arm = Arm("predicted", study.recipe, (Augself(of=("flip",)),))
    [result] = audit.performed(one, [arm], learnt, questions[:1], first[0], alone)
    assert not result.failure
    assert result.epochs[-1]["augself"] > 0
    assert "augself" not in next(r for r in first[1][0] if r.arm == FULL).epochs[-1]


def test_pretraining_sees_no_test_episode_of_any_question(memory: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (80, 4, 4, 3), np.uint8)
    asked = [memory(images[:40], [2] * 20), memory(images[40:], [2] * 20)]
    rows = audit.lesson(memory(images, [2] * 40), [Question(Pose(), frames) for frames in asked]).rows
    tested = [first + split(frames).test for first, frames in zip((0, 40), asked, strict=True)]
    assert all(len(part) for part in tested)
    assert sorted([*rows, *tested[0], *tested[1]]) == list(range(80))
