import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import ssl_robot.invariances
from ssl_robot import catalogue, recipes
from ssl_robot.errors import InputError
from ssl_robot.recipes import Recipe, name_of

NAMES = catalogue.names(ssl_robot.invariances)


@given(st.lists(st.sampled_from(NAMES), unique=True), st.floats(0, 1))
def test_a_recipe_survives_json(names: list[str], p: float) -> None:
    recipe = Recipe()
    for name in names:
        recipe = recipe.having(name, p=p)
    assert recipe.names == tuple(names)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_simsiam_is_the_papers() -> None:
    """Random crop from .2, flip, jitter (.4, .4, .4, .1) at .8, grey at .2, blur of .1 to 2 pixels of 224 at .5."""
    strengths = Recipe.named("simsiam").as_dict()
    assert strengths["crop"] == {"p": 1.0, "scale": 0.2, "largest": 1.0, "aspect": 4 / 3}
    assert strengths["flip"] == {"p": 0.5}
    for name in ("brightness", "contrast", "saturation"):
        assert strengths[name] == {"p": 0.8, "gain": 0.4}
    assert strengths["hue"] == {"p": 0.8, "turn": 0.1}
    assert strengths["gray"] == {"p": 0.2}
    assert strengths["blur"] == {"p": 0.5, "low": 0.1 / 224, "high": 2 / 224}
    assert len(strengths) == 8


@pytest.mark.parametrize("name", ["simsiam", "crop", "colour", "shift", "none"])
def test_named_recipes_hold_no_rotation(name: str) -> None:
    """None of the literature's does: it is what the audit adds."""
    recipe = Recipe.named(name)
    assert "rotation" not in recipe.names
    assert recipe.having("rotation", degrees=30).without("rotation") == recipe


def test_having_changes_strengths_in_place_and_appends_what_is_new() -> None:
    recipe = Recipe.named("crop").having("flip").having("crop", scale=0.5)
    assert recipe.names == ("crop", "flip")
    assert recipe.as_dict()["crop"]["scale"] == 0.5
    assert recipe.as_dict()["crop"]["aspect"] == 4 / 3
    assert Recipe.named("crop").as_dict()["crop"]["scale"] == 0.2  # the other one is as it was


def test_without_leaves_the_order_of_the_rest() -> None:
    assert Recipe.named("simsiam").without("hue").names == (
        *("crop", "flip", "brightness", "contrast", "saturation", "gray", "blur"),
    )


def test_an_unknown_recipe_lists_the_recipes() -> None:
    with pytest.raises(InputError, match=r"no recipe 'simclear'.*simsiam, simclr, .*none"):
        Recipe.named("simclear")


def test_an_unknown_invariance_lists_the_invariances() -> None:
    for wrong in (lambda: Recipe().having("roll"), lambda: Recipe.from_dict({"roll": {}})):
        with pytest.raises(InputError, match=f"'roll'.*{', '.join(NAMES)}"):
            wrong()


def test_leaving_out_what_is_not_there_lists_what_is() -> None:
    with pytest.raises(InputError, match=r"'hue'.*it has crop"):
        Recipe.named("crop").without("hue")
    with pytest.raises(InputError, match="it has nothing"):
        Recipe().without("hue")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Recipe().having("rotation", angle=3),
        lambda: Recipe().having("rotation").having("rotation", angle=3),
        lambda: Recipe.from_dict({"rotation": {"angle": 3}}),
    ],
    ids=["new", "changed", "read"],
)
def test_an_unknown_strength_lists_the_strengths(wrong) -> None:
    with pytest.raises(InputError, match=r"'rotation' has no strength 'angle'.*p, degrees"):
        wrong()


@pytest.mark.parametrize("name", recipes.names())
def test_every_named_recipe_has_two_views_or_more_and_survives_json(name: str) -> None:
    recipe = Recipe.named(name)
    assert len(recipe.views) >= 2
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_byols_views_are_the_papers() -> None:
    """Blur at 1 and .1, solarize at 0 and .2 (Grill 2020, table 6)."""
    (first, _), (second, _) = Recipe.named("byol").views
    shares = [{name_of(item): item.p for item in items} for items in (first, second)]
    assert (shares[0]["blur"], shares[1]["blur"]) == (1.0, 0.1)
    assert (shares[0]["solarize"], shares[1]["solarize"]) == (0.0, 0.2)


def test_what_is_left_out_is_left_out_of_every_view() -> None:
    less = Recipe.named("byol").without("blur").without("solarize")
    assert less.variants == Recipe().variants
    assert all({"blur", "solarize"}.isdisjoint(name_of(item) for item in items) for items, _ in less.views)


def test_a_recipe_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("crop: {scale: 0.3}\nrotation:\nviews:\n  - {times: 2}\n  - {times: 4, size: 0.5}\n")
    recipe = Recipe.found(str(path))
    assert recipe.as_dict()["crop"]["scale"] == 0.3
    assert [size for _, size in recipe.views] == [1, 1, 0.5, 0.5, 0.5, 0.5]
    path.write_text(yaml.safe_dump(recipe.as_dict()))
    assert Recipe.found(str(path)) == recipe


_BAD = (
    "- crop", "crop: 3", "crop: [", "\x00", "views: [{size: 2}]", "views: [{hue: {}}]",
    "views: 3", "views:", "views: {times: 2}", "views: [3]", "views: [{size: half}]", "views: [{size: }]",
    "views: [{times: 2.0}]", "views: [{times: 40}]", "crop: {1: 2, a: 3}", "flip: {p: yes}",
)  # fmt: skip


@pytest.mark.parametrize(
    "text", ["- crop", "crop: 3", "crop: [", "\x00", "views: [{size: 2}]", "views: [{hue: {}}]", *_BAD]
)
def test_a_file_that_is_no_recipe_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        Recipe.found(str(tmp_path / "mine.yaml"))
    assert "\n" not in str(refused.value)


def test_a_recipe_is_edited_as_the_command_line_says() -> None:
    recipe = Recipe.named("crop").edited(["rotation"], ["crop"], {"rotation": {"degrees": 30}})
    assert recipe.as_dict() == {"rotation": {"p": 1.0, "degrees": 30}}
    with pytest.raises(InputError, match=r"no 'hue' .*--with hue"):
        Recipe.named("crop").edited([], [], {"hue": {"turn": 0.1}})
    with pytest.raises(InputError, match=r"rotation.degrees is 300, but must be a number from 0 to 180"):
        Recipe.named("crop").edited(["rotation"], [], {"rotation": {"degrees": 300}})


def test_a_strength_that_is_asked_for_is_that_of_every_view() -> None:
    """Although single views may have had their own."""
    for name, changes in (("byol", {"blur": {"p": 0.5}}), ("dino", {"crop": {"scale": 0.3}, "solarize": {"p": 0.0}})):
        recipe = Recipe.named(name).edited([], [], changes)
        for items, _ in recipe.views:
            strengths = {name_of(item): vars(item) for item in items}
            for invariance, values in changes.items():
                assert values.items() <= strengths[invariance].items()
        assert Recipe.from_dict(recipe.as_dict()) == recipe
    assert Recipe.named("byol").edited([], [], {"blur": {"p": 0.5}}).views[1][0] != Recipe.named("byol").views[1][0]


def test_small_views_are_blurred_by_as_many_pixels_as_large_ones() -> None:
    """SwAV's and DINO's small views are 96 pixels wide: 2 of them, not 2 of 224."""
    (large, _), *_, (small, share) = Recipe.named("dino").views
    widths = [next(item for item in items if name_of(item) == "blur").high for items in (large, small)]
    assert widths[0] * 224 == pytest.approx(2)
    assert widths[1] * share * 224 == pytest.approx(2)


def test_a_recipe_has_each_invariance_once() -> None:
    with pytest.raises(InputError, match="each invariance once"):
        Recipe((*Recipe.named("crop").invariances, *Recipe.named("crop").invariances))
