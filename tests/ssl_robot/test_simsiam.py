import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from lightly.utils.debug import std_of_l2_normalized
from torch import Tensor, nn

from ssl_robot import backbones
from ssl_robot.datasets.store import FrameStore
from ssl_robot.encoder import Encoder
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.monitors import spread, vitals
from ssl_robot.pretrain import pretrain
from ssl_robot.recipes import Recipe
from ssl_robot.run import CollapseError
from ssl_robot.training import Training


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def built(method: Simsiam, width: int) -> nn.Module:
    """The heads on vectors: the backbone hands on what it gets."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return method.build(nn.Identity(), width)


def vectors(b: int, d: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(b, d, generator=generator, requires_grad=True) for _ in range(2)]


@pytest.mark.parametrize("stop_gradient", [True, False])
@pytest.mark.parametrize("layers", [2, 3])
def test_loss_and_gradients_are_lightlys(layers: int, stop_gradient: bool) -> None:
    """Lightly detaches nothing itself: its examples do, so that is done here."""
    objective = built(Simsiam(width=32, layers=layers, stop_gradient=stop_gradient), 16)
    views, similar = vectors(12, 16), NegativeCosineSimilarity()
    loss = objective(views)
    z = [objective.projector(view) for view in views]
    p = [objective.predictor(embedding) for embedding in z]
    targets = [embedding.detach() if stop_gradient else embedding for embedding in z]
    expected = (similar(p[0], targets[1]) + similar(p[1], targets[0])) / 2
    torch.testing.assert_close(loss.total, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(loss.embeddings, torch.stack(z).detach())
    wanted = [*views, *objective.parameters()]
    ours, theirs = (torch.autograd.grad(total, wanted) for total in (loss.total, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, atol=1e-6, rtol=1e-4)


def test_no_gradient_reaches_the_target() -> None:
    """With the predictor cut off there is no other way back."""
    objective = built(Simsiam(width=32), 16)
    objective.predictor = nn.Sequential(objective.predictor, _Cut())
    loss = objective(vectors(12, 16))
    with pytest.raises(RuntimeError, match="does not require grad"):
        loss.total.backward()


class _Cut(nn.Module):
    def forward(self, embeddings: Tensor) -> Tensor:
        return embeddings.detach()


def test_heads_have_the_papers_size() -> None:
    """Three layers and 2048-512-2048 on ResNet-50: counted by hand and by lightly."""
    objective, d = built(Simsiam(width=2048, layers=3), 2048), 2048
    assert count(objective.projector) == 3 * d * d + 2 * 2 * d == count(SimSiamProjectionHead(d, d, d))
    h = d // 4
    assert count(objective.predictor) == d * h + 2 * h + h * d + d == count(SimSiamPredictionHead(d, h, d))


def test_heads_compute_what_lightlys_compute() -> None:
    objective, (view, _) = built(Simsiam(width=32, layers=3), 16), vectors(12, 16)
    heads = {"projector": SimSiamProjectionHead(16, 32, 32), "predictor": SimSiamPredictionHead(32, 8, 32)}
    for name, head in heads.items():
        ours = getattr(objective, name)
        head.layers.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(view), head(view), atol=1e-6, rtol=0)
        view = ours(view)


def test_two_layers_are_one_hidden_block_less() -> None:
    """The paper's projector for CIFAR."""
    deep, shallow = (count(built(Simsiam(width=64, layers=layers), 16).projector) for layers in (3, 2))
    assert deep - shallow == 64 * 64 + 2 * 64


def test_each_view_has_its_own_batch_statistics() -> None:
    """A view far from the other would move both if they went through together."""
    objective, (first, second) = built(Simsiam(width=32), 16), vectors(12, 16)
    together = objective([first, second]).embeddings[0]
    torch.testing.assert_close(objective([first, second * 100 + 50]).embeddings[0], together)


@pytest.mark.parametrize("d", [8, 512])
def test_spread_is_lightlys_on_another_scale(d: int) -> None:
    embeddings = torch.randn(256, d, generator=torch.Generator().manual_seed(0)) + 0.3
    torch.testing.assert_close(spread(embeddings), std_of_l2_normalized(embeddings) * d**0.5)


def test_spread_is_one_on_the_sphere_and_zero_in_a_point() -> None:
    embeddings = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    assert float(spread(embeddings)) == pytest.approx(1, abs=0.02)
    assert float(spread(embeddings[:1].expand(50, -1) * torch.arange(1, 51)[:, None])) == pytest.approx(0, abs=1e-5)


def test_only_the_backbones_rate_decays() -> None:
    """The predictor's parameters, all of them and no others, keep their rate (paper, section 4.2)."""
    network = backbones.build("small", 0)
    objective = Simsiam(width=32).build(network, backbones.width(network, 32))
    constant = {id(parameter) for parameter in objective.constant_rate()}
    assert constant == {id(parameter) for parameter in objective.predictor.parameters()}


def trained(frames: FrameStore, out: Path, stop_gradient: bool, on_collapse: str = "stop") -> Encoder:
    """The smallest budget at which the two part for every seed tried; two or three seconds."""
    training = Training(
        epochs=12, batch_size=64, lr=0.6, size=32, on_collapse=on_collapse, device="cpu", precision="fp32"
    )
    recipe = Recipe.named("simsiam")
    method = Simsiam(width=128, stop_gradient=stop_gradient)
    return pretrain(frames, np.arange(256), method, recipe, "small", training, out, quiet=True)


def column(out: Path, name: str) -> list[float]:
    with (out / "metrics.csv").open(newline="") as file:
        return [float(line[name]) for line in csv.DictReader(file)]


def test_without_stop_gradient_real_frames_collapse_and_the_run_stops(resets: FrameStore, tmp_path: Path) -> None:
    with pytest.raises(CollapseError, match=r"Collapse: .*stop_gradient.*--sheet"):
        trained(resets, tmp_path, stop_gradient=False)
    assert 2 <= len(column(tmp_path, "epoch")) < 12
    assert not (tmp_path / "encoder.safetensors").exists()


def test_with_stop_gradient_the_same_run_stays_healthy(resets: FrameStore, tmp_path: Path) -> None:
    trained(resets, tmp_path, stop_gradient=True)
    assert len(column(tmp_path, "epoch")) == 12
    assert min(column(tmp_path, "spread")) > 0.5
    assert (tmp_path / "encoder.safetensors").exists()


def test_a_collapse_can_be_sat_out(resets: FrameStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(resets, tmp_path, stop_gradient=False, on_collapse="warn")
    assert len(column(tmp_path, "epoch")) == 12
    assert "Collapse:" in "".join(capsys.readouterr())


def late_std(frames: FrameStore, out: Path, stop_gradient: bool) -> float:
    """Standard deviation up to sign, median of a run's second half."""
    seen: list[float] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ssl_robot.run.vitals", lambda views: (seen.append(std_up_to_sign(views[0])), vitals(views))[1])
        trained(frames, out, stop_gradient, on_collapse="warn")
    return float(np.median(seen[len(seen) // 2 :]))


def std_up_to_sign(embeddings: Tensor) -> float:
    """The paper's standard deviation, every embedding turned to the same side.

    The projector's last batch norm centres each batch, so that frames which collapse to one direction still lie on
    either side of 0, where the plain standard deviation does not see it.
    """
    unit = nn.functional.normalize(embeddings, dim=1)
    direction = torch.linalg.svd(unit, full_matrices=False).Vh[0]
    return float(spread(unit * torch.sign(unit @ direction)[:, None]))


def test_the_standard_deviation_falls_towards_zero_only_without_stop_gradient(
    resets: FrameStore, tmp_path: Path
) -> None:
    """SimSiam, figure 2, on real frames: from .87 to .25 and less; without collapse .4 to .5."""
    assert late_std(resets, tmp_path / "without", stop_gradient=False) < 0.3
    assert late_std(resets, tmp_path / "with", stop_gradient=True) > 0.35
