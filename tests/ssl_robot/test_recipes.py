import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ssl_robot.invariances
from ssl_robot import catalogue
from ssl_robot.errors import InputError
from ssl_robot.recipes import Recipe

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
