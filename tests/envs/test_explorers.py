"""Every explorer of the catalogue acts within the space, and repeats itself for a seed."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import ssl_robot.envs.explorers
from ssl_robot import catalogue
from ssl_robot.envs.exploration import Explorer, noisy
from ssl_robot.envs.explorers.pink_noise import pink
from ssl_robot.envs.world import Expert, Sight, World
from ssl_robot.errors import InputError

BOX = gym.spaces.Box(np.array([-1, 0, -3], np.float32), np.array([1, 4, -2], np.float32))
UNBOUNDED = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
HUGE = gym.spaces.Box(-1e10, 1e10, (2,), np.float64)
CHOICES = [gym.spaces.Discrete(4), gym.spaces.MultiDiscrete([2, 3]), gym.spaces.MultiBinary(3)]
NAMES = catalogue.names(ssl_robot.envs.explorers)


class Nowhere(World):
    """A world with nothing but an action space, and an expert that always does the same."""

    def __init__(self, space: gym.Space[Any]) -> None:
        env: gym.Env[Any, Any] = gym.Env()
        env.action_space = space
        super().__init__(env, Sight())
        self.policies = 0

    def expert(self) -> Expert:
        self.policies += 1
        return lambda observation: np.full((self.env.action_space.shape or ()), observation)


def explorer(name: str, space: gym.Space[Any], seed: int = 0) -> Explorer:
    made: Explorer = catalogue.found(ssl_robot.envs.explorers, name)(Nowhere(space), seed)
    return made


def acts(actor: Explorer, count: int = 50, episodes: int = 2) -> NDArray[Any]:
    taken = []
    for _ in range(episodes):
        actor.reset()
        taken += [actor.act(0.0, {}) for _ in range(count)]
    return np.stack(taken)


@pytest.mark.parametrize("space", [BOX, UNBOUNDED, HUGE])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "expert"])
def test_actions_lie_in_the_space_and_are_repeatable(name: str, space: gym.spaces.Box) -> None:
    first, again, other = (acts(explorer(name, space, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    assert first.dtype == space.dtype
    assert all(action in space for action in first)
    assert np.abs(first).max() < 10  # where there are no bounds too
    assert len(np.unique(first, axis=0)) > 3


@pytest.mark.parametrize("space", CHOICES)
@pytest.mark.parametrize("name", ["uniform", "sticky"])
def test_choices_can_be_explored(name: str, space: gym.Space[Any]) -> None:
    taken = acts(explorer(name, space), 200)
    assert all(action in space for action in taken)
    assert len(np.unique(taken, axis=0)) > 3


@pytest.mark.parametrize("name", ["uniform", "sticky"])
def test_a_single_choice_can_be_looked_up(name: str) -> None:
    """Environments that are tables do so; an array, even one without axes, is no key."""
    action: Any = explorer(name, gym.spaces.Discrete(4)).act(0.0, {})
    assert action in {0, 1, 2, 3}


@pytest.mark.parametrize("space", CHOICES)
def test_choices_bear_no_noise(space: gym.Space[Any]) -> None:
    with pytest.raises(InputError, match="are choices, which bear no noise: explore with uniform or sticky"):
        explorer("pink_noise", space)
    with pytest.raises(InputError, match="are choices, which bear no noise"):
        noisy(explorer("uniform", space), space, 0.1, 0)


def test_the_environments_own_space_is_left_alone() -> None:
    space = gym.spaces.Box(-1, 1, (2,))
    space.seed(5)
    expected = space.sample()
    space.seed(5)
    for name in NAMES:
        acts(explorer(name, space))
    np.testing.assert_array_equal(space.sample(), expected)


def test_uniform_actions_fill_the_space() -> None:
    taken = acts(explorer("uniform", BOX), 4000, 1)
    np.testing.assert_allclose(taken.mean(0), (BOX.low + BOX.high) / 2, atol=0.06)
    np.testing.assert_allclose(taken.std(0), (BOX.high - BOX.low) / 12**0.5, rtol=0.05)
    free = acts(explorer("uniform", UNBOUNDED), 4000, 1)
    np.testing.assert_allclose(free.std(0), 1, rtol=0.05)


def test_sticky_actions_stay_nine_times_out_of_ten() -> None:
    taken = acts(explorer("sticky", BOX), 4000, 1)
    assert (taken[1:] == taken[:-1]).all(1).mean() == pytest.approx(0.9, abs=0.02)


def test_an_episode_does_not_begin_with_the_last_action() -> None:
    sticky = explorer("sticky", BOX)
    starts = [acts(sticky, 1, 1) for _ in range(20)]
    assert len(np.unique(starts, axis=0)) == 20


@pytest.mark.parametrize("length", [64, 1000])
def test_pink_noise_has_as_much_power_in_every_octave(length: int) -> None:
    """Power falls as 1/f, so its slope over logarithmic frequency is -1; white noise has 0, a random walk -2."""
    noise = pink(np.random.default_rng(0), length, (2000,))
    assert noise.shape == (length, 2000)
    assert noise.var() == pytest.approx(1, rel=0.05)
    windowed = noise * np.hanning(length)[:, None]
    power = np.square(np.abs(np.fft.rfft(windowed, axis=0))).mean(1)[3:-1]
    frequency = np.fft.rfftfreq(length)[3:-1]
    assert np.polyfit(np.log(frequency), np.log(power), 1)[0] == pytest.approx(-1, abs=0.1)
    between = np.corrcoef(noise[:, :20].T)[np.triu_indices(20, 1)]
    assert np.abs(between).mean() < 0.35  # drifts agree now and then, but not all of them


def test_pink_actions_are_as_strong_as_uniform_ones_and_go_on() -> None:
    """They go on past the stretch that is drawn at a time."""
    actor = explorer("pink_noise", BOX)
    taken = np.concatenate([acts(actor, 2500, 1) for _ in range(8)])
    half = (BOX.high - BOX.low) / 2
    np.testing.assert_allclose(((taken - (BOX.low + BOX.high) / 2) / half).std(0), 0.55, atol=0.05)
    assert pink(np.random.default_rng(0), 1, (3,)).shape == (1, 3)


def test_every_episode_has_a_fresh_expert() -> None:
    world = Nowhere(BOX)
    actor: Explorer = catalogue.found(ssl_robot.envs.explorers, "expert")(world, 0)
    taken = acts(actor, 3, 4)
    assert world.policies == 5
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, 0)


def test_without_an_expert_there_is_a_sentence() -> None:
    world = Nowhere(BOX)
    world.expert = lambda: World.expert(world)
    with pytest.raises(InputError, match="There is no scripted expert for Env: choose another --explorer"):
        catalogue.found(ssl_robot.envs.explorers, "expert")(world, 0)


def test_noise_has_its_scale_and_stays_within_bounds() -> None:
    middle = gym.spaces.Box(np.array([-1, -10], np.float32), np.array([1, 10], np.float32))
    shaken = noisy(explorer("expert", middle), middle, 0.1, 3)
    taken = acts(shaken, 2000, 1)
    np.testing.assert_allclose(taken.std(0), [0.1, 1], rtol=0.05)
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(acts(noisy(explorer("expert", middle), middle, 0.1, 3), 2000, 1), taken)
    wild = acts(noisy(explorer("uniform", BOX), BOX, 5, 0), 100)
    assert all(action in BOX for action in wild)
    assert acts(noisy(explorer("expert", UNBOUNDED), UNBOUNDED, 2, 0), 2000, 1).std() == pytest.approx(2, rel=0.05)


def test_no_noise_changes_nothing() -> None:
    actor = explorer("uniform", BOX)
    assert noisy(actor, BOX, 0, 0) is actor
    with pytest.raises(InputError, match="give 0 or more"):
        noisy(actor, BOX, -0.1, 0)
