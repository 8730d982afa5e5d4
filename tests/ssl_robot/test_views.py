import shutil
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.recipes import Recipe
from ssl_robot.sampling import _neighbours
from ssl_robot.views import Views

NAMES = catalogue.names(ssl_robot.invariances)
RECIPES = st.lists(st.sampled_from(NAMES), unique=True, min_size=1).map(lambda names: _recipe(*names))


def _recipe(*names: str) -> Recipe:
    recipe = Recipe()
    for name in names:
        recipe = recipe.having(name)
    return recipe


@pytest.fixture(autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views are made in pieces of about 32."""
    monkeypatch.setattr("ssl_robot.views._PIXELS", 32 * 20**2)


def frames(b: int = 70, h: int = 24, w: int = 24) -> Tensor:
    """More of them than are made at a time, see the fixture below."""
    return torch.randint(256, (b, h, w, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@given(recipe=RECIPES, cut=st.integers(1, 69), step=st.integers(0, 10**6), view=st.integers(0, 1))
def test_a_view_is_the_same_whatever_the_batch_is_cut_into(recipe: Recipe, cut: int, step: int, view: int) -> None:
    views, images, samples = Views(recipe, 16, 5), frames(), torch.arange(70) * 31
    whole = views(images, samples, step, view)
    parts = [views(images[part], samples[part], step, view) for part in (slice(cut), slice(cut, None))]
    for name, drawn in whole.parameters.items():
        assert torch.equal(torch.cat([part.parameters[name] for part in parts]), drawn)
    torch.testing.assert_close(torch.cat([part.images for part in parts]), whole.images, atol=1e-6, rtol=0)


@given(recipe=RECIPES, order=st.permutations(range(40)))
def test_a_view_is_the_same_in_any_order(recipe: Recipe, order: list[int]) -> None:
    views, images, samples = Views(recipe, 16, 5), frames(40), torch.arange(40)
    straight, mixed = views(images, samples, 3, 0), views(images[order], samples[order], 3, 0)
    for name, drawn in straight.parameters.items():
        assert torch.equal(mixed.parameters[name], drawn[order])
    torch.testing.assert_close(mixed.images, straight.images[order], atol=1e-6, rtol=0)


@given(recipe=RECIPES, step=st.integers(0, 10**6), seed=st.integers(0, 99), cut=st.integers(1, 39))
def test_where_draws_are_alike_a_batch_has_one_for_each_view(recipe: Recipe, step: int, seed: int, cut: int) -> None:
    """Whatever the samples, and however many processes make the batch; views and batches still draw their own."""
    views, samples = Views(recipe, 16, seed, alike=True), torch.arange(40) * 7
    for view in (0, 1):
        for drawn in views.draw(samples, step, view).values():
            assert (drawn == drawn[:1]).all()
    for name, drawn in views.draw(samples[cut:], step, 1).items():
        assert torch.equal(drawn, views.draw(samples, step, 1)[name][cut:])


def test_draws_that_are_alike_differ_from_view_to_view_and_from_batch_to_batch() -> None:
    views, samples = Views(Recipe.named("crop"), 16, 5, alike=True), torch.arange(3)
    found = [views.draw(samples, step, view)["crop"][0] for step in range(4) for view in (0, 1)]
    assert len(torch.stack(found).unique(dim=0)) == 8


@given(recipe=RECIPES, size=st.integers(16, 40))
def test_replay_gives_the_same_pixels_at_the_size_asked_for(recipe: Recipe, size: int) -> None:
    view = Views(recipe, size, 5)(frames(), torch.arange(70), 3, 0)
    assert view.images.shape == (70, 3, size, size)
    assert view.images.dtype == torch.float32
    assert set(view.parameters) == set(recipe.names)
    assert torch.equal(Views(recipe, size, seed=999).replay(frames(), view.parameters), view.images)


def test_pieces_of_any_length_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter ones are filled up; what fills them is not seen."""
    lengths: list[int] = []

    def compiled(function: Any, **_: object) -> Any:
        def call(first: Tensor, *rest: Any) -> Tensor:
            lengths.append(len(first))
            return function(first, *rest)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    views, plain = (Views(Recipe.named("crop"), 20, 0, compiled=way) for way in (True, False))
    for b in (64, 70, 50, 20, 64):
        found, expected = (each(frames(b), torch.arange(b), 0, 0).images for each in (views, plain))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert set(lengths) == {32}


def test_every_place_lies_between_pixels_even_one_that_is_no_number() -> None:
    """Compiled views read there without asking again."""
    places = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30, -1, 0, 1])
    first, second, _ = _neighbours(places, 7)
    assert all(0 <= index < 7 for index in (*first.tolist(), *second.tolist()))


def test_copies_that_fit_nothing_are_refused() -> None:
    views = Views(_recipe("crop", "time"), 16, 0)
    for copied, why in (
        ({"rotatoin": torch.zeros(4, 1)}, "'rotatoin' cannot be copied .*crop, time"),
        ({"time": torch.zeros(4, 1)}, "'time' cannot be copied"),
        ({"crop": torch.zeros(4, 1)}, r"shape \(4, 4\), not \(4, 1\)"),
    ):
        with pytest.raises(InputError, match=why):
            views(frames(4), torch.arange(4), 0, 1, copied)
    with pytest.raises(InputError, match="4 frames and 3 samples"):
        views(frames(4), torch.arange(3), 0, 0)
    for size, seed in ((0, 0), (16, -1), (16, 2**63)):
        with pytest.raises(InputError, match=r"at least 1|must be from 0"):
            Views(Recipe(), size, seed)
    assert views(frames(0), torch.arange(0), 0, 0).images.shape == (0, 3, 16, 16)


@pytest.mark.parametrize("shape", [(24, 24), (48, 64), (15, 11)])
@pytest.mark.parametrize("names", [(), ("brightness",), ("crop", "rotation")])
def test_frames_of_any_shape_become_views_of_one_size(names: tuple[str, ...], shape: tuple[int, int]) -> None:
    view = Views(_recipe(*names), 24, 0)(frames(3, *shape), torch.arange(3), 0, 0)
    assert view.images.shape == (3, 3, 24, 24)


@pytest.mark.parametrize("name", NAMES)
def test_views_steps_and_seeds_draw_anew(name: str) -> None:
    recipe, samples = Recipe().having(name, p=0.5), torch.arange(64)
    first = Views(recipe, 16, 5).draw(samples, 3, 1)[name]
    others = [Views(recipe, 16, seed).draw(samples, step, view)[name] for seed, step, view in _OTHERS]
    for other in others:
        assert (first != other).any(1).float().mean() > 0.2
    assert (first != first.roll(1, 0)).any(1).float().mean() > 0.2  # nor do samples share their numbers


_OTHERS = [(5, 3, 0), (5, 4, 1), (6, 3, 1), (5, 4, 0)]


def test_invariances_draw_independently() -> None:
    """Which frames are flipped says nothing about which are grey, nor one gain about another."""
    drawn = Views(_recipe("brightness", "contrast", "saturation", "hue"), 16, 0).draw(torch.arange(5000), 0, 0)
    correlation = torch.corrcoef(torch.cat(list(drawn.values()), 1).T) - torch.eye(4)
    assert correlation.abs().max() < 4 / 5000**0.5


def test_what_one_invariance_draws_does_not_depend_on_the_others() -> None:
    """So that arms of an audit differ in nothing but what was left out."""
    samples = torch.arange(20)
    full = Views(Recipe.named("simsiam"), 16, 0).draw(samples, 0, 0)
    less = Views(Recipe.named("simsiam").without("flip"), 16, 0).draw(samples, 0, 0)
    assert set(full) - set(less) == {"flip"}
    for name, drawn in less.items():
        assert torch.equal(drawn, full[name])


@pytest.mark.parametrize("order", [("flip", "rotation"), ("rotation", "flip")])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_one_resampling_is_the_same_as_one_after_the_other(order: tuple[str, str], turns: int) -> None:
    """In the recipe's order, which matters: a flip and a quarter turn do not commute."""
    images = frames(5)
    steps = {
        "flip": (torch.full((5, 1), -1.0), lambda images: images.flip(3)),
        "rotation": (torch.full((5, 1), turns * torch.pi / 2), lambda images: images.rot90(turns, (2, 3))),
    }
    fused = Views(_recipe(*order), 24, 0).replay(images, {name: steps[name][0] for name in order})
    expected = images.permute(0, 3, 1, 2).float() / 255
    for name in order:
        expected = steps[name][1](expected)
    torch.testing.assert_close(fused, expected, atol=1e-4, rtol=0)


def test_a_crop_of_a_shift_samples_once() -> None:
    """Shifted by half a pixel and back, the frame is as sharp as before."""
    images = frames(5)
    half = torch.tensor([[1 / 24, 0.0]]).expand(5, 2)
    back = torch.tensor([[1.0, 1.0, -1 / 24, 0.0]]).expand(5, 4)
    view = Views(_recipe("shift", "crop"), 24, 0).replay(images, {"shift": half, "crop": back})
    torch.testing.assert_close(view, images.permute(0, 3, 1, 2).float() / 255, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(192, 192), (60, 160), (40, 500)])
def test_large_frames_are_smoothed_before_they_are_sampled(shape: tuple[int, int]) -> None:
    """A pattern finer than the view's pixels averages out; sampled as it is, it would alias to full contrast."""
    stripes = torch.zeros(1, *shape, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    images = Views(Recipe.named("crop"), 32, 0)(stripes, torch.arange(1), 0, 0).images
    assert float((images - 0.5).abs().max()) < 0.1


def _compiler() -> bool:
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


@pytest.mark.slow
@pytest.mark.skipif(not _compiler(), reason="needs a C++ compiler (apt-get install g++)")
@pytest.mark.parametrize("names", [("rotation",), ("perspective", "crop"), ()])
def test_compiled_views_are_the_plain_ones(names: tuple[str, ...]) -> None:
    """Whatever the geometry: upright, turned, projective; with pieces of another length at the end."""
    recipe = Recipe.named("simsiam")
    for name in names:
        recipe = recipe.having(name, p=1.0)
    plain, compiled = (Views(recipe, 20, 0, compiled=way) for way in (False, True))
    for step in range(2):
        for view in range(2):
            expected = plain(frames(), torch.arange(70), step, view)
            found = compiled(frames(), torch.arange(70), step, view)
            torch.testing.assert_close(found.images, expected.images, atol=1e-4, rtol=0)


def test_views_that_cannot_be_compiled_are_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        def call(*_: object) -> Tensor:
            raise RuntimeError("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    views = Views(Recipe.named("crop"), 16, 0, compiled=True)
    with pytest.warns(UserWarning, match=r"not compiled \(no compiler\): install a C\+\+"):
        found = views(frames(), torch.arange(70), 0, 0).images
    assert torch.equal(found, Views(Recipe.named("crop"), 16, 0)(frames(), torch.arange(70), 0, 0).images)


def test_whether_to_jitter_is_drawn_once_for_all_four() -> None:
    jitter = ("brightness", "contrast", "saturation", "hue")
    views = Views(Recipe.named("simsiam"), 16, 0)
    drawn = views.draw(torch.arange(2000), 0, 0)
    items = dict(zip(views.recipe.names, views.recipe.invariances, strict=True))
    acting = [(drawn[name] != items[name].neutral()).any(1) for name in jitter]
    assert abs(float(acting[0].float().mean()) - 0.8) < 0.04
    for other in acting[1:]:
        assert torch.equal(other, acting[0])


def test_parameters_of_another_view_can_be_copied() -> None:
    """Then the two views agree in that one thing, as LooC needs it."""
    views = Views(Recipe.named("crop").having("rotation").having("hue"), 24, 0)
    first = views(frames(), torch.arange(70), 0, 0)
    second = views(frames(), torch.arange(70), 0, 1, copied={"rotation": first.parameters["rotation"]})
    fresh = views(frames(), torch.arange(70), 0, 1)
    assert torch.equal(second.parameters["rotation"], first.parameters["rotation"])
    assert not torch.equal(fresh.parameters["rotation"], first.parameters["rotation"])
    for name in ("crop", "hue"):
        assert torch.equal(second.parameters[name], fresh.parameters[name])


def test_views_of_one_recipe_may_differ() -> None:
    """BYOL's two views, and SwAV's two large and six small ones."""
    byol = Views(Recipe.named("byol"), 32, 0)
    parameters = [byol(frames(), torch.arange(70), 0, view).parameters for view in range(2)]
    assert bool((parameters[0]["blur"] > 0).all())
    assert float((parameters[1]["blur"] > 0).float().mean()) < 0.3
    swav = Views(Recipe.named("swav"), 56, 0)
    images = [swav(frames(), torch.arange(70), 0, view).images for view in range(len(swav))]
    assert [picture.shape[-1] for picture in images] == [56, 56, *[24] * 6]
    areas = [swav.draw(torch.arange(70), 0, view)["crop"][:, :2].prod(1) for view in (0, 7)]
    assert float(areas[0].min()) > 0.1
    assert float(areas[1].max()) < 0.15
    assert not torch.equal(images[2], images[3])


def test_nothing_is_asked_of_the_device() -> None:
    """Each value that Python asks for would make a GPU wait."""

    class Asked(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default):
                asked.append(str(func))
            return func(*args, **(kwargs or {}))

    asked: list[str] = []
    views = Views(_recipe(*(name for name in NAMES if name not in ("time", "camera"))), 16, 0)
    with Asked():
        views(frames(8), torch.arange(8), 0, 0)
        assert asked == []
        torch.zeros(1).item()
    assert len(asked) == 1


def test_half_precision_is_the_same_picture() -> None:
    halves = Views(Recipe.named("simsiam"), 24, 0, dtype=torch.bfloat16)(frames(), torch.arange(70), 0, 0).images
    whole = Views(Recipe.named("simsiam"), 24, 0)(frames(), torch.arange(70), 0, 0).images
    assert halves.dtype == torch.bfloat16
    torch.testing.assert_close(halves.float(), whole, atol=2**-8, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (torch.zeros(2, 8, 8, 3), "uint8"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), "RGB"),
        (torch.zeros(2, 8, 8, 1, dtype=torch.uint8), "RGB"),
        (torch.zeros(2, 8, 8, 4, dtype=torch.uint8), "RGB"),
        (torch.zeros(2, 1, 8, 3, dtype=torch.uint8), "2 x 2"),
    ],
)
def test_frames_that_are_none_are_refused(wrong: Tensor, why: str) -> None:
    with pytest.raises(InputError, match=why):
        Views(Recipe.named("crop"), 8, 0)(wrong, torch.arange(2), 0, 0)


def test_parameters_that_are_missing_are_named() -> None:
    with pytest.raises(InputError, match="no parameters for 'flip'"):
        Views(_recipe("flip"), 8, 0).replay(frames(2), {})
