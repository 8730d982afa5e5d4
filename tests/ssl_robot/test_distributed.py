"""Two processes with half a batch each learn what one does with all of it: losses, gradients, and what is remembered.

Both halves of this file run what is in ``SCRIPT``: the test's own process for one process with the whole batch, and two
others for two.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ssl_robot.methods
from ssl_robot import catalogue
from ssl_robot.distributed import gathered, processes, rank, summed, synchronised

NAMES = catalogue.names(ssl_robot.methods)
# E-SSL turns every fourth row another way: it counts as the loader deals rows out, one to each process in turn.
CASES = [
    *((name, layout) for name in [*NAMES, "augself"] for layout in ("halves", "every second")),
    ("essl", "every second"),
]

SCRIPT = '''
import datetime
import sys
from dataclasses import fields

import torch
import torch.distributed as dist
from torch import nn

import ssl_robot.methods
from ssl_robot import catalogue, distributed
from ssl_robot.recipes import Recipe
from ssl_robot.remedies import Remedied
from ssl_robot.remedies.augself import Augself
from ssl_robot.remedies.essl import Essl

TINY = {"hidden": 32, "width": 16, "bottleneck": 16, "classes": 24, "prototypes": 12, "queue": 32}
LATE = {"queue_from": 0.0, "freeze": 0.0, "hard_from": 0.0, "keep": 0.5, "scale": 1.0}
B, STEPS = 16, 4


def network():
    layers = [[nn.Conv2d(i, o, 3, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()] for i, o in ((3, 8), (8, 16))]
    return nn.Sequential(*layers[0], *layers[1], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def built(name):
    torch.manual_seed(0)
    remedy = {"augself": Augself(hidden=16), "essl": Essl(hidden=16)}.get(name)
    cls = catalogue.found(ssl_robot.methods, "simsiam" if remedy else name)
    known = {item.name for item in fields(cls)}
    method = cls.made("small", {key: value for key, value in {**TINY, **LATE}.items() if key in known})
    objective = method.build(network(), 16)
    if remedy:
        objective = Remedied(objective, {name: remedy.build(16, Recipe.named("crop"))}, {name: 1.0})
    return distributed.synchronised(objective), 2 + len(method.copies(Recipe.named("simsiam").names))


def mine(rows, layout, which, of):
    return rows[which::of] if layout == "every second" else rows.chunk(of)[which]


def run(name, layout, which, of):
    """Losses, gradients of the first step, and the state after several."""
    objective, count = built(name)
    wrapped = nn.parallel.DistributedDataParallel(objective) if of > 1 else objective
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    learner, losses, gradients = torch.optim.SGD(learning, lr=0.02, momentum=0.9), [], {}
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        coarse = torch.randn(B, 3, 4, 4, generator=generator)
        whole = [
            nn.functional.interpolate(coarse, size=12) + 0.5 * torch.randn(B, 3, 12, 12, generator=generator)
            for _ in range(count)
        ]
        drawn = [{"crop": torch.randn(B, 4, generator=generator)} for _ in whole]
        views = [mine(view, layout, which, of) for view in whole]
        parts = [{key: mine(value, layout, which, of) for key, value in part.items()} for part in drawn]
        objective.begin(step / 2, 4)
        loss = wrapped(views, parts).total
        learner.zero_grad()
        loss.backward()
        objective.trim(step / 2)
        if step == 0:
            gradients = {key: p.grad.clone() for key, p in objective.named_parameters() if p.grad is not None}
        learner.step()
        losses.append(loss.detach())
    losses = torch.stack(losses)
    if of > 1:
        dist.all_reduce(losses)
    return {"losses": losses / of, "gradients": gradients, "state": objective.state_dict()}


def operations(which, of):
    """What the pieces do, and what comes back through them."""
    rows = (torch.arange(6.0).view(3, 2) + 10 * which).requires_grad_()
    beside = torch.ones(3 * of, 2, requires_grad=True)
    weights = torch.arange(6.0 * of).view(3 * of, 2) * (1 + which)
    earlier = beside * 1.0  # made first, so that its gradient is worked out last
    both = distributed.gathered(rows)
    ((both + earlier) * weights).sum().backward()
    values = torch.tensor([1.0, 2.0 + which], requires_grad=True)
    extra = torch.zeros(2, requires_grad=True)
    later = extra * 1.0
    total = distributed.summed(values)
    ((total + later) * (1 + which)).sum().backward()
    found = {"rows": both, "asked": rows.grad, "beside": beside.grad, "sum": total, "sum asked": values.grad}
    found |= {"extra": extra.grad, "weights": weights, "rank": distributed.rank(), "processes": distributed.processes()}
    return {key: value.detach() if isinstance(value, torch.Tensor) else value for key, value in found.items()}


if __name__ == "__main__":
    folder, which, of, *cases = sys.argv[1:]
    which, of = int(which), int(of)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder}/meeting", datetime.timedelta(seconds=120), rank=which, world_size=of
    )
    found = {case: run(*case.split(":"), which, of) for case in cases}
    found["operations"] = operations(which, of)
    torch.save(found, f"{folder}/{which}.pt")
    dist.destroy_process_group()
'''


def label(name: str, layout: str) -> str:
    return f"{name}:{layout}"


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """The script's functions, in this process."""
    space: dict[str, Any] = {"__name__": "script"}
    exec(SCRIPT, space)
    return space


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Sequence[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    words = [label(*case) for case in CASES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(which), "2", *words],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for which in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(told)
    return [torch.load(folder / f"{which}.pt", weights_only=True) for which in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), CASES)
def test_two_processes_have_the_loss_and_gradients_of_one(
    alone: dict[str, Any], two: Sequence[dict[str, Any]], name: str, layout: str
) -> None:
    """For every method, batch norm included, whichever way a batch is shared out."""
    expected, found = alone["run"](name, layout, 0, 1), two[0][label(name, layout)]
    torch.testing.assert_close(found["losses"][0], expected["losses"][0], atol=1e-5, rtol=1e-5)
    assert found["gradients"].keys() == expected["gradients"].keys()
    for key, gradient in expected["gradients"].items():
        torch.testing.assert_close(found["gradients"][key], gradient, atol=1e-5, rtol=1e-3, msg=key)
    torch.testing.assert_close(found["losses"], expected["losses"], atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), CASES)
def test_two_processes_remember_the_same(two: Sequence[dict[str, Any]], name: str, layout: str) -> None:
    """Weights, queues, centres, slow copies and batch statistics, to the bit."""
    first, second = (found[label(name, layout)]["state"] for found in two)
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), CASES)
def test_two_processes_remember_what_one_does(
    alone: dict[str, Any], two: Sequence[dict[str, Any]], name: str, layout: str
) -> None:
    """After several steps; a queue in another order where rows are."""
    expected, found = alone["run"](name, layout, 0, 1)["state"], two[0][label(name, layout)]["state"]
    for key, value in expected.items():
        ours = found[key]
        if key.endswith("queue.vectors"):
            value, ours = _in_order(value), _in_order(ours)
        torch.testing.assert_close(ours, value, atol=5e-3, rtol=5e-3, msg=key)


def _in_order(vectors: Tensor) -> Tensor:
    """Rows of every queue by their first number."""
    places = vectors[..., :1].argsort(1).expand_as(vectors)
    return vectors.gather(1, places)


@pytest.mark.slow
def test_rows_of_all_are_gathered_and_every_ones_wish_comes_back(two: Sequence[dict[str, Any]]) -> None:
    first, second = (found["operations"] for found in two)
    assert [(found["rank"], found["processes"]) for found in (first, second)] == [(0, 2), (1, 2)]
    rows = torch.arange(6.0).view(3, 2)
    wishes = first["weights"] + second["weights"]
    for which, found in enumerate((first, second)):
        assert torch.equal(found["rows"], torch.cat([rows, rows + 10]))
        assert torch.equal(found["asked"], wishes[3 * which : 3 * which + 3])


@pytest.mark.slow
def test_a_gather_leaves_the_gradients_of_what_it_is_added_to_alone(two: Sequence[dict[str, Any]]) -> None:
    """Autograd hands both terms of a sum the same tensor."""
    for found in two:
        assert torch.equal(found["operations"]["beside"], found["operations"]["weights"])


@pytest.mark.slow
def test_sums_are_over_all_and_so_are_their_gradients(two: Sequence[dict[str, Any]]) -> None:
    for which, found in enumerate(two):
        assert found["operations"]["sum"].tolist() == [2, 5]
        assert found["operations"]["sum asked"].tolist() == [3, 3]
        assert found["operations"]["extra"].tolist() == [1 + which] * 2


def test_one_process_alone_gathers_and_sums_nothing() -> None:
    rows = torch.randn(3, 2)
    assert (processes(), rank()) == (1, 0)
    assert gathered(rows) is rows
    assert summed(rows) is rows
    norm = nn.BatchNorm1d(2)
    assert synchronised(norm) is norm
    assert type(norm) is nn.BatchNorm1d
