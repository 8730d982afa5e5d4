"""What a recipe does to frames, on one picture: every invariance by itself, then all of them together."""

import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ssl_robot.errors import InputError
from ssl_robot.frames import Frames
from ssl_robot.invariances import Invariance, Place, Source
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.views import Views

_STEPS = {"weak": 1 / 3, "middle": 2 / 3, "full": 1.0}
_FEW = 4  # random numbers, up to which every combination of small, middling and large ones is looked at
_TRIED = 256
_FAR = 0.9  # of the strongest: what else counts as full strength
_ALMOST = 1 - 2**-24  # the largest number below one

_DPI = 100
_TILE, _GAP, _SPACE = 104, 4, 22  # pixels: a tile's least side, between tiles, between groups
_MARGIN, _LABEL, _HEAD = 14, 92, 84  # around everything, for a row's name, for titles above a band
_TITLE = 34  # above everything
_ACROSS = 14  # columns of a band
_LETTER, _CAPITAL = 5.6, 9.5  # pixels across one of the small letters, and of the title's
_INK, _PALE, _RULE = "#17202a", "#5d6d7e", "#aeb6bf"
_EDGE = 0.82  # how light the line around a tile is


@dataclass(frozen=True)
class _Group:
    """Columns that belong together: a title, what is said below it, and captions with one image per row."""

    title: str
    text: str
    columns: Sequence[tuple[str, Tensor]]


class _Scene:
    """The frames of the picture's rows, and those that lie elsewhere in time or before another camera."""

    def __init__(self, cameras: Sequence[Frames], rows: NDArray[np.int64]) -> None:
        shapes = {camera.shape for camera in cameras}
        if len(shapes) > 1:
            raise InputError(
                f"Cameras show frames of {min(shapes)} and {max(shapes)}: leave 'camera' out of the recipe."
            )
        self._cameras, episodes = cameras, cameras[0].episodes
        places = torch.from_numpy(rows)
        last = torch.tensor([int(np.flatnonzero(episodes == episodes[row])[-1]) for row in rows])
        self.place = Place(places, torch.zeros_like(places), last, len(cameras))

    def seen(self, place: Place) -> Tensor:
        """(rows, h, w, 3) uint8."""
        pairs = zip(place.rows.numpy(), place.cameras.tolist(), strict=True)
        return torch.from_numpy(np.concatenate([self._cameras[camera].take(np.array([row])) for row, camera in pairs]))


def sheet(
    title: str,
    cameras: Sequence[Frames],
    rows: NDArray[np.int64],
    names: Sequence[str],
    recipe: Recipe,
    size: int,
    seed: int,
    views: int | None = None,
) -> bytes:
    """A PNG with a row for each frame: the frame, each invariance at three strengths, whole views.

    Strengths are those of the recipe's first view. Where there are more columns than a screen is wide, they go on
    below, with the same rows.

    Args:
        title: Stands above it all.
        cameras: The collection, and the same moments through other cameras, for recipes with ``camera``.
        rows: Which of the frames.
        names: What each row is called.
        recipe: What to draw.
        size: Height and width of the largest views.
        seed: The views'.
        views: How many whole views; all of the recipe's and at least four if not given.
    """
    scene = _Scene(cameras, rows)
    plain = Views(Recipe(), size, seed).replay(scene.seen(scene.place), {})
    groups = [
        _Group("frame", "as the encoder gets it", [("", plain)]),
        *(_alone(item, _share(recipe, item), scene, size) for item in recipe.views[0][0]),
        _together(Views(recipe, size, seed), scene, views),
    ]
    return _png(title, list(_bands(groups)), names, max(_TILE, size))


def _share(recipe: Recipe, item: Invariance) -> str:
    """In how many of the views the invariance acts."""
    shares = {round(100 * other.p) for items, _ in recipe.views for other in items if name_of(other) == name_of(item)}
    low, high = min(shares), max(shares)
    return f"{low} %" if low == high else f"{low} to {high} %"


def _alone(item: Invariance, share: str, scene: _Scene, size: int) -> _Group:
    views, name = Views(Recipe((item,)), size, 0), name_of(item)
    drawn = strengths(item, len(scene.place.rows))
    captions = list(_STEPS) if len(drawn) > 1 else [""]
    columns = []
    for caption, one in zip(captions, drawn, strict=True):
        place = item.elsewhere(one, scene.place) if isinstance(item, Source) else scene.place
        columns.append((caption, views.replay(scene.seen(place), {name: one})))
    return _Group(name.replace("_", " "), f"hides {item.hides}\n{share} of views", columns)


def strengths(item: Invariance, rows: int) -> list[Tensor]:
    """Parameters for each row at a third, two thirds and all of the way from the mildest draw to one of the strongest.

    Every one of them could be drawn; rows differ in their direction where there is more than one.

    Args:
        item: The invariance.
        rows: How many frames.

    Returns:
        Three times (rows, parameters), or once where the invariance draws nothing: it acts or it does not.
    """
    if item.draws == 0:
        return [item.parameters(torch.zeros(rows, 0))]
    u = _spread(item.draws)
    drawn = item.parameters(u)
    reach = (drawn.amax(0) - drawn.amin(0)).clamp(min=1e-6)
    away = ((drawn - item.neutral()) / reach).norm(dim=1)
    mildest, strongest = u[away.argmin()], u[away >= _FAR * away.max()]
    ends = strongest[torch.arange(rows) % len(strongest)]
    return [item.parameters(mildest + step * (ends - mildest)) for step in _STEPS.values()]


def _spread(draws: int) -> Tensor:
    """Random numbers from all over the range, (tried, draws)."""
    if draws > _FEW:
        return torch.rand(_TRIED, draws, generator=torch.Generator().manual_seed(0))
    return torch.cartesian_prod(*[torch.tensor([0.0, 0.5, _ALMOST])] * draws).reshape(-1, draws)


def _together(views: Views, scene: _Scene, count: int | None) -> _Group:
    count = max(_FEW, len(views)) if count is None else count
    columns = []
    for i in range(count):
        time, view = divmod(i, len(views))
        caption = f"view {view + 1}" if count <= len(views) else f"epoch {time + 1}, view {view + 1}"
        frames = scene.seen(views.where(scene.place, time)[view])
        columns.append((caption, views(frames, scene.place.rows, time, view).images))
    return _Group("all together", "what the encoder learns to see as the same", columns)


def _bands(groups: Sequence[_Group]) -> Iterator[list[_Group]]:
    """Groups in lines, as words are; one too long for a line is cut."""
    line: list[_Group] = []
    for group in groups:
        for first in range(0, len(group.columns), _ACROSS):
            piece = replace(group, columns=group.columns[first : first + _ACROSS])
            if line and sum(len(other.columns) for other in (*line, piece)) > _ACROSS:
                yield line
                line = []
            line.append(piece)
    if line:
        yield line


def _png(title: str, bands: Sequence[Sequence[_Group]], names: Sequence[str], side: int) -> bytes:
    width = _MARGIN + _LABEL + max(sum(_width(group, side) for group in band) for band in bands)
    below = _HEAD + len(names) * (side + _GAP)
    height = _MARGIN + _TITLE + len(bands) * (below + _MARGIN)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    title = textwrap.shorten(title, int(width / _CAPITAL), placeholder=" ...")
    axis.text(_MARGIN, _MARGIN, title, fontsize=13, color=_INK, va="top")
    canvas = np.ones((height, width, 3), np.float32)
    for i, band in enumerate(bands):
        top = _MARGIN + _TITLE + i * (below + _MARGIN)
        for row, name in enumerate(names):
            middle = top + _HEAD + row * (side + _GAP) + side / 2
            axis.text(_MARGIN, middle, name, fontsize=8, color=_PALE, va="center")
        left = _MARGIN + _LABEL
        for group in band:
            _draw(canvas, axis, group, top, left, side)
            left += _width(group, side)
    axis.imshow(canvas, interpolation="nearest", aspect="auto", extent=(0, width, height, 0))
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, facecolor="white", format="png")
    return buffer.getvalue()


def _width(group: _Group, side: int) -> int:
    return len(group.columns) * (side + _GAP) + _SPACE


def _draw(canvas: NDArray[np.float32], axis: Axes, group: _Group, top: int, left: int, side: int) -> None:
    """A group's titles and tiles."""
    across = _width(group, side) - _SPACE - _GAP
    axis.text(left, top, group.title, fontsize=12, fontweight="bold", color=_INK, va="top")
    text = "\n".join(textwrap.fill(line, int(across / _LETTER)) for line in group.text.splitlines())
    axis.text(left, top + 19, text, fontsize=8, color=_PALE, va="top", linespacing=1.1)
    rule = top + _HEAD - 18
    axis.plot([left, left + across], [rule, rule], color=_RULE, linewidth=1)
    for i, (caption, images) in enumerate(group.columns):
        x = left + i * (side + _GAP)
        axis.text(x + side / 2, top + _HEAD - 4, caption, fontsize=8, color=_INK, ha="center", va="bottom")
        for row, tile in enumerate(_tiles(images, group, side)):
            y = top + _HEAD + row * (side + _GAP)
            inset, length = (side - len(tile)) // 2, len(tile)
            inner = canvas[y + inset : y + inset + length, x + inset : x + inset + length]
            inner[:] = _EDGE  # white frames on white paper end somewhere
            inner[1:-1, 1:-1] = tile[1:-1, 1:-1]


def _tiles(images: Tensor, group: _Group, side: int) -> NDArray[np.float32]:
    """Images enlarged by what fills a tile with the group's largest: smaller views stay smaller."""
    largest = max(other.shape[2] for _, other in group.columns)
    wanted = max(1, round(images.shape[2] * side / largest))
    shown = F.interpolate(images, wanted, mode="bilinear", antialias=True).clamp(0, 1)
    return shown.permute(0, 2, 3, 1).numpy()
