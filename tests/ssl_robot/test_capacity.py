import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ssl_robot import backbones
from ssl_robot.capacity import USUAL, largest, of_device
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views


@given(st.floats(0, 1e9), st.floats(1e3, 1e8), st.floats(1e9, 1e11), st.integers(2, 5000))
def test_what_is_foreseen_fits_and_twice_as_much_would_not(fixed: float, each: float, free: float, most: int) -> None:
    batch = largest(lambda frames: fixed + each * frames, free, most)
    assert 2 <= batch <= most
    assert batch & (batch - 1) == 0
    if batch > 2:
        assert fixed + each * batch <= free
    assert 2 * batch > most or fixed + each * 2 * batch > 0.85 * free - each


def test_on_a_processor_it_is_the_usual_batch() -> None:
    objective, views = Simsiam(width=32).build(nn.Flatten(), 12), Views(Recipe.named("simsiam"), 2, seed=0)
    assert of_device(objective, views, half=False, most=1000) == USUAL
    assert of_device(objective, views, half=False, most=40) == 40


@pytest.mark.gpu
def test_on_a_gpu_the_batch_that_is_foreseen_can_be_trained_on() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    backbone = backbones.build("small", 0)
    objective = Simsiam(width=32).build(backbone, 128).cuda()
    batch = of_device(objective, Views(Recipe.named("simsiam"), 64, seed=0), half=True, most=512)
    objective([torch.rand(batch, 3, 64, 64, device="cuda") for _ in range(2)]).total.backward()
