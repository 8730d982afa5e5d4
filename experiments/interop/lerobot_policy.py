"""LeRobot's own training trains ACT on our encoder, and torchvision's weights that we export fit its ACT.

    python3 -m venv peers && . peers/bin/activate
    pip install lerobot==0.4.4 && pip install --no-deps -e .     (LeRobot pins an older torch than we do)
    pip install timm safetensors
    ssl-robot export RECORDING.h5 --format lerobot --out EXPORT       (with our own environment; ACT asks for a label
                                                                      observation.state, as imports from LeRobot have)
    ssl-robot export RUN --format torchvision --out resnet.safetensors               (a run of resnet18-large)
    HF_HUB_OFFLINE=1 python experiments/interop/lerobot_policy.py RUN EXPORT OUT resnet.safetensors

Trains three steps through ``lerobot-train`` with the plugin found by ``discover_packages_path``, reads the policy back
where the run is not to be found any more, and compares features.
"""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

TRAIN = "from lerobot.scripts.lerobot_train import main; main()"


def trained(run: Path, export: Path, out: Path) -> Path:
    """The folder of a policy after three steps."""
    words = [
        "--policy.discover_packages_path=ssl_robot.plugins.lerobot", "--policy.type=ssl_robot_act",
        f"--policy.encoder={run}", "--policy.push_to_hub=false", "--policy.device=cpu", "--policy.dim_model=64",
        "--policy.n_heads=2", "--policy.dim_feedforward=64", "--policy.chunk_size=8", "--policy.n_action_steps=8",
        "--dataset.repo_id=ours/export", f"--dataset.root={export}", "--dataset.video_backend=pyav", "--steps=3",
        "--batch_size=4", "--num_workers=0", "--log_freq=1", f"--output_dir={out}", "--wandb.enable=false",
        "--save_freq=3", "--dataset.use_imagenet_stats=false",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-c", TRAIN, *words], check=True)
    return out / "checkpoints" / "000003" / "pretrained_model"


def main(run: Path, export: Path, out: Path, weights: Path) -> None:
    """Train, read back, compare."""
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACT
    from safetensors.torch import load_file

    from ssl_robot.encoder import load
    from ssl_robot.plugins.lerobot import SslRobotActPolicy

    policy_folder = trained(run, export, out)
    config = PreTrainedConfig.from_pretrained(policy_folder)
    config.encoder = "gone"  # the policy brings its encoder along
    policy = SslRobotActPolicy.from_pretrained(policy_folder, config=config)
    encoder = load(run)
    frames = np.random.default_rng(0).integers(0, 256, (2, 120, 160, 3), np.uint8)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    theirs = policy.train().model.backbone(images)["feature_map"]
    print(f"lerobot {version('lerobot')}, torch {torch.__version__}: trained three steps, read back;", end=" ")
    print(f"largest difference of the map to the encoder's: {(theirs - encoder(frames, 'map')).abs().max():.2g}")

    small = {"chunk_size": 8, "n_action_steps": 8, "dim_model": 64, "n_heads": 2}
    act = ACT(ACTConfig(pretrained_backbone_weights=None, **small, **features(config)))
    print(act.backbone.load_state_dict(load_file(weights), strict=True), end=" ")
    theirs = act.backbone(encoder.normalised(encoder.images(frames)))["feature_map"]
    print(f"largest difference of ACT's own ResNet: {(theirs - encoder(frames, 'map')).abs().max():.2g}")


def features(config: object) -> dict[str, object]:
    """What goes into a policy and comes out of it."""
    return {name: getattr(config, name) for name in ("input_features", "output_features")}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
