"""robomimic's observation encoders with ours as a core. Skipped where robomimic is not installed."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError

pytest.importorskip("robomimic", reason="robomimic is not installed, so its core is not tested")

from robomimic.models.obs_nets import obs_encoder_factory
from robomimic.utils import obs_utils

from ssl_robot.plugins.robomimic import SSLCore


def test_a_configuration_asks_for_it_by_name(encoder: Encoder, run: Path) -> None:
    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"rgb": ["front"], "low_dim": ["state"]}})
    rgb = {"core_class": "SSLCore", "core_kwargs": {"encoder": str(run)}, "obs_randomizer_class": None}
    low = {"core_class": None, "core_kwargs": {}, "obs_randomizer_class": None}
    shapes = OrderedDict(front=[3, 24, 24], state=[2])
    whole = obs_encoder_factory(shapes, feature_activation=None, encoder_kwargs={"rgb": rgb, "low_dim": low})
    assert whole.output_shape() == [130]
    frames = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), np.uint8)
    seen = obs_utils.process_obs_dict({"front": frames, "state": np.ones((4, 2))})
    found = whole.train()({name: torch.as_tensor(value).float() for name, value in seen.items()})
    torch.testing.assert_close(found[:, :128], encoder(frames), atol=1e-5, rtol=0)


@pytest.mark.parametrize("freeze", [True, False])
def test_only_what_shall_learn_does(encoder: Encoder, freeze: bool) -> None:
    core = SSLCore([3, 24, 24], encoder, freeze).train()
    features = core(torch.rand(2, 3, 24, 24))
    assert features.requires_grad != freeze
    assert not core.encoder.training
    assert core.output_shape([3, 24, 24]) == [128]
    assert not any(weights.requires_grad for weights in encoder.parameters())


def test_other_shapes_are_refused(encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"gives observations of \(1, 24, 24\) here: an encoder sees \(3, h, w\)"):
        SSLCore([1, 24, 24], encoder)
