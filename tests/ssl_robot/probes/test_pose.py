from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from ssl_robot.baselines import named
from ssl_robot.errors import InputError
from ssl_robot.frames import Label
from ssl_robot.probes import Score
from ssl_robot.probes.pose import Pose
from ssl_robot.splits import split

POSE = Label("poses/block", ("x", "y", "angle"), ("m", "m", "rad"), (False, False, True))
RNG = np.random.default_rng(0)
N = 600


@pytest.fixture(scope="module")
def scenes(memory):
    """Frames nobody looks at, with poses spread evenly: the angle over the whole turn."""
    rng = np.random.default_rng(0)
    poses = np.column_stack([rng.uniform(-1, 1, (N, 2)), rng.uniform(-np.pi, np.pi, N)])
    images = rng.integers(0, 256, (N, 4, 4, 3), np.uint8)
    return memory(images, None, {POSE.name: (POSE, poses)})


def seen(scenes, *columns: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Tensor:
    poses = scenes.values(POSE.name)
    return torch.from_numpy(np.column_stack([column(poses) for column in columns])).float()


def asked(features: Tensor, frames, head: str = "kernel", target: str = "block") -> dict[tuple[str, str], Score]:
    scores = Pose(target=(target,), head=head).score(features, frames)
    return {(item.component, item.metric): item for item in scores}


def everything(scenes) -> Tensor:
    return seen(scenes, lambda p: p[:, 0], lambda p: p[:, 1], lambda p: np.cos(p[:, 2]), lambda p: np.sin(p[:, 2]))


R2 = [(name, "r2") for name in ("x", "y", "angle cos", "angle sin")]
ERRORS = [("x", "error"), ("y", "error"), ("angle", "error")]


def test_an_angle_is_scored_by_cosine_and_sine_and_in_degrees(scenes) -> None:
    scores = asked(everything(scenes), scenes)
    assert set(scores) == {*R2, *ERRORS}
    assert {item.target for item in scores.values()} == {"poses/block"}
    assert [scores[key].unit for key in ERRORS] == ["m", "m", "deg"]
    assert all(scores[key].unit == "" for key in R2)
    assert {item.n for item in scores.values()} == {len(split(scenes).test)}


@pytest.mark.parametrize("head", ["kernel", "ridge"])
def test_an_encoder_that_sees_everything_is_not_flagged(scenes, head: str) -> None:
    """Across the wrap of the angle too: the largest error would be near 360 degrees otherwise."""
    scores = asked(everything(scenes), scenes, head)
    assert all(scores[key].low > 0.98 for key in R2)
    assert scores["angle", "error"].value < 3
    assert scores["x", "error"].value < 0.02


def test_chance_is_what_the_mean_scores(scenes) -> None:
    """An angle spread over the whole turn is missed by 90 degrees, a place spread over (-1, 1) by a half."""
    scores = asked(everything(scenes), scenes)
    assert scores["angle", "error"].chance == pytest.approx(90, abs=8)
    assert scores["x", "error"].chance == pytest.approx(0.5, abs=0.06)
    assert all(-0.05 < scores[key].chance <= 0 for key in R2)


@pytest.mark.parametrize("head", ["kernel", "ridge"])
def test_features_that_say_nothing_score_about_chance(scenes, head: str) -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(N, 20)))
    for item in asked(noise, scenes, head).values():
        width = item.high - item.low
        assert item.low - width / 2 < item.chance < item.high + width / 2
        assert item.metric == "error" or abs(item.value) < 0.1


def test_features_blind_to_a_flip_lose_what_the_flip_exchanges_and_nothing_else(scenes) -> None:
    """Left and right: the sign of x, and of the sine where the angle is measured from the vertical."""
    blind = seen(scenes, lambda p: p[:, 1], lambda p: np.cos(p[:, 2]), lambda p: np.abs(np.sin(p[:, 2])))
    scores = asked(blind, scenes)
    assert scores["angle cos", "r2"].low > 0.98
    assert scores["y", "r2"].low > 0.98
    for lost in (scores["angle sin", "r2"], scores["x", "r2"]):
        assert lost.value < 0.1
        assert lost.low < 0.05
    assert 20 < scores["angle", "error"].value < 70


def test_intervals_hold_the_value_and_narrow_with_more_scenes(scenes, memory) -> None:
    noisy = everything(scenes) + 0.3 * torch.from_numpy(RNG.normal(size=(N, 4)))
    fewer = memory(scenes.images[:150], None, {POSE.name: (POSE, scenes.values(POSE.name)[:150])})
    wide, narrow = asked(noisy[:150], fewer), asked(noisy, scenes)
    for key, item in narrow.items():
        assert item.low < item.value < item.high
        assert item.high - item.low < wide[key].high - wide[key].low


def test_intervals_count_episodes_not_frames(scenes, memory) -> None:
    """Every scene ten times over, as ten frames of one episode, tells no more than once."""
    noisy = everything(scenes)[:150] + 0.3 * torch.from_numpy(RNG.normal(size=(150, 4)))
    poses, images = scenes.values(POSE.name)[:150], scenes.images[:150]
    once = memory(images, None, {POSE.name: (POSE, poses)})
    often = memory(images.repeat(10, 0), [10] * 150, {POSE.name: (POSE, poses.repeat(10, 0))})
    one, ten = asked(noisy, once, "ridge"), asked(noisy.repeat_interleave(10, 0), often, "ridge")
    for key in R2:
        ratio = (ten[key].high - ten[key].low) / (one[key].high - one[key].low)
        assert 0.8 < ratio < 1.25


def test_answers_of_the_test_rows_reach_no_prediction(scenes, memory) -> None:
    """Were they used, shuffled answers would still score above nothing."""
    poses = scenes.values(POSE.name).copy()
    test = split(scenes).test
    poses[test] = poses[np.random.default_rng(2).permutation(test)]
    shuffled = memory(scenes.images, None, {POSE.name: (POSE, poses)})
    scores = asked(everything(scenes), shuffled)
    assert all(scores[key].value < -0.3 for key in R2)


def test_a_label_that_does_not_vary_is_named_and_not_scored(scenes, memory) -> None:
    poses = np.tile([0.5, 0.0, np.pi / 2], (N, 1))
    constant = memory(scenes.images, None, {POSE.name: (POSE, poses)})
    scores = asked(everything(scenes), constant)
    assert {key: item.value for key, item in scores.items()} == {
        ("x", "constant"): 0.5,
        ("y", "constant"): 0.0,
        ("angle", "constant"): pytest.approx(90),
    }
    poses[:, 0] = scenes.values(POSE.name)[:, 0]
    moving = memory(scenes.images, None, {POSE.name: (POSE, poses)})
    assert list(asked(everything(scenes), moving)) == [
        ("x", "r2"), ("x", "error"), ("y", "constant"), ("angle", "constant"),
    ]  # fmt: skip


def test_poses_of_real_frames_are_read_from_their_pixels(resets) -> None:
    """The recording's labels belong to its frames: where the block is shows even in 32x32 pixels of 180 frames."""
    scores = asked(named("pixels", resets).everything(resets), resets, "ridge", "poses/block")
    assert scores["x", "r2"].low > 0.3
    assert scores["y", "r2"].low > 0.3
    assert scores["x", "error"].unit == "px"


def test_an_unknown_target_lists_the_labels(scenes) -> None:
    with pytest.raises(InputError, match="no label 'cup': choose from poses/block"):
        asked(everything(scenes), scenes, target="cup")


BODY = Label("poses/body", ("x", "qw", "qx", "qy", "qz"), ("m", "", "", "", ""), (False,) * 5)


@pytest.fixture(scope="module")
def bodies(memory):
    """Frames nobody looks at of a body that is turned anyhow; the sign of its quaternions says nothing."""
    rng = np.random.default_rng(0)
    quaternions = Rotation.random(N, random_state=np.random.RandomState(0)).as_quat()[:, [3, 0, 1, 2]]
    quaternions *= rng.choice([-1, 1], (N, 1))
    values = np.concatenate([rng.uniform(-1, 1, (N, 1)), quaternions], 1)
    return memory(rng.integers(0, 256, (N, 4, 4, 3), np.uint8), None, {BODY.name: (BODY, values)})


def matrices(bodies) -> Tensor:
    """Flattened rotation matrices."""
    found = Rotation.from_quat(bodies.values(BODY.name)[:, [2, 3, 4, 1]]).as_matrix()
    return torch.from_numpy(found.reshape(N, 9))


def rotation(features: Tensor, bodies, *symmetric: str, head: str = "ridge") -> tuple[Score, Score]:
    """R2 and error."""
    scores = Pose(head=head, symmetric=symmetric).score(features, bodies)
    found = {item.metric: item for item in scores if item.component == "rotation"}
    return found["r2"], found["error"]


def test_a_rotation_that_is_in_the_features_is_read_to_a_degree(bodies) -> None:
    r2, error = rotation(matrices(bodies), bodies)
    assert r2.value > 0.999
    assert error.value < 1
    assert (error.unit, r2.target, error.n) == ("deg", "poses/body", len(split(bodies).test))
    assert error.chance == pytest.approx(126.5, abs=4)  # between rotations that are spread evenly
    assert error.control == pytest.approx(126.5, abs=8)


def test_features_blind_to_half_a_turn_read_what_half_a_turn_does_not_change(bodies) -> None:
    """By chance as it is, perfectly for a shape that looks the same after half a turn."""
    m = matrices(bodies).reshape(N, 3, 3)
    u = torch.complex(m[:, :, 0], m[:, :, 1])  # half a turn about z makes -u of it, and products stay
    products = torch.stack([u[:, i] * u[:, j] for i in range(3) for j in range(i, 3)], 1)
    blind = torch.cat([m[:, :, 2], products.real, products.imag], 1)
    plain, halved = rotation(blind, bodies), rotation(blind, bodies, "body:z:2")
    assert plain[0].value < 0.1
    assert plain[1].value > plain[1].chance - 15
    assert halved[0].value > 0.999
    assert halved[1].value < 1
    assert halved[1].chance < plain[1].chance - 15


def test_a_round_shape_only_points_somewhere(bodies) -> None:
    axis = matrices(bodies).reshape(N, 3, 3)[:, :, 2]
    r2, error = rotation(axis, bodies, "z:inf")
    assert r2.value > 0.999
    assert error.value < 1
    assert error.chance == pytest.approx(90, abs=7)


def test_an_angle_that_looks_the_same_after_a_quarter(scenes) -> None:
    """Features that see the angle only up to a quarter turn."""
    blind = seen(scenes, lambda p: np.cos(4 * p[:, 2]), lambda p: np.sin(4 * p[:, 2]))
    quarter = {
        (s.component, s.metric): s for s in Pose(target=("block",), symmetric=("block:angle:4",)).score(blind, scenes)
    }
    assert quarter["angle", "error"].value < 1.5
    assert quarter["angle", "error"].chance == pytest.approx(22.5, abs=2)
    assert quarter["4 angle cos", "r2"].value > 0.98
    assert asked(blind, scenes)["angle", "error"].value > 70


def test_every_score_says_what_read_what(scenes) -> None:
    for item in Pose(head="ridge", layer="map", seed=5).score(everything(scenes), scenes):
        assert (item.layer, item.head, item.seed, item.split, item.note) == ("map", "ridge", 5, "episode", "")


def test_maps_are_read_by_the_heads_that_look_at_them(scenes) -> None:
    """The place of a bright cell, which the mean over the map does not tell; heads for vectors see 4x4 cells."""
    places = scenes.values(POSE.name)[:, :2]
    y, x = np.mgrid[-1:1:9j, -1:1:9j]
    far = np.square(x - places[:, :1, None]) + np.square(y - places[:, 1:, None])
    maps = torch.from_numpy(np.exp(-far / 0.05)[:, None]).float().repeat(1, 2, 1, 1)
    for head in ("attentive", "softmax", "kernel"):
        scores = Pose(head=head, control=False).score(maps, scenes)
        found = {(item.component, item.metric): item for item in scores}
        assert found["x", "r2"].value > (0.7 if head == "kernel" else 0.95)
        assert found["y", "r2"].value > (0.7 if head == "kernel" else 0.95)


def test_a_head_for_maps_is_refused_a_vector_before_anything_is_computed(scenes) -> None:
    class Never:
        labels: tuple[str, ...] = ()
        name = key = "never"

        def everything(self, frames, layer):
            raise AssertionError

    with pytest.raises(InputError, match="'softmax' looks at a feature map: ask for --layer map"):
        Pose(head="softmax").ask(Never(), scenes)
    with pytest.raises(InputError, match="no label 'cup'"):
        Pose(target=("cup",)).ask(Never(), scenes)
    with pytest.raises(InputError, match="turns as 'cup:z:2'"):
        Pose(symmetric=("cup:z:2",)).ask(Never(), scenes)


def test_the_control_comes_to_nothing_where_episodes_are_independent(scenes) -> None:
    for head in ("kernel", "ridge", "neighbours", "mlp"):
        for item in Pose(target=("block",), head=head).score(everything(scenes), scenes):
            assert item.metric == "error" or abs(item.control) < 0.2, head
            if item.metric == "error":
                assert item.control > 0.85 * item.chance
    assert all(item.control is None for item in Pose(control=False).score(everything(scenes), scenes))


def journeys(memory, own: float):
    """60 episodes of 20 steps in which the same way is gone; each has a share of its own in it."""
    rng = np.random.default_rng(0)
    way = np.tile(np.linspace(0, 1, 20), 60)
    values = way + own * np.repeat(rng.normal(size=60), 20)
    label = Label.plain("hand", 1)
    images = rng.integers(0, 256, (1200, 2, 2, 3), np.uint8)
    return memory(images, [20] * 60, {"hand": (label, values[:, None])}), torch.from_numpy(way)[:, None]


def test_the_control_tells_what_is_the_same_in_every_episode(memory) -> None:
    """A clock reads a hand that always goes the same way: R2 alone would call that seeing."""
    frames, clock = journeys(memory, own=0.05)
    r2 = Pose(head="kernel").score(clock, frames)[0]
    assert r2.value > 0.9
    assert r2.control > 0.9


def test_a_label_that_an_episode_gives_away_is_warned_of(memory) -> None:
    settled, clock = journeys(memory, own=5)
    note = Pose(head="ridge").score(clock, settled)[0].note
    assert "0 hardly varies within an episode (correlation" in note
    assert "split by session or record independent resets" in note
    moving, clock = journeys(memory, own=0.05)
    assert Pose(head="ridge").score(clock, moving)[0].note == ""


def test_frames_that_are_there_twice_are_warned_of(memory) -> None:
    """Thirty episodes with their last frames repeated at the end of others: the split sees first frames only."""
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(300, 200)), rng.normal(size=(300, 1))
    label, images = Label.plain("a", 1), rng.integers(0, 256, (300, 2, 2, 3), np.uint8)

    def probed(features, values):
        frames = memory(images, [10] * 30, {"a": (label, values)})
        return Pose(head="neighbours").score(torch.from_numpy(features), frames)[0]

    assert "training frame" not in probed(features, values).note
    for copied in (features, values):
        copied[5::10] = np.roll(copied[9::10], 1, 0)
    honest = probed(features, values)
    assert "have the features and the answer of a training frame: the recording may hold them twice" in honest.note
    assert abs(honest.control) < 0.3
    assert "training frame" not in probed(features, rng.normal(size=(300, 1))).note


def test_few_test_episodes_are_warned_of(scenes, memory) -> None:
    few = memory(scenes.images[:20], None, {POSE.name: (POSE, scenes.values(POSE.name)[:20])})
    notes = {item.note for item in Pose(head="ridge").score(everything(scenes)[:20], few)}
    assert notes == {"5 test episodes: too few to trust."}


def test_sessions_divide_what_a_background_gives_away(memory) -> None:
    """Features that know the session and nothing else: by episode they read where it was set up, by session nothing."""
    rng = np.random.default_rng(0)
    session = np.repeat(np.arange(60), 4)
    setup = rng.normal(size=60)[session]
    rows = np.repeat(np.arange(240), 5)
    values = np.column_stack([session[rows], setup[rows] + 0.05 * rng.normal(size=1200)])
    label = Label.plain("state", 2, ("session", "place"))
    images = rng.integers(0, 256, (1200, 2, 2, 3), np.uint8)
    frames = memory(images, [5] * 240, {"state": (label, values)})
    features = torch.nn.functional.one_hot(torch.from_numpy(session[rows])).double()

    def place(session: str) -> Score:
        scores = Pose(head="ridge", session=session).score(features, frames)
        return next(item for item in scores if (item.component, item.metric) == ("place", "r2"))

    assert place("").value > 0.9
    assert "hardly varies within an episode" in place("").note
    divided = place("state:session")
    assert divided.value < 0.1
    assert divided.split == "session"


@pytest.mark.parametrize("head", ["kernel", "mlp"])
def test_labels_asked_about_together_are_scored_as_if_alone(scenes, memory, monkeypatch, head: str) -> None:
    monkeypatch.setattr("ssl_robot.probing.learned._STEPS", 50)
    second = Label("state", ("s",), ("m",), (False,))
    named_ = {POSE.name: (POSE, scenes.values(POSE.name)), "state": (second, scenes.values(POSE.name)[:, :1] ** 2)}
    both = memory(scenes.images, None, named_)
    together = Pose(head=head).score(everything(scenes), both)
    apart = [s for name in named_ for s in Pose(target=(name,), head=head).score(everything(scenes), both)]
    assert [(s.target, s.component, s.metric) for s in together] == [(s.target, s.component, s.metric) for s in apart]
    for one, other in zip(together, apart, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-6)
        assert one.control == pytest.approx(other.control, abs=1e-6)


def test_actions_are_asked_about_only_by_name(scenes, memory) -> None:
    label = Label.plain("actions", 1)
    values = scenes.values(POSE.name)
    frames = memory(scenes.images, None, {"actions": (label, values[:, :1]), POSE.name: (POSE, values)})
    assert {s.target for s in Pose(head="ridge").score(everything(scenes), frames)} == {POSE.name}
    assert {s.target for s in Pose(target=("actions",), head="ridge").score(everything(scenes), frames)} == {"actions"}
    twice = Pose(target=("block", POSE.name), head="ridge").score(everything(scenes), frames)
    assert len(twice) == len(Pose(head="ridge").score(everything(scenes), frames))
    with pytest.raises(InputError, match="no labels to read"):
        Pose().score(everything(scenes), memory(scenes.images))


def test_missing_answers_and_impossible_quaternions_are_refused(bodies, memory) -> None:
    for value, says in ((np.nan, "not known in 1 row"), (0.0, "quaternions of length 0")):
        values = bodies.values(BODY.name).copy()
        values[3, 1:] = value
        with pytest.raises(InputError, match=says):
            Pose().score(matrices(bodies), memory(bodies.images, None, {BODY.name: (BODY, values)}))


def test_the_truth_itself_is_the_ceiling(scenes) -> None:
    """Through the whole way: reader, features, split, head."""
    scores = {(s.component, s.metric): s for s in Pose(head="kernel").ask(named("state", scenes), scenes)}
    assert all(scores[key].low > 0.98 for key in R2)
