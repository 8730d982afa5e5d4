"""An encoder that has learnt nothing."""

from ssl_robot.baselines import Setting, no_argument
from ssl_robot.features import random_encoder
from ssl_robot.readers import EncoderReader


class Random(EncoderReader):
    """Random weights in the network of the encoder it is compared with: what training must beat."""

    def __init__(self, argument: str, setting: Setting) -> None:
        no_argument("random", argument)
        super().__init__(random_encoder(setting.like, setting.seed), "random")
