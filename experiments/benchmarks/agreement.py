"""Whether our pixels are those of other libraries, made with the same parameters."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_robot.experiments.benchmarks.timing import machine
from ssl_robot.experiments.benchmarks.views import Setting
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views

_TITLE = "the same parameters, absolute difference in grey levels of 255"
_TWICE = 2


@dataclass(frozen=True)
class Agreement:
    """How far our pixels are from another library's, made with the same parameters.

    Attributes:
        name: What was compared.
        mean: Mean absolute difference, in grey levels of 255.
        largest: Largest one away from the border, in the same unit.
        mean_limit: What ``mean`` may be.
        largest_limit: What ``largest`` may be.
    """

    name: str
    mean: float
    largest: float
    mean_limit: float
    largest_limit: float

    @property
    def within(self) -> bool:
        """Whether both are within their limits."""
        return self.mean <= self.mean_limit and self.largest <= self.largest_limit


def agreement(setting: Setting) -> list[Agreement]:
    """Our views beside Kornia's operations one after the other, and our colours beside torchvision's."""
    frames, samples = torch.from_numpy(setting.seen()[:64]), torch.arange(min(setting.frames, 64))
    kinds = [False, True] if setting.compiled else [False]
    torch.compiler.reset()
    found = []
    for compiled in kinds:
        views = Views(Recipe.named("simsiam"), setting.size, 0, compiled)
        pairs = [views(frames, samples, 0, view) for view in range(_TWICE)]
        ours = torch.cat([view.images for view in pairs])
        theirs = torch.cat([_unfused(frames, view.parameters, setting) for view in pairs])
        kind = "compiled" if compiled else "eager"
        name = f"{kind} against Kornia, unfused, {setting.source} -> {setting.size} px"
        found.append(_compared(name, ours, theirs, setting.kernel // 2 + 1, 2.0, 4.0))
    colours = Recipe.named("simsiam").edited((), ("crop", "flip", "blur"), {})
    seen = Views(colours, setting.source, 0)(frames, samples, 0, 0)
    theirs = _coloured_by_torchvision(frames, seen.parameters)
    return [
        *found,
        _compared(f"colours against torchvision, {setting.source} px", seen.images, theirs, 0, 0.255, 0.255),
    ]


def pixels_record(rows: list[Agreement]) -> dict[str, Any]:
    """What a program reads."""
    found = [{**asdict(row), "within": row.within} for row in rows]
    return {"title": _TITLE, "machine": machine(), "baseline": "the other library's pixels", "rows": found}


def pixels_table(rows: list[Agreement]) -> str:
    """What a person reads, in Markdown."""
    lines = [f"**{_TITLE}**", "", "| compared | mean | largest inside | limits | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        limits = f"{row.mean_limit:g}, {row.largest_limit:g}"
        verdict = "the same" if row.within else "**NOT THE SAME**"
        lines.append(f"| {row.name} | {row.mean:.2g} | {row.largest:.2g} | {limits} | {verdict} |")
    return "\n".join(lines)


def _compared(name: str, ours: Tensor, theirs: Tensor, border: int, mean: float, largest: float) -> Agreement:
    """Rows and columns of the border count in the mean only."""
    apart = (ours - theirs).abs() * 255
    inside = apart[:, :, border : apart.shape[2] - border, border : apart.shape[3] - border]
    return Agreement(name, float(apart.mean()), float(inside.max()), mean, largest)


def _unfused(frames: Tensor, drawn: Any, setting: Setting) -> Tensor:
    """Every operation by itself, as Kornia has it, in double precision."""
    import kornia.enhance as enhance
    from kornia.color import rgb_to_grayscale
    from kornia.filters import gaussian_blur2d
    from kornia.geometry.transform import hflip

    given = {name: values.double() for name, values in drawn.items()}
    images = _cropped(frames.permute(0, 3, 1, 2).double() / 255, given["crop"], setting.size)
    images = torch.where(given["flip"][:, :, None, None] < 0, hflip(images), images)
    images = enhance.adjust_brightness_accumulative(images, given["brightness"][:, 0])
    images = enhance.adjust_contrast_with_mean_subtraction(images, given["contrast"][:, 0])
    images = enhance.adjust_saturation_with_gray_subtraction(images, given["saturation"][:, 0])
    images = enhance.adjust_hue(images, given["hue"][:, 0])
    images = torch.where(given["gray"][:, :, None, None] == 0, rgb_to_grayscale(images).expand_as(images), images)
    sigma = given["blur"] * setting.size
    width = min(2 * int(np.ceil(4 * setting.blur[1])) + 1, 2 * ((setting.size - 1) // 2) + 1)
    blurred = gaussian_blur2d(images, (width, width), sigma.clamp(min=1e-3).expand(-1, 2))
    return torch.where(sigma[:, :, None, None] > 0, blurred, images).float()


def _cropped(images: Tensor, parts: Tensor, size: int) -> Tensor:
    """The parts, given as half widths, half heights and middles in [-1, 1], by Kornia's warp in pixels."""
    from kornia.geometry.transform import warp_affine

    side = images.shape[-1]
    width, height, x, y = parts.unbind(1)
    rows = []
    for axis, (share, middle) in enumerate(((width, x), (height, y))):
        first, zoom = (middle - share + 1) / 2 * side, size / (share * side)
        row = [torch.zeros_like(zoom), torch.zeros_like(zoom), (0.5 - first) * zoom - 0.5]
        row[axis] = zoom
        rows.append(torch.stack(row, 1))
    made: Tensor = warp_affine(images, torch.stack(rows, 1), (size, size), padding_mode="border", align_corners=True)
    return made


def _coloured_by_torchvision(frames: Tensor, drawn: Any) -> Tensor:
    import torchvision.transforms.functional as F

    made = []
    for i, image in enumerate(frames.permute(0, 3, 1, 2).float() / 255):
        bright, contrast, saturation, hue, gray = (
            float(drawn[name][i, 0]) for name in ("brightness", "contrast", "saturation", "hue", "gray")
        )
        image = F.adjust_contrast(F.adjust_brightness(image, bright), contrast)
        image = F.adjust_hue(F.adjust_saturation(image, saturation), hue / (2 * np.pi))
        made.append(F.rgb_to_grayscale(image, 3) if gray == 0 else image)
    return torch.stack(made)
