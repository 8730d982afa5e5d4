import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ssl_robot.random import uniforms

_WORD = 2**64
_INT64 = st.integers(-(2**63), 2**63 - 1)
_SMALL = st.integers(0, 2**40)


def mixed(state: int) -> int:
    """splitmix64's next output (Steele, Lea and Flood 2014), in Python's own integers."""
    state = (state + 0x9E3779B97F4A7C15) % _WORD
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % _WORD
    return state ^ (state >> 31)


def expected(seed: int, step: int, sample: int, stream: int, column: int) -> float:
    state = mixed(seed % _WORD)
    for coordinate in (step, stream, sample, column):
        state = mixed((state + coordinate) % _WORD)
    return (state >> 40) / 2**24


def test_the_oracle_is_splitmix64() -> None:
    """The first outputs for seed 1234567 that the reference C code gives (prng.di.unimi.it/splitmix64.c)."""
    outputs = [mixed((1234567 + i * 0x9E3779B97F4A7C15) % _WORD) for i in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(seed=_INT64, step=_SMALL, sample=_INT64, stream=_SMALL, column=st.integers(0, 6))
def test_numbers_are_those_of_splitmix64(seed: int, step: int, sample: int, stream: int, column: int) -> None:
    drawn = uniforms(seed, step, torch.tensor([sample]), stream, 7)
    assert drawn.dtype == torch.float32
    assert float(drawn[0, column]) == expected(seed, step, sample, stream, column)


@given(samples=st.lists(_SMALL, min_size=1, max_size=20), cut=st.integers(0, 20))
def test_a_sample_draws_the_same_in_any_batch(samples: list[int], cut: int) -> None:
    batch = torch.tensor(samples)
    whole = uniforms(3, 5, batch, 7, 4)
    pieces = [uniforms(3, 5, part, 7, 4) for part in (batch[:cut], batch[cut:])]
    assert torch.equal(torch.cat(pieces), whole)
    assert torch.equal(uniforms(3, 5, batch.flip(0), 7, 4), whole.flip(0))


@pytest.mark.parametrize("axis", ["samples", "steps", "streams", "seeds", "columns"])
def test_numbers_are_uniform_along_every_coordinate(axis: str) -> None:
    """Kolmogorov and Smirnov find nothing, nor do lag-one pairs correlate."""
    n, one = 20_000, torch.tensor([11])
    drawn = {
        "samples": lambda: uniforms(1, 2, torch.arange(n), 3, 1),
        "steps": lambda: torch.cat([uniforms(1, i, one, 3, 1) for i in range(n // 10)]),
        "streams": lambda: torch.cat([uniforms(1, 2, one, i, 1) for i in range(n // 10)]),
        "seeds": lambda: torch.cat([uniforms(i, 2, one, 3, 1) for i in range(n // 10)]),
        "columns": lambda: uniforms(1, 2, one, 3, n),
    }[axis]()
    values = drawn.flatten().double().numpy()
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 4 / len(values) ** 0.5


def test_neighbouring_coordinates_do_not_stand_in_for_each_other() -> None:
    """Step 1 of stream 2 is not step 2 of stream 1: a mere sum of the coordinates would make them the same."""
    samples = torch.arange(100)
    assert not torch.equal(uniforms(0, 1, samples, 2, 1), uniforms(0, 2, samples, 1, 1))
    assert not torch.equal(uniforms(0, 1, samples, 0, 1)[1:], uniforms(0, 2, samples, 0, 1)[:-1])
