import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.transform import get_perspective_transform
from scipy import stats
from torch import Tensor, nn
from torchvision.transforms import RandomResizedCrop

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.invariances import Colour, Filter, Geometry, Invariance, Source, luma
from ssl_robot.random import uniforms
from ssl_robot.recipes import Recipe, name_of
from ssl_robot.views import Views

ALL = catalogue.names(ssl_robot.invariances)
GROUPS = ("rotation", "flip", "vertical_flip", "quarter_turn", "hue", "gray", "solarize")  # whose orbits are exact


def kind(name: str) -> type[Invariance]:
    return catalogue.found(ssl_robot.invariances, name)


NAMES = [name for name in ALL if not issubclass(kind(name), Source)]  # those that change the picture itself


def made(name: str, **strengths: float) -> Invariance:
    return kind(name)(**strengths)


def textures(b: int = 4, size: int = 32) -> Tensor:
    """Images that nothing is symmetric in."""
    return torch.rand(b, 3, size, size, generator=torch.Generator().manual_seed(0))


def frames(b: int = 4, size: int = 32) -> Tensor:
    return (textures(b, size) * 255).round().byte().permute(0, 2, 3, 1).contiguous()


def shown(item: Invariance, frames: Tensor, parameters: Sequence[float]) -> Tensor:
    """The view of every frame under the same parameters, at the frames' own size."""
    drawn = torch.tensor([parameters], dtype=torch.float32).expand(len(frames), -1)
    return Views(Recipe((item,)), frames.shape[1], 0).replay(frames, {name_of(item): drawn})


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
        ("crop", {"scale": 1}),
        ("blur", {"low": 0, "high": 0}),
        ("perspective", {"distortion": 0}),
        ("solarize", {"threshold": 1}),
        ("noise", {"deviation": 0}),
        ("cutout", {"least": 0, "most": 0}),
        ("convolution", {"mix": 0}),
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


@pytest.mark.parametrize("name", ALL)
def test_p_is_the_share_of_views_that_change(name: str) -> None:
    item = made(name, **{"p": 0.3, **({"nearest": 1} if name == "time" else {})})  # a gap of no frames is no change
    drawn = Views(Recipe((item,)), 32, 0).draw(torch.arange(4000), 0, 1)[name]
    changed = (drawn != item.neutral()).any(1).float().mean()
    assert abs(float(changed) - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5


@pytest.mark.parametrize("name", ALL)
def test_says_what_it_hides_and_is_of_one_kind(name: str) -> None:
    item = made(name)
    assert item.hides
    assert sum(isinstance(item, each) for each in (Geometry, Colour, Filter, Source)) == 1


@pytest.mark.parametrize("name", ALL)
def test_orbit_keeps_shape_and_range(name: str) -> None:
    for moved in made(name).orbit(textures()):
        assert moved.shape == textures().shape
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
    item, images, sighted = made(name), textures(), False
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
    item, images = made(name), textures(1)
    assert isinstance(item, Colour)
    expected = getattr(TF, f"adjust_{name}")(images, gain)
    rounding = 0.0 if name == "brightness" else 1e-4 * abs(gain - 1)
    torch.testing.assert_close(item.apply(images, torch.tensor([[gain]])), expected, atol=1e-5 + rounding, rtol=0)


def test_gray_is_that_of_torchvision() -> None:
    item, images = made("gray"), textures()
    assert isinstance(item, Colour)
    expected = TF.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(item.apply(images, torch.zeros(4, 1)), expected, atol=1e-4, rtol=0)
    white = torch.ones(1, 3, 2, 2)
    torch.testing.assert_close(item.apply(white, torch.zeros(1, 1)), white, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [name for name in NAMES if not issubclass(kind(name), Geometry)])
def test_each_image_is_treated_by_itself(name: str) -> None:
    """Contrast has a mean in it, noise a seed, blur and convolution a kernel: each image's own, in any order."""
    item, images = made(name, p=1.0), textures(6)
    assert isinstance(item, Colour | Filter)
    drawn = item.sample(uniforms(0, 0, torch.arange(6), 0, 1 + item.draws))
    together = item.apply(images, drawn)
    alone = torch.cat([item.apply(images[i : i + 1], drawn[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(item.apply(images.flip(0), drawn.flip(0)), together.flip(0), atol=1e-6, rtol=0)
    assert torch.equal(images, textures(6))  # the originals are as they were


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
    width, height, x, y = item.sample(
        torch.rand(5000, 1 + item.draws, generator=torch.Generator().manual_seed(0))
    ).unbind(1)
    assert (x.abs() + width).max() <= 1 + 1e-6
    assert (y.abs() + height).max() <= 1 + 1e-6
    assert 0.5 - 1e-5 <= (width / height).min() < 0.6
    assert 1.8 < (width / height).max() <= 2 + 1e-5
    assert (width * height).max() <= 1
    assert (width * height).quantile(0.1) < 0.4


@pytest.mark.parametrize("pixels", [0.4, 1.0, 2.0])
def test_blur_is_that_of_torchvision(pixels: float) -> None:
    item, images = made("blur", low=0, high=2 / 32), textures()
    assert isinstance(item, Filter)
    blurred = item.apply(images, torch.full((4, 1), pixels / 32))
    expected = TF.gaussian_blur(images, [13, 13], [pixels, pixels])  # three standard deviations of 2 either way
    torch.testing.assert_close(blurred, expected, atol=1e-5, rtol=0)


def test_wider_blur_leaves_less_detail() -> None:
    item, widths = made("blur", high=2 / 32), torch.tensor([[0.0], [0.5], [1.0], [2.0]]) / 32
    assert isinstance(item, Filter)
    detail = item.apply(textures(1).expand(4, -1, -1, -1), widths).flatten(1).std(1)
    assert (detail.diff() < -0.01).all()


def test_vertical_flip_exchanges_up_and_down() -> None:
    view = shown(made("vertical_flip"), frames(), [-1.0])
    torch.testing.assert_close(view, TF.vflip(plain(frames())), atol=1e-6, rtol=0)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_move_whole_pixels(turns: int) -> None:
    """Anticlockwise, as ``rot90`` turns."""
    view = shown(made("quarter_turn"), frames(), [turns])
    torch.testing.assert_close(view, plain(frames()).rot90(turns, (2, 3)), atol=1e-6, rtol=0)


def test_quarter_turns_make_all_orientations_equally_likely() -> None:
    drawn = sampled(made("quarter_turn"), 4000)[:, 0]
    assert drawn.unique().tolist() == [0, 1, 2, 3]
    assert stats.chisquare(drawn.int().bincount()).pvalue > 0.001
    last = torch.tensor([[1 - 2.0**-24]])  # the largest number there is below 1
    assert float(made("quarter_turn").parameters(last)) == 3


SQUARE = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])  # from the left upper corner, clockwise
SHARES = st.lists(st.floats(0, 0.5, width=32), min_size=8, max_size=8)


@given(SHARES)
def test_perspective_takes_the_moved_corners_to_the_corners_of_the_frame(moved: list[float]) -> None:
    item = made("perspective")
    assert isinstance(item, Geometry)
    matrix = item.matrix(torch.tensor([moved]))
    corners = SQUARE * (1 - torch.tensor(moved).reshape(4, 2))
    reached = F.pad(corners, (0, 1), value=1.0) @ matrix[0].T
    torch.testing.assert_close(reached[:, :2] / reached[:, 2:], SQUARE, atol=1e-4, rtol=0)
    assert (reached[:, 2] > 0).all()  # none of them behind the eye
    expected = get_perspective_transform(corners[None].double(), SQUARE[None].double())
    torch.testing.assert_close(matrix.double(), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("moved", [[0.5, 0.0, 0.5, 0.0, 0, 0, 0, 0], [0.1, 0.3, 0.45, 0.2, 0.0, 0.35, 0.25, 0.4]])
def test_perspective_is_that_of_torchvision(moved: list[float]) -> None:
    """Inside of the moved corners: outside torchvision is black, here the frame's edge goes on."""
    start, end = ((places + 1) * 16 for places in (SQUARE, SQUARE * (1 - torch.tensor(moved).reshape(4, 2))))
    expected, inside = (
        TF.perspective(images, start.tolist(), end.tolist(), TF.InterpolationMode.BILINEAR)
        for images in (plain(frames()), torch.ones(4, 3, 32, 32))
    )
    view, covered = shown(made("perspective"), frames(), moved), inside > 0.9999
    assert 0.2 < covered.float().mean() < 0.9
    torch.testing.assert_close(view[covered], expected[covered], atol=1e-3, rtol=0)


def test_beyond_the_corners_of_a_perspective_the_edge_goes_on() -> None:
    """A frame with a white rim, every corner half-way in: all that lies around it is white."""
    images = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    images[:, [0, -1]], images[:, :, [0, -1]] = 255, 255
    view = shown(made("perspective"), images, [0.5] * 8)
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[8:24, 8:24] = False
    assert (view[:, :, outside] > 0.99).all()
    assert view[:, :, 10:22, 10:22].max() < 0.01


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_solarize_is_that_of_torchvision(threshold: float) -> None:
    images = torch.cat([textures(1).flatten(), torch.tensor([0, 0.2, 0.5, 0.8, 1, 1])]).reshape(1, 3, 1, -1)
    item = made("solarize")
    assert isinstance(item, Colour)
    expected = TF.solarize(images, threshold)
    torch.testing.assert_close(item.apply(images, torch.tensor([[threshold]])), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("nothing", [{"threshold": 1}, {"p": 0}])
def test_solarize_at_no_strength_leaves_even_white(nothing: dict[str, float]) -> None:
    """White that rounding has put above 1 too."""
    item, white = made("solarize", **({"p": 1} | nothing)), torch.full((1, 3, 2, 2), 1 + 2.0**-22)
    assert isinstance(item, Colour)
    assert torch.equal(item.apply(white, item.sample(torch.zeros(1, 1))), white)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_what_is_solarized_again_has_the_same_orbit(threshold: float) -> None:
    """At any threshold; below a half, middling tones go back and forth."""
    item = made("solarize", threshold=threshold)
    images = (textures(1) * 254).round() / 254 + 1e-3  # none within rounding of a threshold
    first = torch.stack(list(item.orbit(images))).sort(0).values
    again = torch.stack(list(item.orbit(next(iter(item.orbit(images)))))).sort(0).values
    torch.testing.assert_close(again, first, atol=1e-6, rtol=0)


def grain(deviation: float, seeds: Sequence[float], size: int = 64) -> Tensor:
    """What noise adds to mid-grey, far from clipping."""
    item, images = made("noise"), torch.full((len(seeds), 3, size, size), 0.5)
    assert isinstance(item, Filter)
    return item.apply(images, torch.tensor([[deviation, seed] for seed in seeds])) - images


def test_noise_is_normal_white_and_as_strong_as_said() -> None:
    """No correlation between neighbours, channels or halves of the frame, nor between samples."""
    values = grain(0.05, [0, 1, 2**24 - 1]) / 0.05
    for sample in values:
        assert stats.kstest(sample.flatten(), "norm").pvalue > 0.001
    assert abs(float(values.std()) - 1) < 4 / (2 * values.numel()) ** 0.5
    for other in (values.roll(1, 3), values.roll(1, 2), values.roll(1, 1), values.roll(32, 2), values.roll(1, 0)):
        assert abs(float((values * other).mean())) < 4 / values.numel() ** 0.5
    flat = values.flatten(1)
    halves = flat[:, : flat.shape[1] // 2], flat[:, flat.shape[1] // 2 :]  # of which the pairs are made
    assert abs(float((halves[0].square() - 1).mul(halves[1].square() - 1).mean())) < 4 * 2 / halves[0].numel() ** 0.5


def test_noise_is_the_same_for_the_same_number_only() -> None:
    first, same, other = grain(0.05, [7, 7, 8])
    assert torch.equal(first, same)
    assert (first - other).abs().max() > 0.1
    torch.testing.assert_close(grain(0.1, [7])[0], 2 * first, atol=1e-6, rtol=0)
    assert grain(0.05, [7], 3).shape == (1, 3, 3, 3)  # an odd count of numbers


def test_cutout_is_torchvisions_erase() -> None:
    """12 rows from the fifth and 16 columns from the eighth, of 32."""
    item, images, colour = made("cutout"), textures(), [0.1, 0.9, 0.4]
    assert isinstance(item, Filter)
    parameters = torch.tensor([[16 / 32, 12 / 32, (2 * 7 + 16) / 32 - 1, (2 * 4 + 12) / 32 - 1, *colour]])
    expected = TF.erase(images, 4, 7, 12, 16, torch.tensor(colour)[:, None, None])
    assert torch.equal(item.apply(images, parameters.expand(4, -1)), expected)


def test_cutout_covers_the_share_of_the_area_that_is_said() -> None:
    item, images = made("cutout", least=0.1, most=0.3), torch.full((500, 3, 64, 64), -1.0)
    assert isinstance(item, Filter)
    drawn = sampled(item, 500)
    covered = (item.apply(images, drawn) >= 0).float().mean((1, 2, 3))
    torch.testing.assert_close(covered, drawn[:, 0] * drawn[:, 1], atol=0.02, rtol=0)
    assert covered.min() < 0.12
    assert covered.max() > 0.28


def test_convolution_is_that_of_torch() -> None:
    """Relative to mid-grey; beyond the border the edge goes on."""
    item, images = made("convolution"), textures()
    assert isinstance(item, Filter)
    kernels = sampled(item, 4)
    padded = F.pad(images - 0.5, [1] * 4, mode="replicate")
    expected = [F.conv2d(padded[i : i + 1], kernels[i].reshape(3, 3, 3, 3)) + 0.5 for i in range(4)]
    torch.testing.assert_close(item.apply(images, kernels), torch.cat(expected).clamp(0, 1), atol=1e-5, rtol=0)


def test_convolution_leaves_most_of_the_view_between_black_and_white() -> None:
    item = made("convolution")
    assert isinstance(item, Filter)
    view = item.apply(textures(64), sampled(item, 64))
    assert ((view > 0) & (view < 1)).float().mean() > 0.8


def test_mix_is_the_share_of_the_random_kernel() -> None:
    whole, part = (sampled(made("convolution", mix=mix), 8) for mix in (1.0, 0.3))
    torch.testing.assert_close(part, 0.3 * whole + 0.7 * made("convolution").neutral(), atol=1e-6, rtol=0)


def sampled(item: Invariance, count: int) -> Tensor:
    return item.sample(uniforms(3, 0, torch.arange(count), 0, 1 + item.draws))


def even(values: Tensor, least: float, most: float) -> None:
    """Evenly spread between two numbers, and never beyond (Kolmogorov and Smirnov)."""
    assert values.min() >= least - 1e-6
    assert values.max() <= most + 1e-6
    assert stats.kstest(values, stats.uniform(least, most - least).cdf).pvalue > 0.001


def fixed(value: float) -> Callable[[Tensor], None]:
    def check(drawn: Tensor) -> None:
        assert drawn.unique().tolist() == [value]

    return check


def each(least: float, most: float) -> Callable[[Tensor], None]:
    def check(drawn: Tensor) -> None:
        for column in drawn.T:
            even(column, least, most)

    return check


def rectangle(drawn: Tensor, smallest: float, largest: float, aspect: float) -> None:
    width, height, x, y = drawn[:, :4].unbind(1)
    even(width * height, smallest, largest)
    even((width / height).log(), -math.log(aspect), math.log(aspect))
    even(x / (1 - width), -1, 1)
    even(y / (1 - height), -1, 1)


def painted(drawn: Tensor) -> None:
    rectangle(drawn, 0.05, 0.15, 2)
    each(0, 1)(drawn[:, 4:])


def quarters(drawn: Tensor) -> None:
    assert drawn.unique().tolist() == [1, 2, 3]
    assert stats.chisquare(drawn[:, 0].int().bincount()[1:]).pvalue > 0.001


def gaps(drawn: Tensor) -> None:
    """Linearly rarer: 7, 5, 3 and 1 of 16."""
    assert drawn.unique().tolist() == [1, 2, 3, 4]
    counts = drawn[:, 0].int().bincount()[1:]
    assert stats.chisquare(counts, torch.tensor([7, 5, 3, 1]) / 16 * len(drawn)).pvalue > 0.001


def grains(drawn: Tensor) -> None:
    even(drawn[:, 0], 0, 0.1)
    even(drawn[:, 1] / 2**24, 0, 1)
    assert torch.equal(drawn[:, 1], drawn[:, 1].floor())
    assert drawn[:, 1].max() < 2**24


def kernels(drawn: Tensor) -> None:
    for column in (*drawn.T[::10], drawn.flatten()[:20000]):
        assert stats.kstest(column, stats.norm(0, (2 / 54) ** 0.5).cdf).pvalue > 0.001
    correlation = torch.corrcoef(drawn.T) - torch.eye(81)
    assert correlation.abs().max() < 5 / len(drawn) ** 0.5


DISTRIBUTIONS: dict[str, tuple[dict[str, float], Callable[[Tensor], None]]] = {
    "blur": ({"low": 0.01, "high": 0.04}, each(0.01, 0.04)),
    "brightness": ({"gain": 0.3}, each(0.7, 1.3)),
    "camera": ({}, each(0, 1)),
    "contrast": ({"gain": 0.3}, each(0.7, 1.3)),
    "convolution": ({}, kernels),
    "crop": ({"scale": 0.1, "largest": 0.5, "aspect": 2}, lambda drawn: rectangle(drawn, 0.1, 0.5, 2)),
    "cutout": ({"least": 0.05, "most": 0.15, "aspect": 2}, painted),
    "flip": ({}, fixed(-1)),
    "gray": ({}, fixed(0)),
    "hue": ({"turn": 0.1}, each(-0.2 * math.pi, 0.2 * math.pi)),
    "noise": ({"deviation": 0.1}, grains),
    "perspective": ({"distortion": 0.4}, each(0, 0.4)),
    "quarter_turn": ({}, quarters),
    "rotation": ({"degrees": 90}, each(-math.pi / 2, math.pi / 2)),
    "saturation": ({"gain": 0.3}, each(0.7, 1.3)),
    "shift": ({"reach": 0.1}, each(-0.2, 0.2)),
    "solarize": ({"threshold": 0.25}, fixed(0.25)),
    "time": ({"nearest": 1, "furthest": 4, "slope": 1}, gaps),
    "vertical_flip": ({}, fixed(-1)),
}


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_distributed_as_said(name: str) -> None:
    strengths, check = DISTRIBUTIONS[name]
    drawn = sampled(made(name, p=1.0, **strengths), 4000)
    assert drawn.dtype == torch.float32
    check(drawn)


@pytest.mark.parametrize("scale", [0.08, 0.2, 0.4])
def test_crops_are_distributed_as_those_of_torchvision(scale: float) -> None:
    """Area, shape and place of 3,000 each, by Kolmogorov and Smirnov."""
    width, height, x, y = sampled(made("crop", scale=scale), 3000).unbind(1)
    ours = torch.stack([width * height, width / height, x, y], 1)
    picture, side = torch.zeros(3, 1000, 1000), 1000
    theirs = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(3000):
            top, left, h, w = RandomResizedCrop.get_params(picture, [scale, 1.0], [3 / 4, 4 / 3])
            middle = [(2 * first + length) / side - 1 for first, length in ((left, w), (top, h))]
            theirs.append([w * h / side**2, w / h, *middle])
    for column, wanted in zip(ours.T, torch.tensor(theirs).T, strict=True):
        assert stats.ks_2samp(column.numpy(), wanted.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("name", "share"), [("crop", "scale"), ("cutout", "least")])
@pytest.mark.parametrize("least", [0.9, 1.0])
def test_a_part_is_never_smaller_than_said(name: str, share: str, least: float) -> None:
    strengths = {share: least} | ({"most": 1.0} if name == "cutout" else {})
    drawn = sampled(made(name, **strengths), 2000)
    assert float(drawn[:, :2].prod(1).min()) > least - 1e-5


STRENGTHS = [(name, item) for name in ALL for item in fields(kind(name))]


@pytest.mark.parametrize(("name", "item"), STRENGTHS, ids=[f"{name}.{item.name}" for name, item in STRENGTHS])
def test_a_bad_strength_is_refused_by_name_and_with_its_range(name: str, item) -> None:
    least, most = item.metadata["least"], item.metadata["most"]
    for wrong in (math.nan, math.inf, -math.inf, least - 0.01, most + 0.01, "much", None):
        with pytest.raises(InputError) as error:
            made(name, **{item.name: wrong})
        assert str(error.value).startswith(f"{name}.{item.name} is {wrong}")
        assert f"from {least:,} to {most:,}" in str(error.value)


@pytest.mark.parametrize(
    ("name", "strengths", "message"),
    [
        ("flip", {"p": 1.5}, r"flip\.p is 1\.5, .* from 0 to 1"),
        ("crop", {"scale": 0}, r"crop\.scale is 0, .* from 0\.01 to 1"),
        ("crop", {"scale": 0.6, "largest": 0.5}, r"crop\.scale is 0\.6, .* at most crop\.largest, 0\.5"),
        ("blur", {"low": 0.2, "high": 0.1}, r"blur\.low is 0\.2, .* at most blur\.high, 0\.1"),
        ("cutout", {"least": 0.3}, r"cutout\.least is 0\.3, .* at most cutout\.most, 0\.2"),
        ("quarter_turn", {"p": -1}, r"quarter_turn\.p is -1, .* from 0 to 1"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(name: str, strengths: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(name, **strengths)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_waits_for_the_device_or_leaves_it(name: str) -> None:
    """On the device "meta", tensors have no numbers: reading one, or a tensor of another device, is an error."""
    item = made(name)
    drawn = item.parameters(torch.empty(4, item.draws, device="meta"))
    assert drawn.shape == (4, len(item.neutral()))
    images = torch.empty(4, 3, 32, 32, device="meta")
    if isinstance(item, Geometry):
        assert item.matrix(drawn).shape == (4, 3, 3)
    if isinstance(item, Colour | Filter):
        assert item.apply(images, drawn).device.type == "meta"
    assert all(moved.device.type == "meta" for moved in item.orbit(images))


@pytest.mark.parametrize("name", [name for name in NAMES if not issubclass(kind(name), Filter)])
def test_colours_and_geometry_can_be_compiled_in_one_piece(name: str) -> None:
    item = made(name)
    drawn, images = sampled(item, 4), textures()
    if isinstance(item, Geometry):
        whole, expected = torch.compile(item.matrix, fullgraph=True, backend="eager")(drawn), item.matrix(drawn)
    else:
        assert isinstance(item, Colour)
        apply = torch.compile(item.apply, fullgraph=True, backend="eager")
        whole, expected = apply(images, drawn), item.apply(images, drawn)
    torch.testing.assert_close(whole, expected)


# What an invariance hides changes; what it does not hide stays.


def seen(name: str, images: Tensor, **strengths: float) -> Tensor:
    """Images as a view of full probability shows them; something about each has changed."""
    item = made(name, **{"p": 1.0, **strengths})
    assert isinstance(item, Colour | Filter)
    changed = item.apply(images, sampled(item, len(images)))
    assert ((changed - images).abs().amax((1, 2, 3)) > 1e-3).all()
    return changed


def muted(b: int = 4) -> Tensor:
    """Images so far from black and white that nothing is clipped."""
    return 0.4 + 0.2 * textures(b)


def pale(images: Tensor) -> Tensor:
    """How much colour there is in each pixel."""
    return images.amax(1) - images.amin(1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("flip", -1), ("vertical_flip", -1), ("quarter_turn", 1), ("quarter_turn", 3), ("rotation", math.pi / 2)],
)
def test_flips_and_turns_leave_the_histogram_of_colours(name: str, parameters: float) -> None:
    view, images = shown(made(name), frames(), [parameters]), plain(frames())
    assert (view - images).abs().max() > 0.5
    ordered, before = (part.flatten(2).sort(2).values for part in (view, images))
    torch.testing.assert_close(ordered, before, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["shift", "crop"])
def test_shifts_and_crops_leave_straight_lines_level(name: str) -> None:
    """A ramp from left to right remains one: of the same slope when shifted, of at most that when cropped."""
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8)[None, None, :, None].expand(64, 32, 32, 3).contiguous()
    images = Views(Recipe((made(name, p=1.0),)), 32, 0)(ramp, torch.arange(64), 0, 0).images
    torch.testing.assert_close(images, images[:, :, :1].expand_as(images), atol=1e-5, rtol=0)
    slopes = images[:, 0, 0, 12:20].diff(dim=1) * 255 / 8
    torch.testing.assert_close(slopes, slopes[:, :1].expand_as(slopes), atol=1e-3, rtol=0)
    if name == "shift":
        torch.testing.assert_close(slopes, torch.ones_like(slopes), atol=1e-3, rtol=0)
    else:
        assert slopes.min() < 0.8
        assert slopes.max() <= 1 + 1e-3
    assert (images[:, 0, 0].mean(1) - images[0, 0, 0].mean()).abs().max() > 0.02  # the place is another


@given(SHARES, st.floats(-1, 1), st.floats(-1, 1))
def test_perspective_keeps_lines_straight(moved: list[float], height: float, slope: float) -> None:
    """But not parallel, nor their middles in the middle."""
    item = made("perspective")
    assert isinstance(item, Geometry)
    x = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64) / 2
    line = torch.stack([x, height / 2 + slope * x, torch.ones_like(x)], 1)
    reached = line @ item.matrix(torch.tensor([moved]).double())[0].T
    a, b, c = reached[:, :2] / reached[:, 2:]
    assert abs(float(torch.linalg.det(torch.stack([b - a, c - a])))) < 1e-9
    leaning = item.matrix(torch.tensor([[0.5, 0, 0.5, 0, 0, 0, 0, 0]]))[0]
    assert abs(float(leaning[2, 1])) > 0.1


def test_brightness_leaves_the_ratios_of_the_colours() -> None:
    images = muted()
    view = seen("brightness", images)
    torch.testing.assert_close(view / view.sum(1, keepdim=True), images / images.sum(1, keepdim=True))


def test_contrast_leaves_the_mean_and_the_order_of_light_and_dark() -> None:
    images = muted()
    view = seen("contrast", images)
    torch.testing.assert_close(luma(view).mean((1, 2, 3)), luma(images).mean((1, 2, 3)), atol=1e-5, rtol=0)
    ordered = view.flatten(1).gather(1, images.flatten(1).argsort(1))
    assert (ordered.diff(dim=1) >= -1e-6).all()


def test_saturation_leaves_light_and_dark() -> None:
    images = muted()
    view = seen("saturation", images)
    torch.testing.assert_close(luma(view), luma(images), atol=1e-5, rtol=0)
    assert ((pale(view) - pale(images)).abs().mean((1, 2)) > 1e-3).all()


def test_hue_leaves_how_light_and_how_strong_a_colour_is() -> None:
    images = textures()
    view = seen("hue", images)
    torch.testing.assert_close(view.amax(1), images.amax(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(view.amin(1), images.amin(1), atol=1e-6, rtol=0)


def test_gray_leaves_light_and_dark_and_no_colour() -> None:
    view = seen("gray", textures())
    torch.testing.assert_close(luma(view), luma(textures()), atol=1e-5, rtol=0)
    assert pale(view).max() < 1e-6


def test_solarize_leaves_what_is_dark() -> None:
    images = textures()
    view, dark = seen("solarize", images, threshold=0.6), images < 0.6
    assert torch.equal(view[dark], images[dark])
    assert ((view[~dark] - images[~dark]).abs() > 0.19).all()


def test_blur_leaves_the_mean() -> None:
    """Of images whose rim is grey, so that nothing is lost over the border."""
    images = F.pad(textures()[:, :, :20, :20], [6] * 4, value=0.5)
    view = seen("blur", images, low=1 / 32, high=2 / 32)
    torch.testing.assert_close(view.mean((2, 3)), images.mean((2, 3)), atol=1e-4, rtol=0)
    assert (view.flatten(1).std(1) < 0.6 * images.flatten(1).std(1)).all()


def test_noise_leaves_the_mean() -> None:
    images = muted()
    added = seen("noise", images, deviation=0.05) - images
    spread = sampled(made("noise", p=1.0), 4)[:, 0]
    assert (added.mean((1, 2, 3)).abs() < 4 * spread / images[0].numel() ** 0.5).all()
    torch.testing.assert_close(added.flatten(1).std(1), spread, atol=1e-4, rtol=0.05)


def test_cutout_leaves_what_is_outside_and_nothing_of_what_is_inside() -> None:
    images = textures(16)
    view, drawn = seen("cutout", images), sampled(made("cutout", p=1.0), 16)
    for before, after, (width, height, x, y, *colour) in zip(images, view, drawn.tolist(), strict=True):
        for row in range(32):
            for column in range(32):
                across, down = abs((2 * column + 1) / 32 - 1 - x), abs((2 * row + 1) / 32 - 1 - y)
                if abs(across - width) < 1e-6 or abs(down - height) < 1e-6:
                    continue  # rounding decides
                inside = across < width and down < height
                expected = torch.tensor(colour) if inside else before[:, row, column]
                assert torch.equal(after[:, row, column], expected)


def test_convolution_leaves_edges_where_they_are() -> None:
    """Two flat halves remain flat halves but for the columns beside the edge, though their colours are new."""
    images = torch.full((8, 3, 32, 32), 0.4)
    images[:, :, :, 16:] = 0.6
    view = seen("convolution", images)
    for half in (view[:, :, :, :15], view[:, :, :, 17:]):
        torch.testing.assert_close(half, half[:, :, :1, :1].expand_as(half), atol=1e-6, rtol=0)
    assert ((view[:, :, 0, 0] - view[:, :, 0, -1]).abs().amax(1) > 0.02).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("noise", "cutout")])
def test_what_has_no_shape_gets_none(name: str) -> None:
    """Flat frames stay flat under all but noise and cutout."""
    colours = torch.randint(256, (32, 1, 1, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    view = Views(Recipe((made(name, p=1.0),)), 32, 0)(colours.expand(-1, 32, 32, -1), torch.arange(32), 0, 0).images
    torch.testing.assert_close(view, view[:, :, :1, :1].expand_as(view), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-24], ids=["least", "largest"])
def test_the_least_and_largest_random_numbers_make_views_too(name: str, u: float) -> None:
    item = made(name)
    drawn = item.parameters(torch.full((4, item.draws), u))
    assert drawn.isfinite().all()
    if not isinstance(item, Source):
        view = shown(item, frames(), drawn[0].tolist())
        assert view.min() >= 0
        assert view.max() <= 1
