"""Encoders under the policies of Stable-Baselines3.

``VecEncodeObservation`` is what to use for a frozen encoder: each frame is encoded once, those of all environments
together, and features are what is stored. ``SSLExtractor`` encodes again in every epoch of training: for encoders that
learn too.
"""

import copy
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from gymnasium import spaces
from torch import Tensor, nn

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.pixels import Features, ready

try:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.preprocessing import get_flattened_obs_dim
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_wrapper
except ModuleNotFoundError:
    raise InputError("Stable-Baselines3 is not installed: pip install 'ssl-robot[reinforcement]'.") from None

_POLICY, _SEEN, _NORMALISED = "policy.zip", "observation.json", "vecnormalize.pkl"


class VecEncodeObservation(VecEnvWrapper):
    """Shows features instead of images: every frame is encoded once, those of all environments together.

    >>> envs = make_vec_env("Reacher-v5", 8, wrapper_class=AddRenderObservation)  # doctest: +SKIP
    >>> PPO("MlpPolicy", VecEncodeObservation(envs, "runs/reacher")).learn(100_000)  # doctest: +SKIP

    What episodes ended with (``terminal_observation``) is encoded too. ``VecFrameStack`` goes around it.

    Args:
        venv: Environments whose observations are images, or have some under several names.
        encoder: An encoder, or what ``ssl_robot.load`` takes.
        images: Names of the images; all there are, if not given.
        keep: Names of what else is kept; everything, if not given. With ``()`` a single image's features are the whole
            observation.
        device: Where the encoder computes, if it shall be moved.

    Raises:
        InputError: If there is no image, or nothing of a name that was given.
    """

    def __init__(
        self,
        venv: VecEnv,
        encoder: Encoder | str | Path,
        images: Sequence[str] | None = None,
        keep: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        self.encoder = ready(encoder, device)
        self.chosen = {"images": images and list(images), "keep": None if keep is None else list(keep)}
        self._features = Features(venv.observation_space, self.encoder, images, keep)
        super().__init__(venv, observation_space=self._features.space)

    @classmethod
    def load(cls, folder: str | Path, venv: VecEnv, device: str = "cpu") -> Self:
        """Environments seen as a policy saw those that it learnt in, from the folder that ``save`` wrote.

        Raises:
            InputError: If nothing was saved there.
        """
        file = Path(folder) / _SEEN
        if not file.is_file():
            raise InputError(f"There is no policy in {folder}: give a folder that save(model, folder) wrote.")
        if (Path(folder) / _NORMALISED).is_file():
            warnings.warn(f"The policy saw normalised features: wrap what this gives in VecNormalize.load("
                          f"{str(Path(folder) / _NORMALISED)!r}, ...).", stacklevel=2)  # fmt: skip
        chosen = json.loads(file.read_text(encoding="utf-8"))
        return cls(venv, folder, chosen["images"], chosen["keep"], device)

    def reset(self) -> Any:
        """Begin an episode in every environment."""
        return self._features.batch(self.venv.reset())[0]

    def step_wait(self) -> Any:
        """See what actions did."""
        observations, rewards, dones, infos = self.venv.step_wait()
        ended = [i for i, info in enumerate(infos) if "terminal_observation" in info]
        observations, last = self._features.batch(observations, [infos[i]["terminal_observation"] for i in ended])
        told: list[dict[str, Any]] = list(infos)
        for i, observation in zip(ended, last, strict=True):
            told[i] = {**infos[i], "terminal_observation": observation}
        return observations, rewards, dones, told


def save(model: BaseAlgorithm, folder: str | Path) -> None:
    """Write a policy and the encoder that it looks through into one folder.

    >>> save(model, "runs/ppo")  # doctest: +SKIP
    >>> PPO.load("runs/ppo/policy", VecEncodeObservation.load("runs/ppo", envs))  # doctest: +SKIP

    The folder has the form of Hugging Face's hub: ``ssl_robot.load`` finds the encoder in it. The policy is in
    Stable-Baselines3's own format, which unpickles: load only those of people you trust. So are the statistics of a
    ``VecNormalize`` around the features, if there is one: ``VecNormalize.load(folder / "vecnormalize.pkl", envs)``.

    Raises:
        InputError: If the model's environments are not wrapped in ``VecEncodeObservation``, or the folder is a run's.
    """
    envs = model.get_env()
    looking = None if envs is None else unwrap_vec_wrapper(envs, VecEncodeObservation)
    if not isinstance(looking, VecEncodeObservation):
        raise InputError("This model looks through no VecEncodeObservation: model.save(FILE) keeps all that it has.")
    folder = Path(folder)
    looking.encoder.save_pretrained(folder)
    (folder / _SEEN).write_text(json.dumps(looking.chosen) + "\n", encoding="utf-8")
    normalised = model.get_vec_normalize_env()
    (folder / _NORMALISED).unlink(missing_ok=True)  # of a policy that was saved here before
    if normalised is not None:
        normalised.save(str(folder / _NORMALISED))
    model.save(folder / _POLICY)


class SSLExtractor(BaseFeaturesExtractor):
    """An encoder as a features extractor, part of the policy and saved with it.

    >>> looks = dict(features_extractor_class=SSLExtractor, features_extractor_kwargs=dict(encoder="runs/reacher"))
    >>> SAC("CnnPolicy", envs, policy_kwargs=looks)  # doctest: +SKIP

    Stable-Baselines3 divides frames by 255 before it hands them over, as floats with channels first; here they are not
    divided again. Batch norm stays in evaluation mode, and the weights are not drawn anew at the beginning, as PPO does
    with all other extractors'. Frames that were stacked along their channels are encoded one by one; what there is
    beside images is put beside the features as it is. Each extractor has a copy of its own of the encoder.

    Args:
        observation_space: An image, or what lies under several names, as Stable-Baselines3 gives it.
        encoder: An encoder, which is saved with the model's settings; or what ``ssl_robot.load`` takes, which is looked
            for again when the model is loaded.
        freeze: Whether it does not learn. What is frozen has no parameters, so that no average of a target network
            wears it down.
        normalize_images: What the policy was given: False where it does not divide frames by 255.

    Raises:
        InputError: If there is no image, or frames are not what ``normalize_images`` says.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        encoder: Encoder | str | Path,
        freeze: bool = True,
        normalize_images: bool = True,
    ) -> None:
        parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {"": observation_space}
        own = copy.deepcopy(ready(encoder))
        images = {name: _Image(name, space, normalize_images) for name, space in parts.items() if _is_image(space)}
        if not images:
            told = ", ".join(f"{name or 'it'} is {space.dtype} of {space.shape}" for name, space in parts.items())
            raise InputError(f"The observation has no image ({told}): show frames, as AddRenderObservation does.")
        rest = {name: get_flattened_obs_dim(space) for name, space in parts.items() if name not in images}
        width = sum(image.count for image in images.values()) * own.width + sum(rest.values())
        super().__init__(observation_space, width)
        self._images, self._rest, self._freeze = images, tuple(rest), freeze
        self.encoder = _sealed(own) if freeze else own.requires_grad_(True)
        self.encoder.eval()

    def train(self, mode: bool = True) -> Self:
        """The encoder stays in evaluation mode: a policy acts with the numbers that it learns with."""
        super().train(mode)
        self.encoder.eval()
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        """Nothing: Stable-Baselines3 draws fresh weights by this."""
        return self

    def forward(self, observations: Any) -> Tensor:
        """Features, (b, features_dim)."""
        named = observations if isinstance(observations, dict) else {"": observations}
        frames = [image.frames(named[name]) for name, image in self._images.items()]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._freeze):
            found = self.encoder.features(torch.cat([self.encoder.resized(part) for part in frames]))
        b = len(next(iter(named.values())))
        parts = [part.reshape(b, -1) for part in found.split([len(part) for part in frames])]
        return torch.cat([*parts, *(named[name].flatten(1) for name in self._rest)], 1)


def _is_image(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return isinstance(space, spaces.Box) and len(shape) == 3 and shape[_channels(shape)] % 3 == 0


def _channels(shape: tuple[int, ...]) -> int:
    """Which axis of an image has its channels: beside equal sides the third one, else the shorter of first and last."""
    if (shape[0] == shape[1]) != (shape[1] == shape[2]):
        return 2 if shape[0] == shape[1] else 0
    return 2 if shape[2] < shape[0] else 0


class _Image:
    """How Stable-Baselines3 hands an image over.

    Args:
        name: In the observation.
        space: Its space: uint8, or floats that nobody divides.
        normalize_images: Whether uint8 is divided by 255.
    """

    def __init__(self, name: str, space: spaces.Space[Any], normalize_images: bool) -> None:
        assert isinstance(space, spaces.Box)
        self._last = _channels(space.shape) == 2
        self.count = space.shape[_channels(space.shape)] // 3
        low, high = float(space.low.min()), float(space.high.max())
        if low != 0 or high not in (1, 255):
            raise InputError(f"Frames {name} are in [{low:g}, {high:g}]: give uint8, or floats in [0, 1].")
        self._most = 1.0 if high == 1 or (normalize_images and space.dtype == "uint8") else 255.0
        self._whole = self._most == 255 and space.dtype == "uint8"

    def frames(self, given: Tensor) -> Tensor:
        """The frames of a stack, each by itself, in [0, 1], (b * count, 3, h, w)."""
        if given.numel() and float(given.amin()) < 0:
            raise InputError("Frames were handed over with values below 0: leave normalising to the encoder.")
        if given.numel() and float(given.amax()) > self._most:
            raise InputError(
                "Frames were handed over that had not been divided by 255: say normalize_images=False in "
                "features_extractor_kwargs where the policy is told so."
            )
        if self._whole and bool((given != given.round()).any()):
            raise InputError(
                "Frames were handed over that had been divided by 255 already: say normalize_images=False in "
                "policy_kwargs too, or not in features_extractor_kwargs."
            )
        first = given.permute(0, 3, 1, 2) if self._last else given
        return first.reshape(-1, 3, *first.shape[2:]) / self._most


def _sealed(encoder: Encoder) -> Encoder:
    """Weights as buffers: saved and moved like weights, but nobody's parameters."""
    for part in encoder.modules():
        for name, weights in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, weights.detach())
    return encoder
