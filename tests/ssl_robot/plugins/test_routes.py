"""The same frames give the same features, whatever way they take: an encoder, a host's plugin, an exported file.

A new way is a function of a ``Scene`` and an entry of ``ROUTES``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from numpy.typing import NDArray
from safetensors.torch import load_file

import ssl_robot
from ssl_robot.datasets.features import FeatureFile
from ssl_robot.datasets.writer import FrameWriter
from ssl_robot.encoder import FILE, Card, Encoder
from ssl_robot.experiments.cli import main
from ssl_robot.exports import export_encoder, formats
from ssl_robot.frames import Row, Schema

torch.set_num_threads(1)

COUNT, SIDE = 3, 40  # the encoder's size is another: frames are resized on every route
WORLD = "gym_pusht:gym_pusht/PushT-v0"
DRAWN = {"obs_type": "pixels", "observation_width": SIDE, "observation_height": SIDE}


@dataclass(frozen=True)
class Scene:
    """What a route is given.

    Attributes:
        encoder: Frozen.
        run: The folder of a run with the same encoder.
        frames: What environments of PushT show after a reset with the seeds 0, 1, 2: (3, 40, 40, 3) uint8; files are
            asked about frames of other numbers and sizes too.
        folder: Where it may write.
    """

    encoder: Encoder
    run: Path
    frames: NDArray[np.uint8]
    folder: Path


def numpy_last(scene: Scene) -> Any:
    return scene.encoder(scene.frames)


def numpy_first(scene: Scene) -> Any:
    return scene.encoder(scene.frames.transpose(0, 3, 1, 2))


def torch_last(scene: Scene) -> Any:
    return scene.encoder(torch.from_numpy(scene.frames))


def torch_first(scene: Scene) -> Any:
    return scene.encoder(torch.from_numpy(scene.frames).permute(0, 3, 1, 2))


def one_by_one(scene: Scene) -> Any:
    return torch.cat([scene.encoder(scene.frames[i : i + 1]) for i in range(COUNT)])


def run_folder(scene: Scene) -> Any:
    return ssl_robot.load(scene.run)(scene.frames)


def hub_folder(scene: Scene) -> Any:
    scene.encoder.save_pretrained(scene.folder)
    return Encoder.from_pretrained(str(scene.folder))(scene.frames)


def part_of_a_network_that_learns(scene: Scene) -> Any:
    network = torch.nn.Sequential(ssl_robot.load(scene.run), torch.nn.Linear(128, 2)).train()
    return network[0](scene.frames)


def gymnasium_env(scene: Scene) -> Any:
    env = ssl_robot.EncodeObservation(gym.make(WORLD, **DRAWN), scene.run)
    return [env.reset(seed=seed)[0] for seed in range(COUNT)]


def gymnasium_env_rebuilt_from_its_spec(scene: Scene) -> Any:
    env = ssl_robot.EncodeObservation(gym.make(WORLD, **DRAWN), scene.run)
    again = gym.envs.registration.EnvSpec.from_json(env.spec.to_json()).make()
    return [again.reset(seed=seed)[0] for seed in range(COUNT)]


def gymnasium_dict(scene: Scene) -> Any:
    drawn = {**DRAWN, "obs_type": "pixels_agent_pos"}
    env = ssl_robot.EncodeObservation(gym.make(WORLD, **drawn), scene.encoder)
    return [env.reset(seed=seed)[0]["pixels"] for seed in range(COUNT)]


def gymnasium_vector(scene: Scene) -> Any:
    envs = ssl_robot.EncodeObservation(gym.make_vec(WORLD, COUNT, vectorization_mode="sync", **DRAWN), scene.encoder)
    return envs.reset(seed=0)[0]


def gymnasium_vector_spawned(scene: Scene) -> Any:
    asynchronous = {"context": "spawn"}
    envs = gym.make_vec(WORLD, 2, vectorization_mode="async", vector_kwargs=asynchronous, **DRAWN)
    envs = ssl_robot.EncodeObservation(envs, scene.encoder)
    features, _ = envs.reset(seed=0)
    envs.close()
    return features


def gymnasium_rendered(scene: Scene) -> Any:
    from ssl_robot.plugins.gymnasium import RenderObservation

    size = {"visualization_width": SIDE, "visualization_height": SIDE}
    envs = gym.make_vec(WORLD, COUNT, vectorization_mode="sync", render_mode="rgb_array", **size)
    return ssl_robot.EncodeObservation(RenderObservation(envs), scene.encoder).reset(seed=0)[0]


def stacked(scene: Scene) -> Any:
    from ssl_robot.plugins.gymnasium import FrameStack

    envs = ssl_robot.EncodeObservation(gym.make_vec(WORLD, COUNT, vectorization_mode="sync", **DRAWN), scene.encoder)
    return FrameStack(envs, 2).reset(seed=0)[0][:, 1]


def _stable_baselines3() -> Any:
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(WORLD, COUNT, env_kwargs=DRAWN)
    envs.seed(0)
    return envs


def stable_baselines3_wrapper(scene: Scene) -> Any:
    from ssl_robot.plugins.stable_baselines3 import VecEncodeObservation

    return VecEncodeObservation(_stable_baselines3(), scene.run).reset()


def _extracted(scene: Scene, envs: Any, **settings: Any) -> Any:
    """Through the policy of a model that was built, saved, loaded, and told to learn."""
    from stable_baselines3 import PPO

    from ssl_robot.plugins.stable_baselines3 import SSLExtractor

    given = {"encoder": scene.encoder, **settings}
    looks = {"features_extractor_class": SSLExtractor, "features_extractor_kwargs": given}
    kind = {key: value for key, value in settings.items() if key == "normalize_images"}
    model = PPO("CnnPolicy", envs, policy_kwargs={**looks, **kind}, device="cpu")
    model.save(scene.folder / "policy")
    policy = PPO.load(scene.folder / "policy", device="cpu").policy
    policy.set_training_mode(True)
    return policy.extract_features(policy.obs_to_tensor(scene.frames)[0])


def stable_baselines3_extractor(scene: Scene) -> Any:
    return _extracted(scene, _stable_baselines3())


def stable_baselines3_extractor_that_learns(scene: Scene) -> Any:
    return _extracted(scene, _stable_baselines3(), freeze=False)


def stable_baselines3_extractor_of_frames_not_divided(scene: Scene) -> Any:
    return _extracted(scene, _stable_baselines3(), normalize_images=False)


def torchrl_transform(scene: Scene) -> Any:
    pytest.importorskip("torchrl")
    from tensordict import TensorDict

    from ssl_robot.plugins.torchrl import EncoderTransform

    pixels = TensorDict({"pixels": torch.from_numpy(scene.frames)}, [COUNT])
    return EncoderTransform(scene.run)(pixels)["features"]


def torchrl_transform_after_its_own(scene: Scene) -> Any:
    pytest.importorskip("torchrl")
    from tensordict import TensorDict
    from torchrl.envs.transforms import Compose, ToTensorImage

    from ssl_robot.plugins.torchrl import EncoderTransform

    pixels = TensorDict({"pixels": torch.from_numpy(scene.frames)}, [COUNT])
    return Compose(ToTensorImage(), EncoderTransform(scene.run))(pixels)["features"]


def robomimic_core(scene: Scene) -> Any:
    pytest.importorskip("robomimic", reason="robomimic is not installed: its route is not compared")
    from robomimic.utils.obs_utils import ImageModality

    from ssl_robot.plugins.robomimic import SSLCore

    handed = ImageModality._default_obs_processor(torch.from_numpy(scene.frames))
    return SSLCore(handed.shape[1:], str(scene.run)).train()(handed)


def features_file(scene: Scene) -> Any:
    """As ``ssl-robot encode`` writes them for every frame of a recording."""
    recording, out = scene.folder / "frames.h5", scene.folder / "features.h5"
    with FrameWriter(recording) as sink:
        sink.open(Schema({"top": scene.frames.shape[1:]}, ()), {"fps": 10.0, "source": "toy"})
        episode = sink.begin(seed=0, attributes={})
        for i, frame in enumerate(scene.frames):
            episode.add(Row({"top": frame}, {}, time=i / 10))
        episode.end()
    assert main(["encode", str(scene.run), str(recording), "--out", str(out)]) == 0
    return FeatureFile.opened(out).read()


def _exported(scene: Scene, format: str, suffix: str) -> Path:
    path = scene.folder / f"encoder{suffix}"
    if not path.exists():
        export_encoder(scene.encoder, format, path)
    return path


def exported_safetensors(scene: Scene) -> Any:
    return ssl_robot.load(_exported(scene, "safetensors", ".safetensors"))(scene.frames)


def exported_onnx(scene: Scene) -> Any:
    session = onnxruntime.InferenceSession(_exported(scene, "onnx", ".onnx"))
    [features] = session.run(["features"], {"frames": scene.frames})
    return features


def exported_torch_export(scene: Scene) -> Any:
    return torch.export.load(_exported(scene, "torch_export", ".pt2")).module()(torch.from_numpy(scene.frames))


def exported_torchscript(scene: Scene) -> Any:
    return torch.jit.load(str(_exported(scene, "torchscript", ".ts")))(torch.from_numpy(scene.frames))


def _prepared(scene: Scene) -> torch.Tensor:
    """Frames as a user prepares them for weights alone, from what stands in the card."""
    card = scene.encoder.card
    images = torch.from_numpy(scene.frames).permute(0, 3, 1, 2) / 255
    images = F.interpolate(images, (card.size, card.size), mode="bilinear", antialias=True)
    return torchvision.transforms.functional.normalize(images, card.mean, card.std)


def exported_timm(scene: Scene) -> Any:
    path = _exported(scene, "timm", ".safetensors")
    network = timm.create_model("resnet18", checkpoint_path=str(path), num_classes=0)
    return network.eval()(_prepared(scene))


def exported_torchvision(scene: Scene) -> Any:
    network = torchvision.models.resnet18()
    weights = load_file(_exported(scene, "torchvision", ".safetensors"))
    found = network.load_state_dict(weights, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["fc.weight", "fc.bias"], [])
    network.fc = torch.nn.Identity()
    return network.eval()(_prepared(scene))


WAYS: tuple[Callable[[Scene], Any], ...] = (
    numpy_last,
    numpy_first,
    torch_last,
    torch_first,
    one_by_one,
    run_folder,
    hub_folder,
    part_of_a_network_that_learns,
    gymnasium_env,
    gymnasium_env_rebuilt_from_its_spec,
    gymnasium_dict,
    gymnasium_vector,
    gymnasium_vector_spawned,
    gymnasium_rendered,
    stacked,
    stable_baselines3_wrapper,
    stable_baselines3_extractor,
    stable_baselines3_extractor_that_learns,
    stable_baselines3_extractor_of_frames_not_divided,
    torchrl_transform,
    torchrl_transform_after_its_own,
    robomimic_core,
    features_file,
)
# preprocessing inside, for any network; and weights alone, for networks that their hosts have
WHOLE = (exported_safetensors, exported_onnx, exported_torch_export, exported_torchscript)
WEIGHTS = (
    (exported_timm, "resnet18-large"),
    (exported_timm, "timm:resnet18"),
    (exported_torchvision, "resnet18-large"),
)
FILES = (*((route, "small") for route in WHOLE), *WEIGHTS)
ROUTES = (*((route, "small") for route in WAYS), *FILES)
SHAPES = [(1, 96, 128), (3, 50, 31), (2, 64, 64), (2, 40, 30), (1, 480, 640), (5, 65, 63)]


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    env = gym.make(WORLD, **DRAWN)
    return np.stack([env.reset(seed=seed)[0] for seed in range(COUNT)])


@pytest.fixture(scope="module")
def runs(encoder: Encoder, run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Encoder, Path]]:
    """Of each network an encoder whose batch norm has statistics that matter, and its run."""
    found = {"small": (encoder, run)}
    frames = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    for name in {network for _, network in WEIGHTS}:
        learning = Encoder.fresh(Card(name, 64, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)), seed=1).train()
        learning(frames)
        folder = tmp_path_factory.mktemp("run")
        learning.requires_grad_(False).eval().save(folder / FILE)
        found[name] = learning, folder
    return found


def by_hand(encoder: Encoder, frames: NDArray[np.uint8]) -> torch.Tensor:
    """Resized, normalised and encoded."""
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    card, size = encoder.card, encoder.card.size
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (card.mean, card.std))
    small = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    with torch.no_grad():
        return encoder.backbone.eval()((small - mean) / std)


def compared(route: Callable[[Scene], Any], scene: Scene) -> None:
    got = route(scene)
    found = got.detach() if isinstance(got, torch.Tensor) else torch.as_tensor(np.asarray(got))
    expected = by_hand(scene.encoder, scene.frames)
    assert found.dtype == torch.float32
    assert expected.std() > 0.01  # or routes could agree whatever they do
    torch.testing.assert_close(found, expected[: len(found)], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("route", "network"), ROUTES, ids=lambda value: getattr(value, "__name__", value))
def test_features_are_the_same_on_every_route(
    route: Callable[[Scene], Any],
    network: str,
    runs: dict[str, tuple[Encoder, Path]],
    frames: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    compared(route, Scene(*runs[network], frames, tmp_path))


@pytest.mark.parametrize(("route", "network"), FILES, ids=lambda value: getattr(value, "__name__", value))
def test_files_take_any_number_and_any_size_of_frames(
    route: Callable[[Scene], Any], network: str, runs: dict[str, tuple[Encoder, Path]], tmp_path: Path
) -> None:
    """One file: upscaled, downscaled and neither."""
    for b, h, w in SHAPES:
        frames = np.random.default_rng(h).integers(0, 256, (b, h, w, 3), np.uint8)
        compared(route, Scene(*runs[network], frames, tmp_path))


def test_every_format_has_a_route() -> None:
    assert {f"exported_{name}" for name in formats()} == {route.__name__ for route, _ in FILES}


def test_frames_are_told_apart(encoder: Encoder, frames: NDArray[np.uint8]) -> None:
    """Or the routes could agree whatever they do."""
    assert torch.pdist(by_hand(encoder, frames)).min() > 1e-2
