"""SimSiam's views beside what others make of the same frames: how fast, and whether the pixels are the same."""

import importlib.util
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.experiments.benchmarks.loader import pusht, video
from ssl_robot.experiments.benchmarks.timing import Timed, alternated
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views

SOURCES = {64: 84, 96: 128, 224: 256}  # side of the views: side of the frames they are taken from
BASELINE = "Kornia, as documented"
_SCALE, _ASPECT, _GAIN, _TURN = (0.2, 1.0), (3 / 4, 4 / 3), 0.4, 0.1
_JITTERED, _GRAY, _BLURRED = 0.8, 0.2, 0.5
_TWICE = 2
Frames = NDArray[np.uint8]
Candidate = Callable[[int], int]


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
        size: Height and width of the views.
        frames: How many frames, of each of which two views are made.
        rounds: How often each candidate makes them.
        threads: Of PyTorch and of OpenCV.
        kind: Frames: ``pusht``, or ``video``, which is textured.
        compiled: Time the compiled views too.
    """

    size: int
    frames: int = 256
    rounds: int = 15
    threads: int = 1
    kind: str = "video"
    compiled: bool = True

    @property
    def source(self) -> int:
        """Height and width of the frames."""
        return SOURCES.get(self.size, round(self.size * 4 / 3))

    @property
    def blur(self) -> tuple[float, float]:
        """Standard deviations in pixels of the view: .1 to 2 of 224."""
        return 0.1 * self.size / 224, 2 * self.size / 224

    @property
    def kernel(self) -> int:
        """Width of a blur that reaches three standard deviations to either side."""
        return max(3, 2 * round(3 * self.blur[1]) + 1)

    def seen(self) -> Frames:
        """The frames."""
        return pusht(self.frames, self.source) if self.kind == "pusht" else video(self.frames, self.source)

    def __str__(self) -> str:
        what = f"two views of {self.frames} {self.kind} frames, {self.source} -> {self.size} px"
        return f"{what}, {self.threads} thread{'s' * (self.threads > 1)}"


def run(settings: list[Setting]) -> list[tuple[str, str, list[Timed]]]:
    """Title, baseline and rows of each table; the notes hold the same ratio in processor time."""
    if not importlib.util.find_spec("albumentations"):
        print("albumentations is not installed: left out.", file=sys.stderr)
    tables = [(f"views, {setting}", BASELINE, _timed(setting)) for setting in settings]
    if torch.cuda.is_available():
        tables += [(f"views on the GPU, {setting}", BASELINE, _timed_on_gpu(setting)) for setting in settings]
    return tables


class _Clocked:
    """A candidate that keeps the processor time of every round."""

    def __init__(self, work: Candidate) -> None:
        self.work = work
        self.seconds: list[float] = []

    def __call__(self, turn: int) -> int:
        began = time.process_time()
        count = self.work(turn)
        self.seconds.append(time.process_time() - began)
        return count


def _timed(setting: Setting) -> list[Timed]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(setting.threads)
    cv2.setNumThreads(setting.threads)
    torch.compiler.reset()  # what was compiled for other sizes counts against a limit
    try:
        candidates = {name: _Clocked(work) for name, work in _candidates(setting).items()}
        rows = alternated(candidates, BASELINE, setting.rounds, f"views {setting.size} px")
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    base = np.array(candidates[BASELINE].seconds[1:])
    shares = {name: float(np.median(base / np.array(item.seconds[1:]))) for name, item in candidates.items()}
    return [replace(row, note=f"CPU {shares[row.name]:.3g}x") for row in rows]


def _candidates(setting: Setting) -> dict[str, Candidate]:
    frames = setting.seen()
    found = {
        BASELINE: _kornia(setting, frames),
        "torchvision v2, per image": _per_image(frames, _torchvision(setting)),
        "PIL as in SimSiam's code, per image": _per_image(frames, _pil(setting)),
        "OpenCV fused by hand, per image": _opencv(setting, frames),
        "ssl-robot, eager": _ours(setting, frames, compiled=False),
    }
    if importlib.util.find_spec("albumentations"):
        found["albumentations, per image"] = _per_image(frames, _albumentations(setting))
    if setting.compiled:
        found["ssl-robot, compiled"] = _ours(setting, frames, compiled=True)
    return found


def _ours(setting: Setting, frames: Frames, compiled: bool, device: str = "cpu") -> Candidate:
    views = Views(Recipe.named("simsiam"), setting.size, 0, compiled)
    given, samples = torch.from_numpy(frames).to(device), torch.arange(len(frames))

    def both(turn: int) -> int:
        for view in range(_TWICE):
            views(given, samples, turn, view)
        return len(given)

    return both


def kornia_pipeline(setting: Setting) -> torch.nn.Module:
    """SimSiam's views as Kornia's documentation puts them together; from (b, 3, h, w) in [0, 1]."""
    import kornia.augmentation as K

    size, kernel = (setting.size, setting.size), (setting.kernel, setting.kernel)
    return torch.nn.Sequential(
        K.RandomResizedCrop(size, scale=_SCALE, ratio=_ASPECT),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(_GAIN, _GAIN, _GAIN, _TURN, p=_JITTERED),
        K.RandomGrayscale(p=_GRAY),
        K.RandomGaussianBlur(kernel, setting.blur, p=_BLURRED),
    )


def _kornia(setting: Setting, frames: Frames, device: str = "cpu") -> Candidate:
    pipeline, given = kornia_pipeline(setting), torch.from_numpy(frames).to(device)

    def both(turn: int) -> int:
        images = given.permute(0, 3, 1, 2).float() / 255
        for _ in range(_TWICE):
            pipeline(images)
        return len(given)

    return both


def _per_image(frames: Frames, pipeline: Callable[[Frames], Tensor]) -> Candidate:
    """Two batches of views, from a pipeline that makes one view of one frame: (3, size, size) in [0, 1]."""

    def both(turn: int) -> int:
        for _ in range(_TWICE):
            torch.stack([pipeline(frame) for frame in frames])
        return len(frames)

    return both


def _torchvision(setting: Setting) -> Callable[[Frames], Tensor]:
    from torchvision.transforms import v2

    chain = v2.Compose(
        [
            v2.RandomResizedCrop(setting.size, scale=_SCALE, ratio=_ASPECT),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(_GAIN, _GAIN, _GAIN, _TURN)], p=_JITTERED),
            v2.RandomGrayscale(p=_GRAY),
            v2.RandomApply([v2.GaussianBlur(setting.kernel, setting.blur)], p=_BLURRED),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )

    def view(frame: Frames) -> Tensor:
        made: Tensor = chain(torch.from_numpy(frame).permute(2, 0, 1))
        return made

    return view


def _pil(setting: Setting) -> Callable[[Frames], Tensor]:
    import torchvision.transforms as T
    from PIL import Image, ImageFilter

    random = np.random.default_rng(0)

    def blurred(image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(*setting.blur)))

    chain = T.Compose(
        [
            T.RandomResizedCrop(setting.size, scale=_SCALE),
            T.RandomApply([T.ColorJitter(_GAIN, _GAIN, _GAIN, _TURN)], p=_JITTERED),
            T.RandomGrayscale(p=_GRAY),
            T.RandomApply([blurred], p=_BLURRED),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
        ]
    )

    def view(frame: Frames) -> Tensor:
        made: Tensor = chain(Image.fromarray(frame))
        return made

    return view


def _albumentations(setting: Setting) -> Callable[[Frames], Tensor]:
    import albumentations as A

    gain = (1 - _GAIN, 1 + _GAIN)
    chain = A.Compose(
        [
            A.RandomResizedCrop((setting.size, setting.size), scale=_SCALE, ratio=_ASPECT),
            A.HorizontalFlip(p=0.5),
            A.ColorJitter(brightness=gain, contrast=gain, saturation=gain, hue=(-_TURN, _TURN), p=_JITTERED),
            A.ToGray(p=_GRAY),
            A.GaussianBlur(blur_limit=0, sigma_limit=setting.blur, p=_BLURRED),
        ]
    )
    return lambda frame: _floats(chain(image=frame)["image"])


def _floats(image: Frames) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


_LUMA = np.array([0.299, 0.587, 0.114])
_LEVELS = np.arange(256)


def _opencv(setting: Setting, frames: Frames) -> Candidate:
    """What somebody who knows OpenCV would write: bytes all the way, one warp, one table per channel."""

    def both(turn: int) -> int:
        random = np.random.default_rng(turn)
        for _ in range(_TWICE):
            torch.stack([_floats(_warped_and_coloured(frame, setting, random)) for frame in frames])
        return len(frames)

    return both


def _warped_and_coloured(frame: Frames, setting: Setting, random: np.random.Generator) -> Frames:
    image: Any = _warped(frame, setting.size, random)
    if random.random() < _JITTERED:
        bright, contrast, saturation = random.uniform(1 - _GAIN, 1 + _GAIN, 3)
        grey = min(bright * float(cv2.mean(image)[:3] @ _LUMA), 255)
        lit = (_LEVELS * bright).clip(0, 255)
        image = cv2.LUT(image, (grey + (lit - grey) * contrast).round().clip(0, 255).astype(np.uint8))
        image = cv2.transform(image, saturation * np.eye(3) + (1 - saturation) * _LUMA)
        image = _turned(image, random.uniform(-_TURN, _TURN))
    if random.random() < _GRAY:
        image = cv2.transform(image, np.tile(_LUMA, (3, 1)))
    if random.random() < _BLURRED:
        sigma = random.uniform(*setting.blur)
        image = cv2.GaussianBlur(image, (setting.kernel, setting.kernel), sigma)
    made: Frames = image
    return made


def _warped(frame: Frames, size: int, random: np.random.Generator) -> Any:
    """Crop, flip and resize as one warp, from places in the view to places in the frame."""
    side = len(frame)
    stretch = np.exp(random.uniform(*np.log(_ASPECT)) / 2)
    root = side * np.sqrt(random.uniform(*_SCALE))
    width, height = min(root * stretch, side), min(root / stretch, side)
    left, top = random.uniform(0, side - width), random.uniform(0, side - height)
    if random.random() < 0.5:
        left, width = left + width, -width
    x, y = width / size, height / size
    matrix = np.array([[x, 0, left + (x - 1) / 2], [0, y, top + (y - 1) / 2]])
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, matrix, (size, size), flags=way, borderMode=cv2.BORDER_REPLICATE)


def _turned(image: Any, turn: float) -> Any:
    table = np.stack([(_LEVELS + round(256 * turn)) % 256, _LEVELS, _LEVELS], -1).astype(np.uint8)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    return cv2.cvtColor(cv2.LUT(hsv, table[None]), cv2.COLOR_HSV2RGB_FULL)


def _timed_on_gpu(setting: Setting) -> list[Timed]:
    """The batched candidates; notes say how often a batch makes the processor wait for the device."""
    frames = setting.seen()
    torch.compiler.reset()
    plain = {
        BASELINE: _kornia(setting, frames, "cuda"),
        "ssl-robot, eager": _ours(setting, frames, compiled=False, device="cuda"),
    }
    if setting.compiled:
        plain["ssl-robot, compiled"] = _ours(setting, frames, compiled=True, device="cuda")
    rows = alternated({name: _finished(work) for name, work in plain.items()}, BASELINE, setting.rounds, "views, GPU")
    return [replace(row, note=f"{_waits(plain[row.name])} host syncs") for row in rows]


def _finished(work: Candidate) -> Candidate:
    def loop(turn: int) -> int:
        count = work(turn)
        torch.cuda.synchronize()
        return count

    return loop


def _waits(work: Candidate) -> int:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work(1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(item.message) for item in caught)
