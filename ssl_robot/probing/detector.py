"""Faster R-CNN and Mask R-CNN on an encoder's last feature map (Ren 2015, He 2017), in the form called C4.

The encoder's batch norm keeps the statistics that it came with, as that protocol has it; those of an encoder that never
saw a frame are measured first, because without any a network from scratch would be at a disadvantage of our making.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, paste_masks_in_image
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import roi_align
from tqdm import tqdm

from ssl_robot.encoder import Encoder
from ssl_robot.errors import InputError
from ssl_robot.probing.precision import Found
from ssl_robot.segments import Instance, Segmented, instances

_CHANNELS = 64  # of the map that boxes are found on, whatever the encoder's has
_SIDE = 7  # of the piece cut out for a box; twice that for its mask
_RATIOS = (0.5, 1.0, 2.0)  # of an anchor's sides
_PROPOSALS = {"training": 200, "testing": 100}
_SAMPLED = 32  # anchors, and proposals, of a frame that a step learns from
_SURE = 0.05  # below which nothing is said
_MOST = 50  # things in a frame
_AT_ONCE = 16  # frames looked at together
_MEASURED = 256  # frames from which statistics and sizes are taken
_WARM_UP = 0.1  # share of the steps


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a detector learns.

    Attributes:
        steps: Batches.
        batch_size: Frames in each.
        lr: Largest rate of AdamW, reached after a tenth of the steps; then it falls as a cosine.
        seed: Of new weights, of the order of the frames, and of what a step samples from them.
    """

    steps: int
    batch_size: int
    lr: float
    seed: int


class _Cut(nn.Module):
    """Pieces of the map under boxes, on the map's true scale: torchvision's own rounds it to a power of two."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.output_size = (side, side)

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
        found = maps["0"]
        scale = found.shape[-1] / shapes[0][1]
        pieces: Tensor = roi_align(found, boxes, self.output_size, scale, sampling_ratio=2, aligned=True)
        return pieces


class Detector(nn.Module):
    """An encoder that says where things are.

    Args:
        encoder: What is built on; a copy is taken.
        things: How many kinds of things there are.
        sizes: Sides of square anchors, in pixels of the encoder's images.
        masks: Whether to say which pixels too.
        tune: Whether the encoder learns too.
    """

    def __init__(self, encoder: Encoder, things: int, sizes: Sequence[float], masks: bool, tune: bool) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(tune)
        size, self._masks, self._tune = encoder.card.size, masks, tune
        with torch.no_grad():
            channels = self.encoder.features(torch.zeros(1, 3, size, size, device=encoder.device), "map").shape[1]
        self.neck = nn.Sequential(nn.Conv2d(channels, _CHANNELS, 1), nn.GroupNorm(8, _CHANNELS), nn.ReLU(inplace=True))
        anchors = AnchorGenerator((tuple(sizes),), (_RATIOS,))
        head = RPNHead(_CHANNELS, anchors.num_anchors_per_location()[0])
        kept = dict(_PROPOSALS)
        self.proposals = RegionProposalNetwork(anchors, head, 0.7, 0.3, _SAMPLED, 0.5, kept, kept, 0.7)
        self.heads = _heads(things, masks)
        self.to(encoder.device)

    def train(self, mode: bool = True) -> "Detector":
        """Learn, or not; the encoder's batch norm keeps its statistics either way."""
        super().train(mode)
        self.encoder.eval()
        return self

    def losses(self, frames: NDArray[np.uint8], items: Sequence[Sequence[Instance]]) -> Tensor:
        """Sum of the losses of boxes, kinds and masks.

        Args:
            frames: (b, h, w, 3).
            items: What is in each; crowds are passed over.
        """
        images, maps = self._seen(frames)
        shape = frames.shape[1:3]
        targets = [self._target([item for item in of_frame if not item.crowd], shape) for of_frame in items]
        proposals, first = self.proposals(images, maps, targets)
        _, second = self.heads(maps, proposals, images.image_sizes, targets)
        total: Tensor = torch.stack([*first.values(), *second.values()]).sum()
        return total

    @torch.no_grad()
    def find(self, frames: NDArray[np.uint8]) -> list[Found]:
        """What is where in frames, (b, h, w, 3); a mask is the filled box where the detector knows none."""
        images, maps = self._seen(frames)
        proposals, _ = self.proposals(images, maps)
        results, _ = self.heads(maps, proposals, images.image_sizes)
        return [self._found(result, frames.shape[1:3]) for result in results]

    def _seen(self, frames: NDArray[np.uint8]) -> tuple[ImageList, dict[str, Tensor]]:
        images = self.encoder.images(frames)
        with torch.set_grad_enabled(self._tune and torch.is_grad_enabled()):
            maps = self.encoder.features(images, "map")
        return ImageList(images, [(images.shape[2], images.shape[3])] * len(images)), {"0": self.neck(maps)}

    def _scale(self, shape: tuple[int, ...]) -> Tensor:
        """What takes boxes of frames of a shape to the encoder's images."""
        h, w = shape
        size = self.encoder.card.size
        return torch.tensor([size / w, size / h, size / w, size / h], device=self.encoder.device)

    def _target(self, items: Sequence[Instance], shape: tuple[int, ...]) -> dict[str, Tensor]:
        device = self.encoder.device
        boxes = torch.tensor([item.box for item in items], dtype=torch.float32, device=device).reshape(-1, 4)
        target = {
            "boxes": boxes * self._scale(shape),
            "labels": torch.tensor([item.thing for item in items], dtype=torch.int64, device=device),
        }
        if self._masks:
            stack = np.stack([item.mask for item in items]) if items else np.zeros((0, *shape), np.bool_)
            masks = torch.from_numpy(stack).to(device).float()[:, None]
            side = (self.encoder.card.size, self.encoder.card.size)
            resized = F.interpolate(masks, side, mode="nearest-exact") if items else masks.new_zeros(0, 1, *side)
            target["masks"] = resized[:, 0].byte()
        return target

    def _found(self, result: dict[str, Tensor], shape: tuple[int, ...]) -> Found:
        h, w = shape
        boxes = result["boxes"] / self._scale(shape)
        if self._masks:
            masks = paste_masks_in_image(result["masks"], boxes, (h, w))[:, 0] >= 0.5
        else:
            masks = filled(boxes.cpu(), (h, w))
        parts = (result["labels"], result["scores"].double(), boxes.double(), masks)
        return Found(*(part.cpu().numpy() for part in parts))


def _heads(things: int, masks: bool) -> RoIHeads:
    """What looks at each proposal: two layers, and what they say."""
    width = 4 * _CHANNELS
    body = nn.Sequential(
        nn.Conv2d(_CHANNELS, _CHANNELS, 3, 1, 1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(_CHANNELS * _SIDE**2, width),
        nn.ReLU(inplace=True),
    )
    more: dict[str, Any] = {}
    if masks:
        more = {
            "mask_roi_pool": _Cut(2 * _SIDE),
            "mask_head": MaskRCNNHeads(_CHANNELS, (_CHANNELS, _CHANNELS), 1),
            "mask_predictor": MaskRCNNPredictor(_CHANNELS, _CHANNELS, things + 1),
        }
    said = FastRCNNPredictor(width, things + 1)
    return RoIHeads(_Cut(_SIDE), body, said, 0.5, 0.5, _SAMPLED, 0.25, None, _SURE, 0.5, _MOST, **more)


def filled(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Masks of the pixels whose middle lies in a box, (n, h, w) bool.

    Args:
        boxes: Left, top, right and bottom edge, (n, 4).
        shape: Height and width.
    """
    rows, columns = (torch.arange(length) + 0.5 for length in shape)
    left, top, right, bottom = (edge[:, None] for edge in boxes.unbind(1))
    across, down = (columns > left) & (columns < right), (rows > top) & (rows < bottom)
    return down[:, :, None] & across[:, None, :]


def trained(
    encoder: Encoder,
    frames: Segmented,
    rows: NDArray[np.int64],
    kinds: dict[int, int],
    enlarge: int,
    masks: bool,
    tune: bool,
    schedule: Schedule,
) -> Detector:
    """A detector that has learnt from some frames.

    Args:
        encoder: What it is built on; left as it is.
        frames: The recording.
        rows: Places in it to learn from.
        kinds: The detector's number for each thing of the recording that it is to find.
        enlarge: How many times larger than the encoder's own images those are that it sees.
        masks: Whether to say which pixels too.
        tune: Whether the encoder learns too.
        schedule: How long and how fast.

    Raises:
        InputError: If none of these things is there, or the loss becomes no number.
    """
    larger = replace(encoder.card, size=enlarge * encoder.card.size)
    seen = Encoder(copy.deepcopy(encoder.backbone), larger).to(encoder.device).eval()
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MEASURED)).astype(np.int64)]
    sizes = _sizes(frames, some, kinds, larger.size)
    devices = [encoder.device] if encoder.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(schedule.seed)
        _measure(seen, frames, some)
        detector = Detector(seen, len(kinds), sizes, masks, tune).train()
        _learn(detector, frames, rows, kinds, schedule)
    return detector.eval()


def wanted(found: NDArray[np.uint8], kinds: dict[int, int]) -> list[Instance]:
    """What a map tells of the things that are to be found, under the detector's numbers.

    Args:
        found: The map, (h, w, c).
        kinds: The detector's number for each of the recording's.
    """
    return [replace(item, thing=kinds[item.thing]) for item in instances(found) if item.thing in kinds]


def _sizes(frames: Segmented, rows: NDArray[np.int64], kinds: dict[int, int], size: int) -> list[float]:
    """Sides of anchors: a small, a middling and a large one of the things that are there, in the encoder's pixels."""
    h, w, _ = frames.shape
    boxes = [item.box for found in frames.maps(rows) for item in wanted(found, kinds) if not item.crowd]
    if not boxes:
        raise InputError("The training frames show none of the things that are asked for: record more of them.")
    edges = np.array(boxes, np.float64)
    sides = np.sqrt((edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1]) * size * size / (h * w))
    return [float(side) for side in np.quantile(sides, [0.1, 0.5, 0.9]).clip(min=2.0)]


def _measure(encoder: Encoder, frames: Segmented, rows: NDArray[np.int64]) -> None:
    """Give batch norm that has no statistics yet those of some frames."""
    layers = [layer for layer in encoder.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    fresh = [layer for layer in layers if _untouched(layer)]
    for layer in fresh:
        layer.train().momentum = None  # a plain mean over the batches
    with torch.no_grad():
        for part in np.array_split(rows, max(1, len(rows) // _AT_ONCE)) if fresh else []:
            encoder.features(encoder.images(frames.take(part)), "map")
    for layer in fresh:
        layer.eval()


def _untouched(layer: Any) -> bool:
    return layer.running_mean is not None and not layer.running_mean.any() and bool((layer.running_var == 1).all())


def _learn(
    detector: Detector, frames: Segmented, rows: NDArray[np.int64], kinds: dict[int, int], schedule: Schedule
) -> None:
    learning = [weight for weight in detector.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, schedule.lr, weight_decay=1e-4)
    warm = max(1, round(_WARM_UP * schedule.steps))

    def rate(step: int) -> float:
        rest = (step - warm) / max(1, schedule.steps - warm)
        return (step + 1) / warm if step < warm else 0.5 * (1 + float(np.cos(np.pi * rest)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for batch in tqdm(_batches(rows, schedule), total=schedule.steps, unit="step", desc="detector", leave=False):
        items = [wanted(found, kinds) for found in frames.maps(batch)]
        loss = detector.losses(frames.take(batch), items)
        if not loss.isfinite():
            raise InputError(f"The detector's loss is no number any more: lower its rate of {schedule.lr:g}.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 10.0)
        optimizer.step()
        scheduler.step()


def _batches(rows: NDArray[np.int64], schedule: Schedule) -> Iterator[NDArray[np.int64]]:
    """Frames in an order that the seed repeats; each comes once before any comes again."""
    rng = np.random.default_rng(schedule.seed)
    waiting = np.zeros(0, np.int64)
    for _ in range(schedule.steps):
        while len(waiting) < schedule.batch_size:
            waiting = np.concatenate([waiting, rng.permutation(rows)])
        batch, waiting = waiting[: schedule.batch_size], waiting[schedule.batch_size :]
        yield np.sort(batch)


def looked(detector: Detector, frames: Segmented, rows: NDArray[np.int64]) -> Iterator[Found]:
    """What a detector finds in frames, one after the other, in bounded memory."""
    for part in np.array_split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)):
        yield from detector.find(frames.take(part))
