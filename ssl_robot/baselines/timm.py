"""Any network of timm with the weights it was published with."""

from ssl_robot.baselines import Setting
from ssl_robot.encoder import Card
from ssl_robot.errors import InputError
from ssl_robot.readers import EncoderReader
from ssl_robot.weights import PUBLISHED, begun


class Timm(EncoderReader):
    """``timm:NAME`` as timm's cache has it, or ``timm:NAME=FILE`` with a file's weights; at the size they are made for.

    Raises:
        InputError: If there is no such network, or its weights are not to be had.
    """

    def __init__(self, argument: str, setting: Setting) -> None:
        name, _, file = argument.partition("=")
        if not name:
            raise InputError("Which of timm's networks? Name one, as timm:resnet18.")
        encoder = begun(card_of(name), setting.seed, file or PUBLISHED)
        super().__init__(encoder.eval().requires_grad_(False), f"timm:{argument}")


def card_of(name: str) -> Card:
    """How a network of timm's wants its images.

    Raises:
        InputError: If timm has none of that name.
    """
    from timm.data.config import resolve_data_config
    from timm.models import get_pretrained_cfg, is_model

    if not is_model(name):
        raise InputError(f"timm has no network '{name}': see timm.list_models().")
    found = get_pretrained_cfg(name)
    wanted = resolve_data_config(pretrained_cfg=found.to_dict() if found is not None else {})
    mean, std = tuple(wanted["mean"]), tuple(wanted["std"])
    return Card(f"timm:{name}", wanted["input_size"][1], mean, std, origin={"method": "supervised"})
