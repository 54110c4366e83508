"""Recipes: what is accepted, what is refused and with which sentence, and the way through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import Cancelled, MachineError
from backend.mesh import Mesh
from backend.recipe import METHODS, PROMPT_LIMIT, SEED_LIMIT, VERSION, InputError, Recipe, Result, method


def test_defaults_are_filled_in_and_valid():
    recipe = Recipe.create(prompt="a chair")
    assert recipe == Recipe(
        task="text_to_3d",
        method="latent prior",
        inputs={"prompt": "a chair"},
        parameters={"detail": 128, "face_count": 20_000, "guidance_scale": 2.0, "steps": 12},
        seed=0,
        weights={},
        version=VERSION,
    )
    recipe.validate()


def test_defaults_lie_in_their_ranges_and_names_are_unique():
    for entry in METHODS:
        assert method(entry.task, entry.name) is entry
        names = [parameter.name for parameter in entry.parameters] + list(entry.inputs)
        assert len(set(names)) == len(names)
        for parameter in entry.parameters:
            assert parameter.check(parameter.default) == parameter.default


@settings(max_examples=50, deadline=None)
@given(
    prompt=st.text("abcdefghijklmnopqrstuvwxyzäéßñ '-,.0123456789", min_size=1, max_size=80).filter(
        lambda text: any(character.isalpha() for character in text)
    ),
    seed=st.integers(0, SEED_LIMIT),
    detail=st.integers(32, 256),
    guidance=st.floats(0, 20),
)
def test_json_round_trip(prompt, seed, detail, guidance):
    recipe = Recipe.create(prompt=prompt, seed=seed, detail=detail, guidance_scale=guidance, weights={"a": "0" * 64})
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert "\n" not in recipe.to_json()


def test_a_whole_number_is_taken_for_a_fraction_and_becomes_one():
    value = Recipe.create(prompt="a chair", guidance_scale=2).parameters["guidance_scale"]
    assert type(value) is float


def test_outer_blanks_make_no_other_recipe():
    assert Recipe.create(prompt="  a chair ") == Recipe.create(prompt="a chair")


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a" * 10_000, "10,000 characters: shorten it to at most 1,000"),
        ("a chair\x00", "control characters"),
        ("a\nchair", "control characters"),
        ("a \ud800 chair", "control characters"),
        ("1234 !?", "no letters"),
        ("ein Stuhl und 椅子", "letter '椅'"),
        ("стул", "letter 'с'"),
        ("كرسي", "English"),
        (7, "must be text"),
    ],
)
def test_prompts_that_are_refused(prompt, part):
    with pytest.raises(InputError, match=part.replace("?", "\\?")):
        Recipe.create(prompt=prompt)


@pytest.mark.parametrize("prompt", ["a chair", "Sofá, naïve", "a" * PROMPT_LIMIT, "ﬁsh", "a 1950s robot 🤖", "L’épée"])
def test_prompts_that_are_taken(prompt):
    assert Recipe.create(prompt=prompt).inputs["prompt"] == prompt


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"seed": -1}, "seed must lie between 0 and 2,147,483,647"),
        ({"seed": SEED_LIMIT + 1}, "seed must lie"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"detail": 31}, "Detail must lie between 32 and 256, not 31"),
        ({"detail": 257}, "Detail must lie"),
        ({"detail": 64.0}, "Detail must be a whole number"),
        ({"detail": True}, "Detail must be a whole number"),
        ({"face_count": 99}, "Face Count must lie between 100 and 100,000"),
        ({"steps": 0}, "Steps must lie"),
        ({"steps": 201}, "Steps must lie"),
        ({"guidance_scale": 20.5}, "Guidance Scale must lie"),
        ({"guidance_scale": float("nan")}, "finite"),
        ({"guidance_scale": float("inf")}, "finite"),
        ({"guidance_scale": "3"}, "must be a number"),
        ({"guidance": 3}, "unknown parameter 'guidance'"),
        ({"task": "text_to_4d"}, "no method"),
        ({"method": "magic"}, "no method 'magic'"),
        ({"weights": {"prior.safetensors": "abc"}}, "not a SHA-256"),
    ],
)
def test_values_that_are_refused(values, part):
    with pytest.raises(InputError, match=part):
        Recipe.create(prompt="a chair", **values)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"inputs": {}}, "lacks the input 'prompt'"),
        ({"inputs": {"prompt": "a chair", "image": "x.png"}}, "unknown input 'image'"),
        ({"inputs": "a chair"}, "inputs must be a JSON object"),
        ({"parameters": [1]}, "parameters must be a JSON object"),
        ({"task": 3}, "task must be text"),
        ({"version": None}, "version must be text"),
        ({"weights": {"prior": 5}}, "not a SHA-256"),
    ],
)
def test_documents_that_are_refused(change, part):
    document = {**Recipe.create(prompt="a chair").to_dict(), **change}
    with pytest.raises(InputError, match=part):
        Recipe.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 100_000, '{"task": "text_to_3d"}'])
def test_texts_that_are_no_recipe(text):
    with pytest.raises(InputError):
        Recipe.from_json(text)


def test_hand_written_recipes_may_leave_out_what_has_a_default():
    document = {"task": "text_to_3d", "method": "latent prior", "inputs": {"prompt": "a chair"}}
    assert Recipe.from_dict(document) == Recipe.create(prompt="a chair")


def test_validate_sees_what_the_constructor_lets_through():
    good = Recipe.create(prompt="a chair")
    for bad in (
        Recipe(good.task, good.method, {"prompt": ""}, good.parameters, 0),
        Recipe(good.task, good.method, good.inputs, {}, 0),
        Recipe(good.task, good.method, good.inputs, good.parameters, -5),
    ):
        with pytest.raises(InputError):
            bad.validate()


def test_exit_codes():
    assert (InputError.exit_code, MachineError.exit_code, Cancelled.exit_code) == (2, 3, 130)


def test_a_result_wants_a_finite_four_by_four_transform():
    mesh = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    recipe = Recipe.create(prompt="a chair")
    assert Result(mesh, np.eye(4, dtype=np.float32), recipe, {}, []).transform.dtype == np.float64
    for transform in (np.eye(3), np.full((4, 4), np.nan)):
        with pytest.raises(InputError, match="transform"):
            Result(mesh, transform, recipe, {}, [])
