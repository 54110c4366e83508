"""The panel's settings and the recipe's Parameters say the same."""

from __future__ import annotations

import pytest


@pytest.fixture
def settings(session):
    import bpy

    return bpy.context.scene.gen3d_text


def test_every_parameter_is_a_property_with_its_range_and_default(settings, addon):
    parameters = addon("properties").TEXT_METHOD.parameters
    assert parameters
    for parameter in parameters:
        shown = settings.bl_rna.properties[parameter.name]
        assert shown.name == parameter.label and shown.description == parameter.description
        assert getattr(settings, parameter.name) == parameter.default
        if parameter.kind in ("int", "float"):
            assert (shown.hard_min, shown.hard_max) == (parameter.minimum, parameter.maximum)


def test_the_seed_has_the_recipes_range(settings, addon):
    seed = settings.bl_rna.properties["seed"]
    assert (seed.hard_min, seed.hard_max) == (0, addon("backend.recipe").SEED_LIMIT)


def test_untouched_settings_make_the_default_recipe(settings, addon):
    settings.prompt = "a wooden armchair"
    expected = addon("backend.recipe").Recipe.create(prompt="a wooden armchair", seed=0)
    assert addon("properties").text_recipes(settings) == [expected]


def test_settings_reach_the_recipe_as_the_user_typed_them(settings, addon):
    settings.prompt, settings.seed = "a vase", 7
    settings.detail, settings.face_count, settings.guidance_scale, settings.steps = 64, 1234, 2.7, 11
    (recipe,) = addon("properties").text_recipes(settings)
    assert recipe.parameters == {"detail": 64, "face_count": 1234, "guidance_scale": 2.7, "steps": 11}
    assert recipe.seed == 7


def test_variations_take_the_following_seeds(settings, addon):
    settings.prompt, settings.seed, settings.variations = "a vase", 2**31 - 2, 3
    assert [recipe.seed for recipe in addon("properties").text_recipes(settings)] == [2**31 - 2, 2**31 - 1, 0]


def test_values_out_of_range_cannot_be_set(settings):
    settings.detail, settings.face_count, settings.steps, settings.seed = 10_000, 1, 0, -5
    assert (settings.detail, settings.face_count, settings.steps, settings.seed) == (256, 100, 1, 0)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "prompt is empty"),
        ("   ", "prompt is empty"),
        ("chair " * 2_000, "shorten it"),
        ("a chair\x07", "control characters"),
        ("12345", "no letters"),
        ("木の椅子", "English"),
    ],
)
def test_bad_prompts_are_refused_whole(settings, addon, prompt, words):
    settings.prompt = prompt
    with pytest.raises(addon("backend.recipe").InputError, match=words):
        addon("properties").text_recipes(settings)
