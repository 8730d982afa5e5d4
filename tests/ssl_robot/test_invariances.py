import colorsys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor, nn

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.invariances import Colour, Filter, Geometry, Invariance
from ssl_robot.recipes import Recipe
from ssl_robot.views import Views

NAMES = catalogue.names(ssl_robot.invariances)
GROUPS = ("rotation", "flip", "hue", "gray")  # whose orbits are exact


def made(name: str, **strengths: float) -> Invariance:
    return catalogue.found(ssl_robot.invariances, name)(**strengths)


def noise(b: int = 4, size: int = 32) -> Tensor:
    """Images that nothing is symmetric in."""
    return torch.rand(b, 3, size, size, generator=torch.Generator().manual_seed(0))


def frames(b: int = 4, size: int = 32) -> Tensor:
    return (noise(b, size) * 255).round().byte().permute(0, 2, 3, 1).contiguous()


def shown(item: Invariance, frames: Tensor, parameters: Sequence[float]) -> Tensor:
    """The view of every frame under the same parameters, at the frames' own size."""
    name = type(item).__name__.lower()
    drawn = torch.tensor([parameters], dtype=torch.float32).expand(len(frames), -1)
    return Views(Recipe((item,)), frames.shape[1], 0).replay(frames, {name: drawn})


def plain(frames: Tensor) -> Tensor:
    return frames.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("name", NAMES)
def test_neutral_parameters_change_nothing(name: str) -> None:
    item = made(name)
    tolerance = 1e-3 if name == "blur" else 1e-6
    view = shown(item, frames(), item.neutral().tolist())
    torch.testing.assert_close(view, plain(frames()), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("name", "nothing"),
    [
        ("brightness", {"gain": 0}),
        ("contrast", {"gain": 0}),
        ("saturation", {"gain": 0}),
        ("hue", {"turn": 0}),
        ("rotation", {"degrees": 0}),
        ("shift", {"reach": 0}),
        ("crop", {"scale": 1, "aspect": 1}),
        ("blur", {"low": 0, "high": 0}),
        *((name, {"p": 0}) for name in NAMES),
    ],
)
def test_no_strength_is_no_change(name: str, nothing: dict[str, float]) -> None:
    item = made(name, **({"p": 1.0} | nothing))
    view = Views(Recipe((item,)), 32, 0)(frames(), torch.arange(4), 0, 0)
    tolerance = 1e-3 if name == "blur" else 1e-6
    torch.testing.assert_close(view.images, plain(frames()), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_views_stay_in_range_and_differ_from_the_frame(name: str) -> None:
    view = Views(Recipe((made(name, p=1.0),)), 32, 0)(frames(64), torch.arange(64), 0, 0)
    assert view.images.shape == (64, 3, 32, 32)
    assert view.parameters[name].shape == (64, len(made(name).neutral()))
    assert view.images.min() >= 0
    assert view.images.max() <= 1
    moved = (view.images - plain(frames(64))).abs().amax((1, 2, 3))
    assert (moved > 0.01).float().mean() > 0.9 or name == "blur"
    assert moved.max() > 0.005


@pytest.mark.parametrize("name", NAMES)
def test_p_is_the_share_of_views_that_change(name: str) -> None:
    item = made(name, p=0.3)
    drawn = Views(Recipe((item,)), 32, 0).draw(torch.arange(4000), 0, 0)[name]
    changed = (drawn != item.neutral()).any(1).float().mean()
    assert abs(float(changed) - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_hides_and_is_of_one_kind(name: str) -> None:
    item = made(name)
    assert item.hides
    assert sum(isinstance(item, kind) for kind in (Geometry, Colour, Filter)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_orbit_keeps_shape_and_range(name: str) -> None:
    for moved in made(name).orbit(noise()):
        assert moved.shape == noise().shape
        assert moved.min() >= 0
        assert moved.max() <= 1


def average(network: nn.Module, item: Invariance, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack([network(moved) for moved in item.orbit(images)]).mean(0)


@pytest.mark.parametrize("name", GROUPS)
def test_orbit_average_is_blind_to_every_element_of_the_orbit(name: str) -> None:
    """Whatever the network: an arbitrary random one that keeps the layout."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        convolution = nn.Conv2d(3, 16, 5, 2)
        network = nn.Sequential(convolution, nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Tanh(), nn.Flatten())
    item, images, sighted = made(name), noise(), False
    reference = average(network, item, images)
    for moved in item.orbit(images):
        torch.testing.assert_close(average(network, item, moved), reference, atol=1e-4, rtol=0)
        sighted |= bool((network(moved) - network(images)).abs().max() > 0.05)
    assert sighted


@pytest.mark.parametrize("turn", [-0.5, -0.21, 0.0, 1 / 3, 0.47])
def test_hue_is_that_of_colorsys(turn: float) -> None:
    """Grey, black, white and pure colours included."""
    pure = np.array([[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    colours = np.concatenate([pure, np.random.default_rng(0).random((57, 3))])
    expected = []
    for colour in colours:
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        expected.append(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
    images = torch.from_numpy(colours.T.reshape(1, 3, 8, 8)).float()
    item = made("hue")
    assert isinstance(item, Colour)
    turned = item.apply(images, torch.tensor([[turn * 2 * np.pi]]))
    np.testing.assert_allclose(turned.reshape(3, -1).T, np.array(expected), atol=2e-6)


@pytest.mark.parametrize("gain", [0.0, 0.6, 1.0, 1.4, 3.0])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colours_are_those_of_torchvision(name: str, gain: float) -> None:
    """To 1e-5, and to what torchvision's weight of red, .2989 instead of .299, amounts to."""
    item, images = made(name), noise(1)
    assert isinstance(item, Colour)
    expected = getattr(TF, f"adjust_{name}")(images, gain)
    rounding = 0.0 if name == "brightness" else 1e-4 * abs(gain - 1)
    torch.testing.assert_close(item.apply(images, torch.tensor([[gain]])), expected, atol=1e-5 + rounding, rtol=0)


def test_gray_is_that_of_torchvision() -> None:
    item, images = made("gray"), noise()
    assert isinstance(item, Colour)
    expected = TF.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(item.apply(images, torch.zeros(4, 1)), expected, atol=1e-4, rtol=0)
    white = torch.ones(1, 3, 2, 2)
    torch.testing.assert_close(item.apply(white, torch.zeros(1, 1)), white, atol=1e-6, rtol=0)


def test_colours_of_one_image_do_not_depend_on_the_others() -> None:
    """Contrast has a mean in it: each image's own."""
    item, images = made("contrast"), noise()
    assert isinstance(item, Colour)
    gains = torch.tensor([[0.5], [1.5], [1.0], [0.7]])
    alone = torch.cat([item.apply(images[i : i + 1], gains[i : i + 1]) for i in range(4)])
    assert torch.equal(item.apply(images, gains), alone)


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_rotation_by_quarter_turns_moves_whole_pixels(turns: int) -> None:
    """A positive angle turns the scene anticlockwise, as ``rot90`` does."""
    view = shown(made("rotation"), frames(), [turns * np.pi / 2])
    torch.testing.assert_close(view, plain(frames()).rot90(turns, (2, 3)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("degrees", [10.0, -75.0])
def test_rotation_by_any_angle_is_that_of_torchvision(degrees: float) -> None:
    view = shown(made("rotation"), frames(), [np.deg2rad(degrees)])
    expected = TF.rotate(plain(frames()), degrees, TF.InterpolationMode.BILINEAR)
    inside = (slice(None), slice(None), slice(10, 22), slice(10, 22))  # the corners are filled otherwise
    torch.testing.assert_close(view[inside], expected[inside], atol=1e-4, rtol=0)


def test_flip_exchanges_left_and_right() -> None:
    torch.testing.assert_close(shown(made("flip"), frames(), [-1.0]), plain(frames()).flip(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, -5), (-2, 4)])
def test_shift_moves_by_whole_pixels_and_repeats_the_border(x: int, y: int) -> None:
    view = shown(made("shift"), frames(), [2 * x / 32, 2 * y / 32])
    columns, rows = ((torch.arange(32) + offset).clamp(0, 31) for offset in (x, y))
    torch.testing.assert_close(view, plain(frames())[:, :, rows][:, :, :, columns], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("top", "left", "height", "width"), [(8, 4, 16, 16), (4, 12, 24, 16)])
def test_crop_is_that_of_torchvision(top: int, left: int, height: int, width: int) -> None:
    """Away from the crop's border: there torchvision repeats the edge of the part, here the frame goes on."""
    parameters = [width / 32, height / 32, (2 * left + width) / 32 - 1, (2 * top + height) / 32 - 1]
    view = shown(made("crop"), frames(), parameters)
    expected = TF.resized_crop(plain(frames()), top, left, height, width, [32, 32], antialias=False)
    torch.testing.assert_close(view[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2], atol=1e-4, rtol=0)


def test_crops_lie_within_the_frame_and_within_their_strengths() -> None:
    item = made("crop", scale=0.3, aspect=2.0)
    width, height, x, y = item.sample(torch.rand(5000, 5, generator=torch.Generator().manual_seed(0))).unbind(1)
    assert (x.abs() + width).max() <= 1 + 1e-6
    assert (y.abs() + height).max() <= 1 + 1e-6
    assert 0.5 - 1e-5 <= (width / height).min() < 0.6
    assert 1.8 < (width / height).max() <= 2 + 1e-5
    assert (width * height).max() <= 1
    assert (width * height).quantile(0.1) < 0.4


@pytest.mark.parametrize("pixels", [0.4, 1.0, 2.0])
def test_blur_is_that_of_torchvision(pixels: float) -> None:
    item, images = made("blur", low=0, high=2 / 32), noise()
    assert isinstance(item, Filter)
    blurred = item.apply(images, torch.full((4, 1), pixels / 32))
    expected = TF.gaussian_blur(images, [13, 13], [pixels, pixels])  # three standard deviations of 2 either way
    torch.testing.assert_close(blurred, expected, atol=1e-5, rtol=0)


def test_each_image_has_its_own_blur() -> None:
    item, images = made("blur", high=2 / 32), noise()
    assert isinstance(item, Filter)
    widths = torch.tensor([[0.0], [0.5], [1.0], [2.0]]) / 32
    alone = torch.cat([item.apply(images[i : i + 1], widths[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(item.apply(images, widths), alone, atol=1e-6, rtol=0)
    detail = item.apply(images, widths).flatten(1).std(1)
    assert (detail.diff() < 0).all()
