"""Where encoders lie: in runs, in files, in folders as Hugging Face's hub has them, and on the hub itself."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_robot.errors import InputError

RUN = "encoder.safetensors"  # what a run leaves behind
WEIGHTS, CONFIG, ABOUT = "model.safetensors", "config.json", "README.md"  # names that the hub knows
_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_REMEDY = "give the --out folder of a finished 'ssl-robot pretrain', a safetensors file, or a hub id"


def located(source: str | Path) -> Path:
    """The file that holds an encoder's weights.

    Args:
        source: A run's folder, a folder in the hub's form, a file, or as text a hub id, ``owner/name`` or
            ``owner/name@revision``. Only an id whose owner is no folder here is asked for; what was fetched once is
            found without a network.

    Raises:
        InputError: If there is none, here or there.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    for name in (RUN, WEIGHTS):
        if (path / name).is_file():
            return path / name
    for pattern in _PICKLES if path.is_dir() else ():
        for found in path.glob(pattern):
            raise InputError(f"{path} has weights in {found.name}, a pickle, which is never opened: {_REMEDY}.")
    if isinstance(source, str) and _ID.fullmatch(source) and not path.is_dir() and not path.parent.is_dir():
        return _fetched(*source.partition("@")[::2])
    raise InputError(f"There is no encoder at {source}: {_REMEDY}.")


def _fetched(name: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, WEIGHTS, revision=revision or None))
    except (OSError, ValueError) as error:  # all that the hub raises is one of these
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise InputError(f"There is no encoder at {name}, here or on the hub ({why}): {_REMEDY}.") from None


def described(folder: Path, card: Mapping[str, Any]) -> None:
    """Write beside an encoder's weights what the hub shows of it: its card for programs, and for people.

    Args:
        folder: Where ``model.safetensors`` lies; the weights carry the card themselves, and only theirs is read back.
        card: The encoder's.
    """
    (folder / CONFIG).write_text(json.dumps({"library_name": "ssl_robot", **card}, indent=2) + "\n", encoding="utf-8")
    (folder / ABOUT).write_text(_about(card), encoding="utf-8")


def _about(card: Mapping[str, Any]) -> str:
    mean, std = (", ".join(f"{value:.4g}" for value in card[name]) for name in ("mean", "std"))
    return f"""---
library_name: ssl_robot
pipeline_tag: image-feature-extraction
tags:
- robotics
- self-supervised-learning
---

# A robot's encoder: {card["backbone"]} at {card["size"]} pixels

```python
import ssl_robot

encoder = ssl_robot.load("OWNER/NAME")  # or this folder
features = encoder(frames)  # uint8, any size, (b, h, w, 3) or (b, 3, h, w)
```

Frames are resized to {card["size"]} x {card["size"]} and normalised inside (mean {mean}; standard deviation {std}).

## What it was made blind to

Views of its training, strength by strength; none if it was not trained.

```json
{json.dumps(card["recipe"], indent=2)}
```

## How it came about

```json
{json.dumps(card["origin"], indent=2)}
```
"""
