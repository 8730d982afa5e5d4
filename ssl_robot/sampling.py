"""Frames looked at through a matrix: the one resampling that all geometry of a view shares."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def reduced(frames: Tensor, size: int) -> Tensor:
    """Frames more than twice as high or wide as the views, smoothed down to that: sampling them would skip pixels.

    Args:
        frames: (b, h, w, 3) uint8.
        size: Height and width of the views.

    Returns:
        (b, h', w', 3) uint8, neither side more than twice ``size``.
    """
    wanted = [min(side, 2 * size) for side in frames.shape[1:3]]
    if wanted == list(frames.shape[1:3]):
        return frames
    smaller = F.interpolate(planar(frames), wanted, mode="bilinear", antialias=True)
    return (smaller * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def planar(frames: Tensor) -> Tensor:
    """(b, h, w, 3) uint8 as (b, 3, h, w) float in [0, 1], in the same order in memory."""
    return frames.permute(0, 3, 1, 2).float() / 255


_HORIZON = 1e-3  # of the depth: what lies behind the viewer is the edge of what lies before


@dataclass(frozen=True)
class Kind:
    """What is known about matrices before they are.

    Attributes:
        projective: Some last row may be anything but 0, 0, 1.
        upright: Rows of the view lie in rows of the frame, and columns in columns.
    """

    projective: bool = False
    upright: bool = False


def sampled(frames: Tensor, matrix: Tensor, size: int, kind: Kind) -> Tensor:
    """Bilinear samples; beyond the border the frame's edge goes on.

    Args:
        frames: (b, h, w, 3) uint8.
        matrix: From places in the view to places in the frame, both in [-1, 1], x right and y down, (b, 3, 3).
        size: Height and width of the views.
        kind: What the matrices may be.

    Returns:
        (b, 3, size, size) float in [0, 1].
    """
    if not torch.compiler.is_compiling():
        grid = torch.stack(_places(matrix, size, kind.projective), -1)
        return F.grid_sample(planar(frames), grid, padding_mode="border", align_corners=False).contiguous()
    if kind.upright and not frames.is_cuda:
        return _across(_down(frames, matrix, size), matrix, size)
    return _gathered(frames, *_places(matrix, size, kind.projective))


def _places(matrix: Tensor, size: int, projective: bool) -> tuple[Tensor, Tensor]:
    """Where each pixel of the view lies in the frame, (b, size, size) each, in [-1, 1]."""
    u = _middles(size, matrix.device)
    across, down = u[None, None, :], u[None, :, None]

    def row(i: int) -> Tensor:
        a, b, c = (matrix[:, i, j, None, None] for j in range(3))
        return a * across + (b * down + c)

    if not projective:
        return row(0), row(1)
    depth = row(2).clamp(min=_HORIZON)
    return row(0) / depth, row(1) / depth


def _middles(size: int, device: torch.device) -> Tensor:
    """The middle of each pixel in [-1, 1], (size,)."""
    return (2 * torch.arange(size, device=device) + 1) / size - 1


def _neighbours(place: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after a place in [-1, 1], and how far it lies towards the second."""
    place = ((place + 1) * length / 2 - 0.5).clamp(0, length - 1)
    before = place.floor()
    first = before.int().clamp(0, length - 1)  # what is no number lies somewhere too: nobody checks again
    return first, (first + 1).clamp(max=length - 1), place - before


# What follows does what ``grid_sample`` does, written out: the compiler makes one pass of it and of the colours after.


def _gathered(frames: Tensor, x: Tensor, y: Tensor) -> Tensor:
    b, h, w, channels = frames.shape
    left, right, across = _neighbours(x, w)
    top, bottom, down = _neighbours(y, h)
    whole = torch.int32 if frames.numel() < 2**31 else torch.int64
    first = torch.arange(b, device=frames.device, dtype=whole)[:, None, None] * h
    flat = frames.reshape(-1)

    def at(row: Tensor, column: Tensor, channel: int) -> Tensor:
        return flat[((first + row) * w + column) * channels + channel].float()

    planes = []
    for channel in range(channels):
        upper, lower = (torch.lerp(at(row, left, channel), at(row, right, channel), across) for row in (top, bottom))
        planes.append(torch.lerp(upper, lower, down) / 255)
    return torch.stack(planes, 1)


def _down(frames: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Whole rows between rows of the frame, (b, size, 3 w): half of the reading, and that in long pieces."""
    b, h, w, channels = frames.shape
    place = matrix[:, 1, 1, None] * _middles(size, frames.device) + matrix[:, 1, 2, None]
    top, bottom, share = _neighbours(place, h)
    first = torch.arange(b, device=frames.device, dtype=torch.int32)[:, None] * h
    rows = frames.reshape(b * h, w * channels)
    return torch.lerp(rows[first + top].float(), rows[first + bottom].float(), share[:, :, None])


def _across(rows: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Between pixels of such rows, (b, 3, size, size)."""
    b, _, length = rows.shape
    place = matrix[:, 0, 0, None] * _middles(size, rows.device) + matrix[:, 0, 2, None]
    left, right, share = (part[:, None] for part in _neighbours(place, length // 3))
    first = torch.arange(b * size, device=rows.device, dtype=torch.int32).reshape(b, size, 1) * length
    flat = rows.reshape(-1)
    planes = [torch.lerp(flat[first + left * 3 + i], flat[first + right * 3 + i], share) / 255 for i in range(3)]
    return torch.stack(planes, 1)


def on(device: torch.device, values: Tensor) -> Tensor:
    """Values of the CPU on a device, by a copy that neither waits for the other."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)
