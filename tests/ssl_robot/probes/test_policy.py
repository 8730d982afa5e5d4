"""Cloned policies do what is known of them: on a line, where the answer can be read from the frames."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ssl_robot.baselines import named
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.probes import Score
from ssl_robot.probes.policy import Policy
from ssl_robot.probing.rollouts import played, unseen
from ssl_robot.readers import EncoderReader

QUICK = {"updates": 300, "episodes": 30}
CARD = Card("small", 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="module")
def demos(line, shown_on) -> Any:
    return shown_on(line(), 60)


def asked(reader: Any, demos: Any, arena: Any, **settings: Any) -> dict[str, Score]:
    reader = named(reader, demos) if isinstance(reader, str) else reader
    return {score.metric: score for score in Policy(**{**QUICK, **settings}).ask(reader, demos, arena)}


def encoder(seed: int) -> EncoderReader:
    return EncoderReader(Encoder.fresh(CARD, seed).eval().requires_grad_(False), f"encoder {seed}")


def test_whoever_knows_the_goal_reaches_it_like_the_expert(line, demos, expert) -> None:
    scores = asked("state", demos, line(), updates=800)
    assert list(scores) == ["success", "return", "normalised"]
    best, chance = played(line(), expert, unseen(demos.seeds, 30)).returns.mean(), scores["return"].chance
    assert (scores["return"].value - chance) / (best - chance) > 0.95
    assert scores["normalised"].value == pytest.approx(1, abs=0.15)  # the demonstrations' goals lie elsewhere
    assert scores["normalised"].chance == 0
    assert scores["success"].value > 0.9
    assert scores["success"].chance < 0.5
    assert {score.target for score in scores.values()} == {"line"}
    assert {(score.n, score.episodes) for score in scores.values()} == {(30, 30)}


def test_who_sees_the_goal_beats_who_sees_nothing(line, demos, eyes) -> None:
    sees, blind = (asked(reader, demos, line()) for reader in (eyes, "nothing"))
    assert sees["normalised"].value > 0.8
    assert blind["normalised"].high < sees["normalised"].low
    assert blind["success"].value < sees["success"].value / 2


def test_what_the_robot_feels_can_be_taken_from_it(line, demos) -> None:
    """The goal alone does not say which way to go."""
    with_it, without = (asked("state:goal", demos, line(), proprio=said) for said in ((), ("none",)))
    assert without["normalised"].high < with_it["normalised"].low


def test_a_seed_repeats_every_number_and_another_does_not(line, demos, eyes) -> None:
    first, again, other = (asked(eyes, demos, line(), seed=seed) for seed in (1, 1, 2))
    for metric, score in first.items():
        assert score == again[metric]
        np.testing.assert_array_equal(score.resampled, again[metric].resampled)
    assert first["return"].value != other["return"].value


@pytest.mark.parametrize("history", [1, 3])
def test_side_by_side_is_one_after_the_other(line, demos, eyes, history: int) -> None:
    together, alone = (asked(eyes, demos, line(copies), history=history) for copies in (30, 1))
    for metric, score in together.items():
        assert score.value == pytest.approx(alone[metric].value, abs=1e-4)
        assert score.chance == alone[metric].chance


def test_nothing_is_drawn_for_who_does_not_look(line, demos, eyes) -> None:
    arena = line()
    asked("state", demos, arena)
    assert arena.looks == [False, False]
    asked(eyes, demos, arena)
    assert arena.looks[2:] == [False, True]  # acting at random needs no eyes


def test_several_learners_are_counted_and_widen_the_interval(line, demos) -> None:
    one, three = (asked("nothing", demos, line(), seeds=seeds, updates=20) for seeds in (1, 3))
    assert (three["return"].n, three["return"].episodes) == (90, 30)
    single = [asked("nothing", demos, line(), seed=seed, updates=20)["return"].value for seed in range(3)]
    assert three["return"].value == pytest.approx(np.mean(single))
    assert one["return"].value == pytest.approx(single[0])


@pytest.mark.parametrize("learner", ["quick", "r3m", "cortexbench"])
def test_every_learner_learns(line, demos, learner: Any) -> None:
    assert asked("state", demos, line(), learner=learner)["normalised"].value > 0.85


def test_an_encoder_from_scratch_does_not_depend_on_the_one_that_is_asked(line, demos) -> None:
    settings: dict[str, Any] = {"weights": "scratch", "updates": 8, "episodes": 5}
    one, other = (asked(encoder(seed), demos, line(), **settings) for seed in (0, 1))
    assert {m: s.value for m, s in one.items()} == {m: s.value for m, s in other.items()}


def test_a_tuned_encoder_learns_and_the_one_that_is_asked_stays(line, demos) -> None:
    reader = encoder(0)
    before = {name: value.clone() for name, value in reader.encoder.state_dict().items()}
    settings: dict[str, Any] = {"updates": 8, "episodes": 5}
    tuned = asked(reader, demos, line(), weights="tuned", **settings)
    still = asked(reader, demos, line(), weights="tuned", tuned_rate=0.0, **settings)
    assert tuned["return"].value != still["return"].value
    for name, value in reader.encoder.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.slow
def test_learning_from_scratch_finds_the_goal(line, demos) -> None:
    scores = asked(encoder(0), demos, line(), weights="scratch", layer="map", updates=120)
    assert scores["normalised"].low > asked("nothing", demos, line())["normalised"].high


def test_a_world_that_does_not_tell_success_is_scored_by_returns(line, demos) -> None:
    assert list(asked("state", demos, line(tells=False), updates=5)) == ["return", "normalised"]


def test_returns_say_nothing_where_success_costs_reward(line, shown_on) -> None:
    scores = asked("state", shown_on(line(bonus=9), 20), line(bonus=9), updates=5)
    assert list(scores) == ["success"]


def test_returns_are_left_out_where_success_ends_an_episode(line, demos, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = line()
    monkeypatch.setattr(arena, "stops", True)
    assert list(asked("state", demos, arena, updates=5)) == ["success"]


def test_a_roll_out_is_left_and_the_expert_counted_alike(line, demos) -> None:
    """Acting at random costs more with every step, and the expert, who has arrived after two, nothing."""
    two, all_of_it = (asked("state", demos, line(), steps=steps) for steps in (2, 0))
    assert two["return"].chance > all_of_it["return"].chance
    assert two["normalised"].value == pytest.approx(all_of_it["normalised"].value, abs=0.15)


def test_fewer_demonstrations_can_be_asked_for(line, demos, shown_on, eyes) -> None:
    few = asked(eyes, demos, line(), demonstrations=3)
    same = asked(eyes, shown_on(line(), 3), line())
    assert {m: s.value for m, s in few.items()} == pytest.approx({m: s.value for m, s in same.items()})


def without(demos: Any, label: str) -> Any:
    return replace(demos, named={name: value for name, value in demos.named.items() if name != label})


@pytest.mark.parametrize(
    ("reader", "settings", "says"),
    [
        ("state", {"weights": "tuned"}, "'state' is no encoder that could be trained"),
        ("blind:flip", {"weights": "scratch"}, "'blind:flip' is no encoder that could be trained"),
        ("state", {"demonstrations": 61}, "There are 60 demonstrations, not 61"),
        ("state", {"proprio": ("agent:1",)}, "asks for a number that agent lacks: it has 0 to 0"),
        ("state", {"proprio": ("agent:x",)}, "write it as agent:0,1,2"),
        ("state", {"proprio": ("hand",)}, "no label 'hand'"),
        ("blind:time", {}, "not while acting"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(line, demos, reader: str, settings: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        asked(reader, demos, line(), **settings)


def test_a_recording_without_actions_or_with_others_is_refused(line, demos, eyes) -> None:
    with pytest.raises(InputError, match="no actions, so there is nothing to clone"):
        asked(eyes, without(demos, "actions"), line())
    wide = replace(demos, named={**demos.named, "actions": (demos.label("actions"), np.zeros((300, 2)))})
    with pytest.raises(InputError, match="actions have 2 numbers, those of line 1"):
        asked(eyes, wide, line())
    hole = replace(demos, named={**demos.named, "agent": (demos.label("agent"), np.full((300, 1), np.nan))})
    with pytest.raises(InputError, match="not known in some rows"):
        asked(eyes, hole, line())


def test_an_expert_no_better_than_chance_is_refused(line, demos) -> None:
    lazy = replace(demos, rewards=demos.rewards - 5)
    with pytest.raises(InputError, match="give better ones, as by 'ssl-robot collect --explorer expert'"):
        asked("state", lazy, line(tells=False), updates=5)


@pytest.mark.parametrize("settings", [{"episodes": 1}, {"tuned_rate": -1.0}, {"history": 17}, {"seeds": 0}])
def test_settings_have_ranges(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"policy\."):
        Policy(**settings)
