"""Blends of latents: ends, arithmetic, arcs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.models.latent_blending import blend, linear_blend, spherical_blend, walk_weights
from backend.models.principal_components import PrincipalComponents

SHAPE = (2, 2, 2)


@pytest.fixture
def components():
    """The first five axes, of unit deviation; three are left over."""
    made = PrincipalComponents(5, SHAPE)
    made.directions.copy_(torch.eye(8)[:5])
    return made


def latent(*values):
    return torch.tensor([*values, *[0.0] * (8 - len(values))]).reshape(SHAPE)


def test_a_walk_goes_from_one_shape_to_the_next():
    np.testing.assert_allclose(walk_weights(2, [0, 0.5, 1]), [[1, 0], [0.5, 0.5], [0, 1]])
    np.testing.assert_allclose(walk_weights(3, [0, 0.25, 1, 2]), [[1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(walk_weights(4, np.linspace(0, 3, 11)).sum(axis=1), 1)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_the_ends_are_the_inputs_bit_for_bit(components, path):
    torch.manual_seed(0)
    shapes = [torch.randn(SHAPE) for _ in range(3)]
    for index, weights in enumerate(np.eye(3)):
        assert torch.equal(blend(shapes, weights, components=components, path=path), shapes[index])


def test_arithmetic_adds_and_takes_away():
    a, b, c = latent(1, 0), latent(0, 2), latent(1, 1)
    assert torch.equal(linear_blend([a, b, c], [1, 1, -1]), a + b - c)


def test_two_shapes_are_blended_along_the_arc_between_them(components):
    """Against Shoemake's formula; lengths and what the components leave over go linearly."""
    a, b = latent(2, 0, 0, 0, 0, 1), latent(0, 4, 0, 0, 0, 3)
    for share in (0.25, 0.5, 0.9):
        found = spherical_blend([a, b], [1 - share, share], components)
        angle = torch.tensor(share * np.pi / 2)
        length = 2 + 2 * share
        expected = latent(length * angle.cos(), length * angle.sin(), 0, 0, 0, 1 + 2 * share)
        torch.testing.assert_close(found, expected)


def test_the_mean_of_three_axes_is_their_diagonal(components):
    found = spherical_blend([latent(1, 0, 0), latent(0, 1, 0), latent(0, 0, 1)], [1, 1, 1], components)
    torch.testing.assert_close(found, latent(*[3**-0.5] * 3))


def test_equal_shapes_stay_themselves(components):
    shape = latent(1, 2, 3, 4, 5, 6)
    torch.testing.assert_close(spherical_blend([shape, shape], [0.3, 0.7], components), shape)


def test_what_has_no_answer_is_refused(components):
    a, b = latent(1, 0), latent(-1, 0)
    with pytest.raises(InputError, match="opposite"):
        spherical_blend([a, b], [0.5, 0.5], components)
    with pytest.raises(InputError, match="negative"):
        spherical_blend([a, b], [2, -1], components)
    with pytest.raises(InputError, match="add up to 0"):
        linear_blend([a, b], [1, -1])
    with pytest.raises(InputError, match="2 shapes, 1 weights"):
        linear_blend([a, b], [1])
    with pytest.raises(InputError, match="'linear' or 'spherical'"):
        blend([a, b], [0.5, 0.5], components=components, path="bent")
