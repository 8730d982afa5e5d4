"""SimSiam on CIFAR-10 with ResNet-18, as in the paper's appendix D: the number that everybody knows."""

import codecs
import importlib
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_robot import checkpoints
from ssl_robot.arrays import Arrays
from ssl_robot.config import plain
from ssl_robot.encoder import FILE, Encoder, load
from ssl_robot.errors import InputError
from ssl_robot.methods.simsiam import Simsiam
from ssl_robot.pretrain import pretrain
from ssl_robot.probes.knn import classify
from ssl_robot.ranges import check, number
from ssl_robot.recipes import Recipe
from ssl_robot.training import Training

# Lightly's neighbours' accuracy after 200 epochs, the best of them, at these batches; here it is the last one's.
PUBLISHED = {512: 0.764, 128: 0.819}
_TRAINED, _EXAMINED = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
_AT_ONCE = 500
_RECONSTRUCT = importlib.import_module("numpy._core.multiarray")._reconstruct
Pictures = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Cifar10:
    """ResNet-18 without its large stem, rate .03 for 256 pictures, no blur; neighbours' accuracy ten times in a run.

    Attributes:
        epochs: Passes over the 50,000 pictures; the paper's 800 reach .904.
        batch_size: Pictures of a step.
        seed: Of weights, order and views.
    """

    epochs: int = number(200, 1)
    batch_size: int = number(512, 2)
    seed: int = number(0, 0, 2**32 - 1)

    def __post_init__(self) -> None:
        check(self)

    def run(self, out: Path, data: Path, g1: Path | None, workers: int) -> str:
        """Accuracy, beside lightly's; the run in ``cifar10`` goes on where it was."""
        images, classes = _read(data, _TRAINED, "train")
        asked = _Asked(images, classes, *_read(data, _EXAMINED, "test"))
        training = Training(
            epochs=self.epochs, batch_size=self.batch_size, lr=0.03,
            weight_decay=5e-4, warmup=0.0, size=32, seed=self.seed,
        )  # fmt: skip
        recipe = Recipe.named("simsiam").without("blur")
        frames, rows = Arrays(images), np.arange(len(images))
        encoder = _finished(out / "cifar10", training, frames) or pretrain(
            frames, rows, Simsiam(width=2048, layers=2), recipe, "resnet18", training, out / "cifar10", resume=True,
            watch=asked,
        )  # fmt: skip
        published = PUBLISHED.get(self.batch_size)
        beside = f"; lightly's, 200 epochs: {published}" if published else ""
        return f"neighbours' accuracy after {self.epochs} epochs: {asked(encoder)['knn_accuracy']:.4f}{beside}"


@dataclass(frozen=True)
class _Asked:
    """How many of the test pictures the 200 nearest training pictures name rightly; none of them augmented."""

    bank: NDArray[np.uint8]
    known: NDArray[np.int64]
    queries: NDArray[np.uint8]
    wanted: NDArray[np.int64]

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        bank, queries = (_features(encoder, images) for images in (self.bank, self.queries))
        known, wanted = (torch.from_numpy(classes).to(bank.device) for classes in (self.known, self.wanted))
        found = classify(bank, known, queries)
        return {"knn_accuracy": float((found == wanted).float().mean())}


def _finished(folder: Path, training: Training, frames: Arrays) -> Encoder | None:
    """The encoder of a run that is over.

    Raises:
        InputError: If it was another run.
    """
    if checkpoints.found(folder) or not (folder / FILE).is_file():
        return None
    encoder = load(folder)
    if (encoder.card.origin["training"], encoder.card.origin["data"]) != (plain(training), frames.fingerprint):
        raise InputError(f"{folder} holds a finished run with other settings: choose another --out, or delete it.")
    return encoder


@torch.no_grad()
def _features(encoder: Encoder, images: NDArray[np.uint8]) -> torch.Tensor:
    training = encoder.training
    encoder.eval()
    parts = [encoder(images[i : i + _AT_ONCE]) for i in range(0, len(images), _AT_ONCE)]
    encoder.train(training)
    return torch.cat(parts)


def _read(folder: Path, batches: Sequence[str], name: str) -> Pictures:
    """Pictures and classes, from the pickles as they are published or from a folder of pictures for each class.

    Raises:
        InputError: If neither is there.
    """
    if all((folder / batch).is_file() for batch in batches):
        parts = [_Plain(io.BytesIO((folder / batch).read_bytes()), encoding="bytes").load() for batch in batches]
        pixels = np.concatenate([np.asarray(part[b"data"], np.uint8) for part in parts])
        classes = np.concatenate([np.asarray(part[b"labels"], np.int64) for part in parts])
        return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), classes
    if (folder / name).is_dir():
        return _listed(folder / name)
    raise InputError(
        f"{folder} holds neither {batches[0]} nor {name}/ with a folder of pictures for each class: give the unpacked "
        "cifar-10-batches-py to --data."
    )


class _Plain(pickle.Unpickler):
    """Reads what the published files hold, arrays of numbers, and refuses what could run code."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes for Python 2
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise InputError(f"The file asks for {module}.{name}, which CIFAR's do not: download it again.")
        return self._ALLOWED[module, name]


def _listed(folder: Path) -> Pictures:
    from PIL import Image

    kinds = sorted(path for path in folder.iterdir() if path.is_dir())
    listed = [(file, place) for place, kind in enumerate(kinds) for file in sorted(kind.iterdir())]
    if not listed:
        raise InputError(f"{folder} holds no folders with pictures: give one for each class.")
    images = np.stack([np.asarray(Image.open(file).convert("RGB").resize((32, 32))) for file, _ in listed])
    return images, np.array([place for _, place in listed], np.int64)
