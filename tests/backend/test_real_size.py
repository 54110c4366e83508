"""Sizes from prompts: the head noun decides."""

from __future__ import annotations

import numpy as np
import pytest

from backend.tasks.placement import model_transform, standing_transform
from backend.tasks.real_size import real_size


@pytest.mark.parametrize(
    ("prompt", "low", "high"),
    [
        ("a wooden armchair", 0.8, 1.1),
        ("A Dining Table", 1.0, 2.0),
        ("a coffee table with a vase on it", 0.9, 1.3),
        ("a lamp on a table", 0.3, 0.6),
        ("a cup of coffee", 0.05, 0.15),
        ("a pair of shoes", 0.2, 0.4),
        ("two kitchen knives", 0.15, 0.4),
        ("an old oak tree", 5, 15),
        ("a red sports car", 3.5, 5),
        ("a street lamp", 4, 8),
        ("a glass bottle", 0.2, 0.4),
        ("a medieval castle, with towers", 20, 60),
        ("a man riding a horse", 1.5, 2.5),
        ("a sofa made of glass", 1.5, 2.3),
        ("berries and strawberries", 0.01, 0.05),
    ],
)
def test_known_things_have_their_usual_size(prompt, low, high):
    size, notes = real_size(prompt)
    assert low <= size <= high
    assert notes == []


@pytest.mark.parametrize("prompt", ["a toy car", "a miniature castle", "toy trucks"])
def test_small_copies_are_small(prompt):
    assert real_size(prompt) == (0.2, [])


def test_a_small_copy_of_something_smaller_keeps_its_size():
    assert real_size("a toy ring")[0] == real_size("a ring")[0]


@pytest.mark.parametrize("prompt", ["a frobnicator", "something nice", "of with in"])
def test_unknown_things_are_a_metre_and_say_so(prompt):
    size, notes = real_size(prompt)
    assert size == 1.0
    assert len(notes) == 1
    assert "1 m" in notes[0]


def test_standing_keeps_proportions_and_direction():
    vertices = np.random.default_rng(0).uniform(-0.9, 0.9, (50, 3)) * [1, 0.2, 0.5]
    matrix = standing_transform(vertices, 3.0)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix[:3, :3], matrix[0, 0] * np.eye(3))
    scene = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.ptp(scene, axis=0).max() == pytest.approx(3.0)
    np.testing.assert_allclose(scene.min(axis=0)[:2], -scene.max(axis=0)[:2], atol=1e-12)
    assert scene[:, 2].min() == pytest.approx(0, abs=1e-12)


def test_model_space_is_centred_with_its_largest_half_extent_at_nine_tenths():
    vertices = np.random.default_rng(0).uniform(5, 9, (50, 3)) * [1, 3, 1]
    matrix = model_transform(vertices)
    model = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(model.min(axis=0), -model.max(axis=0), atol=1e-12)
    assert np.abs(model).max() == pytest.approx(0.9)
