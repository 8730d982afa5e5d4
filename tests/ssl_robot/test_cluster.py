"""Tasks over Ray: a real cluster of two nodes on this machine gives what one process gives."""

import operator
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from ssl_robot import audit, cluster, workers
from ssl_robot.auditing.design import Arm, Study
from ssl_robot.auditing.questions import Question
from ssl_robot.errors import InputError, KilledError
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.probes.pose import Pose
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

ray: Any = pytest.importorskip("ray", reason="ray is not installed (pip install 'ssl-robot[ray]')")
pytestmark = pytest.mark.slow


def bar() -> "tqdm[Any]":
    return tqdm(disable=True)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    for _ in range(2):
        nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield str(nodes.address)
    ray.shutdown()
    nodes.shutdown()


def test_both_nodes_answer(address: str) -> None:
    tasks = [0.4] * 8
    nodes = set(cluster.performed(_where, tasks, address, bar()))
    assert len(nodes) == 2


def test_answers_are_those_of_one_process(address: str) -> None:
    tasks = list(range(-5, 5))
    assert sorted(cluster.performed(operator.neg, tasks, address, bar())) == sorted(map(operator.neg, tasks))
    assert list(cluster.performed(operator.neg, [], address, bar())) == []


def test_a_process_that_is_killed_costs_its_own_task_alone(address: str) -> None:
    found = cluster.performed(os.system, ["exit 1", "kill -9 $PPID", "exit 2"], address, bar())
    assert sorted(os.waitstatus_to_exitcode(next(found)) for _ in range(2)) == [1, 2]
    with pytest.raises(KilledError, match="killed each time"):
        next(found)


def test_after_a_failure_nothing_is_begun(address: str, tmp_path: Path) -> None:
    folders = [tmp_path, *(tmp_path / str(i) for i in range(6))]
    with pytest.raises(FileExistsError):
        list(cluster.performed(partial(_made, seconds=0.5), folders, address, bar()))
    assert len(list(tmp_path.iterdir())) < 6


def test_encoders_are_the_same_wherever_they_are_trained(
    address: str, exploration: Any, resets: Any, tmp_path: Path
) -> None:
    training = Training(epochs=1, batch_size=32, size=16, device="cpu", on_collapse="warn")
    study = Study(Recipe.named("crop"), seeds=2, method=Simsiam(width=16), training=training)
    questions = [Question(Pose(target=("block",), control=False), resets)]
    arms, learnt = [Arm("crop", Recipe.named("crop"))], audit.lesson(exploration, questions)

    def answers(out: str, crew: Any) -> Any:
        found = audit.performed(study, arms, learnt, questions, tmp_path / out, crew)
        return [(r.arm, r.seed, r.failure, r.answers[questions[0].key]) for r in found]

    many, one = (partial(cluster.performed, address=address), partial(workers.performed, workers=1))
    assert answers("many", many) == answers("one", one)


def test_no_cluster_is_a_sentence() -> None:
    ray.shutdown()
    with pytest.raises(InputError, match="There is no Ray cluster"):
        list(cluster.performed(operator.neg, [1], "127.0.0.1:1", bar()))


def _where(seconds: float) -> str:
    import time

    time.sleep(seconds)
    return str(ray.get_runtime_context().get_node_id())


def _made(folder: Path, seconds: float) -> None:
    import time

    os.mkdir(folder)
    time.sleep(seconds)
