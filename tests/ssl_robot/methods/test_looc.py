from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.methods import Loss, Objective, looc
from ssl_robot.methods.looc import Looc
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

Build = Callable[..., Objective]
Vectors = Callable[..., list[Tensor]]

METHOD = Looc(spaces=("flip", "hue"), hidden=32, width=8, queue=12, temperature=0.3)


def numbers(values: Tensor) -> NDArray[np.float64]:
    unit: Tensor = F.normalize(values.detach().double(), dim=1)
    return unit.numpy()


def left_out(
    queries: list[NDArray[np.float64]],
    keys: list[list[NDArray[np.float64]]],
    earlier: NDArray[np.float64],
    temperature: float,
) -> float:
    """Equation 2 of the paper, frame by frame.

    Args:
        queries: Of each space, (b, d).
        keys: Of each space, for each key view, (b, d).
        earlier: Of each space, (n, d).
        temperature: Divides the cosines.
    """
    losses = []
    for space, query in enumerate(queries):
        for row, q in enumerate(query):
            likeness = [np.exp(q @ key[row] / temperature) for key in keys[space]]
            others = np.exp(earlier[space] @ q / temperature).sum()
            beside = likeness[0] if space == 0 else sum(likeness)
            losses.append(-np.log(likeness[space] / (beside + others)))
    return float(np.mean(losses))


def test_loss_is_the_papers_step_by_step(built: Build, vectors: Vectors) -> None:
    """Space 0 has the second view as its key; space i the i-th copy, and the frame's other keys as negatives."""
    objective = built(METHOD, 16)
    earlier = [list(part) for part in numbers_of(objective.queue.vectors)]
    for step in range(5):
        views = vectors(4, 16, 4, seed=step)
        queries = [numbers(projector(views[0])) for projector in objective.projectors]
        keys = [[numbers(slow(view)) for view in views[1:]] for slow in objective.teacher[1].children()]
        expected = left_out(queries, keys, np.array(earlier), 0.3)
        assert float(objective(views).total.detach()) == pytest.approx(expected, abs=1e-5)
        for space, held in enumerate(earlier):
            held.extend(keys[space][space])
            del held[:4]
    held = objective.queue.vectors[2]
    torch.testing.assert_close(held[held[:, 0].argsort()], sorted_rows(earlier[2]), atol=1e-6, rtol=0)


def numbers_of(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.double().numpy()
    return array


def sorted_rows(rows: list[NDArray[np.float64]]) -> Tensor:
    values = torch.from_numpy(np.array(rows)).float()
    return values[values[:, 0].argsort()]


def test_gradients_are_those_of_the_papers_loss(built: Build, vectors: Vectors, same: Callable[..., None]) -> None:
    objective, views = built(METHOD, 16), vectors(4, 16, 4)
    earlier, losses = objective.queue.vectors.clone(), []
    for space, (projector, slow) in enumerate(zip(objective.projectors, objective.teacher[1].children(), strict=True)):
        q = F.normalize(projector(views[0]), dim=1)
        with torch.no_grad():
            keys = torch.stack([F.normalize(slow(view), dim=1) for view in views[1:]])
        near = torch.einsum("bd,kbd->bk", q, keys if space else keys[:1])
        scores = torch.cat([near, q @ earlier[space].T], 1) / 0.3
        losses.append((scores.logsumexp(1) - scores[:, space]).mean())
    wanted = [views[0], *objective.projectors.parameters()]
    same(objective(views).total, torch.stack(losses).mean(), wanted)


def test_copies_are_found_behind_further_views(built: Build, vectors: Vectors) -> None:
    """They come last: a third view of the recipe is none."""
    objective, again = (built(METHOD, 16) for _ in range(2))
    first, second, third, *copies = vectors(4, 16, 5)
    expected = objective([first, second, *copies]).total
    torch.testing.assert_close(again([first, second, third, *copies]).total, expected)


def test_without_spaces_it_is_moco(built: Build, vectors: Vectors) -> None:
    objective, views = built(Looc(spaces=(), hidden=32, width=8, queue=12), 16), vectors(4, 16)
    q = F.normalize(objective.projectors[0](views[0]), dim=1)
    k = F.normalize(objective.teacher[1][0](views[1]), dim=1)
    scores = torch.cat([(q * k).sum(1, keepdim=True), q @ objective.queue.vectors[0].T], 1) / 0.2
    expected = F.cross_entropy(scores, torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(objective(views).total, expected, atol=1e-6, rtol=0)


def test_copies_name_what_each_space_is_about() -> None:
    recipe = Recipe.named("simsiam").names
    assert list(Looc(spaces=("flip", "hue+saturation")).copies(recipe)) == [("flip",), ("hue", "saturation")]
    assert list(Looc(spaces=()).copies(recipe)) == []


@pytest.mark.parametrize("name", ["rotation", "time", "hue+rotation"])
def test_a_space_for_what_the_views_do_not_draw_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"looc.spaces names '(rotation|time)'.*time and camera: crop, flip"):
        Looc(spaces=(name,)).copies([*Recipe.named("simsiam").names, "time"])


def test_a_run_copies_the_parameters_of_the_space_and_draws_the_rest(
    resets: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the objective is given: view 2 has the first view's flip, view 3 its hue and saturation."""
    seen: list[list[dict[str, Tensor]]] = []
    made = looc._LeftOut.forward

    def noted(self: Any, views: list[Tensor], drawn: list[dict[str, Tensor]]) -> Loss:
        seen.append(drawn)
        loss: Loss = made(self, views, drawn)
        return loss

    monkeypatch.setattr(looc._LeftOut, "forward", noted)
    method = Looc(spaces=("flip", "hue+saturation"), hidden=32, width=8, queue=32)
    training = Training(epochs=1, batch_size=32, size=16, device="cpu", precision="fp32")
    pretrain(resets, np.arange(64), method, Recipe.named("simsiam"), "small", training, quiet=True)
    assert len(seen) == 2
    for query, key, flipped, coloured in seen:
        for name, values in query.items():
            assert torch.equal(flipped[name], values) == (name == "flip"), name
            assert torch.equal(coloured[name], values) == (name in ("hue", "saturation")), name
            assert not torch.equal(key[name], values), name
            assert not torch.equal(flipped[name], coloured[name]), name
