"""LeRobot: ACT on one of our encoders, found by LeRobot's own plugin discovery.

    lerobot-train --policy.discover_packages_path=ssl_robot.plugins.lerobot --policy.type=ssl_robot_act \
        --policy.encoder=runs/robot --dataset.repo_id=NAME ...

LeRobot pins other versions of torch than we do, so it is no extra of ours; experiments/interop/lerobot_policy.py tries
this file with the real package.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import nn

from ssl_robot.encoder import Card, Encoder, load
from ssl_robot.errors import InputError
from ssl_robot.portable import Maps

__path__: list[str] = []  # LeRobot asks a plugin for its submodules


def _scales() -> dict[str, NormalizationMode]:
    """Images stay in [0, 1], for the encoder knows its own scale."""
    others = dict.fromkeys(("STATE", "ACTION"), NormalizationMode.MEAN_STD)
    return {"VISUAL": NormalizationMode.IDENTITY, **others}


@PreTrainedConfig.register_subclass("ssl_robot_act")
@dataclass
class SslRobotActConfig(ACTConfig):  # type: ignore[misc]
    """ACT's settings, and the encoder that stands in for its ResNet.

    Attributes:
        encoder: Run directory or encoder file; needed only once, for a saved policy holds its encoder.
        trained: Train the encoder too, at ``optimizer_lr_backbone``; its batch norms stay as they are.
        card: What the encoder must know to be used, JSON; filled in by the policy.
    """

    encoder: str = ""
    trained: bool = False
    card: str = ""
    pretrained_backbone_weights: str | None = None
    normalization_mapping: dict[str, NormalizationMode] = field(default_factory=_scales)


class SslRobotActPolicy(ACTPolicy):  # type: ignore[misc]
    """ACT whose image tokens are the places of our encoder's feature map.

    Args:
        config: Its settings; takes the encoder's card along.
        kwargs: What LeRobot hands to every policy.

    Raises:
        InputError: If no encoder is named, or images are normalised before it.
    """

    config_class = SslRobotActConfig
    name = "ssl_robot_act"

    def __init__(self, config: SslRobotActConfig, **kwargs: Any) -> None:
        if config.normalization_mapping.get("VISUAL") is not NormalizationMode.IDENTITY:
            raise InputError("The encoder normalises images itself: leave VISUAL of normalization_mapping at IDENTITY.")
        encoder = _encoder(config)
        config.card = json.dumps(asdict(encoder.card))
        super().__init__(config, **kwargs)
        channels = encoder.features(torch.zeros(1, 3, encoder.card.size, encoder.card.size), "map").shape[1]
        self.model.backbone = Maps(encoder, config.trained)
        self.model.encoder_img_feat_input_proj = nn.Conv2d(channels, config.dim_model, 1)


def _encoder(config: SslRobotActConfig) -> Encoder:
    """The encoder that is named; one without weights where a policy is being read that brings them."""
    if config.card and not (config.encoder and Path(config.encoder).exists()):
        said = json.loads(config.card)
        card = Card(**{**said, "mean": tuple(said["mean"]), "std": tuple(said["std"])})
        return Encoder.fresh(card, seed=0).eval().requires_grad_(False)
    if not config.encoder:
        raise InputError("The policy needs an encoder: give --policy.encoder, a run of 'ssl-robot pretrain'.")
    return load(config.encoder)


def make_ssl_robot_act_pre_post_processors(config: SslRobotActConfig, dataset_stats: Any = None) -> Any:
    """What LeRobot puts before and behind the policy: ACT's own."""
    from lerobot.policies.act.processor_act import make_act_pre_post_processors

    return make_act_pre_post_processors(config, dataset_stats=dataset_stats)
