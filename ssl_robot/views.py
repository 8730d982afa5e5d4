"""A batch of frames in, augmented views out, on the device, with the parameters that made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_robot.invariances import Colour, Filter, Geometry
from ssl_robot.random import uniforms
from ssl_robot.recipes import Recipe, name_of

_CHUNK = 32  # frames at a time on a CPU: larger pieces spend their time in page faults


@dataclass(frozen=True)
class View:
    """One augmented view of a batch.

    Attributes:
        images: (b, 3, size, size) float in [0, 1].
        parameters: What each invariance drew, (b, parameters) each: enough to make the same view again.
    """

    images: Tensor
    parameters: Mapping[str, Tensor]


class Views:
    """Makes views of batches.

    Parameters depend on the seed, the step, the view and each sample's own number, not on the batch it is in, the
    pieces the batch is cut into, or the device. All geometry is one resampling.

    Args:
        recipe: Which invariances.
        size: Height and width of the views.
        seed: The run's seed.
    """

    def __init__(self, recipe: Recipe, size: int, seed: int) -> None:
        self.recipe = recipe
        self.size = size
        self.seed = seed

    def draw(self, samples: Tensor, step: int, view: int) -> dict[str, Tensor]:
        """What each invariance would do to each sample.

        Args:
            samples: Each sample's own number, int64, (b,).
            step: Counts the batches.
            view: 0 for the first view, 1 for the second.
        """
        drawn = {}
        for item in self.recipe.invariances:
            name = name_of(item)
            u = uniforms(self.seed, step, samples, crc32(name.encode()) * 16 + view, 1 + item.draws)
            drawn[name] = item.sample(u)
        return drawn

    def __call__(self, frames: Tensor, samples: Tensor, step: int, view: int) -> View:
        """One view of a batch.

        Args:
            frames: (b, h, w, 3) uint8.
            samples: Each sample's own number, int64, (b,), on the frames' device.
            step: Counts the batches.
            view: Which of the views.
        """
        parameters = self.draw(samples, step, view)
        return View(self.replay(frames, parameters), parameters)

    def replay(self, frames: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The view that these parameters make, (b, 3, size, size) in [0, 1]; the same pixels every time."""
        if frames.is_cuda:
            return self._render(frames, parameters)
        pieces = [
            self._render(frames[i : i + _CHUNK], {name: drawn[i : i + _CHUNK] for name, drawn in parameters.items()})
            for i in range(0, len(frames), _CHUNK)
        ]
        return torch.cat(pieces)

    def _render(self, frames: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        images = frames.permute(0, 3, 1, 2).float() / 255
        images = self._resample(images, parameters)
        for item in self.recipe.invariances:
            if isinstance(item, Colour | Filter):
                images = item.apply(images, parameters[name_of(item)])
        return images

    def _resample(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        geometry = [item for item in self.recipe.invariances if isinstance(item, Geometry)]
        b, c, h, w = images.shape
        if not geometry:
            same = (h, w) == (self.size, self.size)
            return images if same else F.interpolate(images, self.size, mode="bilinear", antialias=True)
        images = reduced(images, self.size)
        matrix = torch.eye(3, device=images.device).expand(b, 3, 3)
        for item in geometry:
            matrix = matrix @ item.matrix(parameters[name_of(item)])
        grid = F.affine_grid(matrix[:, :2], [b, c, self.size, self.size], align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def reduced(images: Tensor, size: int) -> Tensor:
    """Images more than twice as large as the views, smoothed down to twice: sampling them would skip pixels.

    Args:
        images: (b, 3, h, w) in [0, 1].
        size: Height and width of the views.
    """
    if min(images.shape[2:]) <= 2 * size:
        return images
    return F.interpolate(images, (2 * size, 2 * size), mode="bilinear", antialias=True)
