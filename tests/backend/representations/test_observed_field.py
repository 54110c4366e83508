"""A field that is bent through observed points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from backend.mesh import Mesh
from backend.models.observation import Observation
from backend.representations.known_shape import KnownShape
from backend.representations.observed_field import LARGEST_CORRECTION, REACH, SEAM, ObservedField

DIRECTIONS = np.random.default_rng(0).normal(size=(8000, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


class Ball:
    def signed_distance(self, points):
        return points.norm(dim=1) - 0.5

    def color(self, points):
        return torch.zeros_like(points)


def seen(radius: float, colors: np.ndarray | None = None, level: float = 0.0) -> Observation:
    surface = (radius * DIRECTIONS).astype(np.float32)
    return Observation(surface, colors, level, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))


def at(radius: float) -> torch.Tensor:
    turned = DIRECTIONS[:500, [1, 2, 0]]  # other points than those observed
    return torch.from_numpy((radius * turned).astype(np.float32))


@pytest.mark.parametrize("level", [0.0, -0.008])
def test_the_surface_moves_to_where_it_was_observed(level):
    field = ObservedField(Ball(), seen(0.52, level=level))
    on = torch.from_numpy(seen(0.52).surface[:500])
    np.testing.assert_allclose(field.signed_distance(on), level, atol=1e-5)
    np.testing.assert_allclose(field.signed_distance(at(0.52)), level, atol=0.006)


def test_far_from_the_observed_nothing_changes():
    field = ObservedField(Ball(), seen(0.52))
    far = at(0.53 + REACH)
    assert torch.equal(field.signed_distance(far), Ball().signed_distance(far))


def test_a_point_that_contradicts_the_field_is_left_out():
    field = ObservedField(Ball(), seen(0.51 + LARGEST_CORRECTION))
    points = at(0.5 + LARGEST_CORRECTION)
    assert torch.equal(field.signed_distance(points), Ball().signed_distance(points))
    assert torch.equal(field.color(points), Ball().color(points))


def test_places_beside_the_surface_are_heeded_too():
    queries = at(0.55).numpy()
    observation = replace(seen(0.5), queries=queries, distances=np.full(len(queries), 0.02, np.float32))
    field = ObservedField(Ball(), observation)
    np.testing.assert_allclose(field.signed_distance(at(0.55)), 0.02, atol=1e-5)


LARGER = trimesh.creation.icosphere(subdivisions=5, radius=0.55)
BELOW = np.array([-1.0, -1, -1]), np.array([1.0, 1, 0])


def larger_above(**options) -> Observation:
    """A ball of radius 0.55 of which the lower half is not known."""
    nothing = np.zeros((0, 3), np.float32)
    known = KnownShape(LARGER.vertices, LARGER.faces, *BELOW)
    return Observation(nothing, None, 0.0, nothing, nothing[:, 0], known, **options)


def test_where_all_is_known_the_known_takes_the_fields_place_right_up_to_the_box():
    field = ObservedField(Ball(), larger_above())
    for radius in (0.2, 0.5, 0.6, 0.9):
        points = at(radius)
        found = field.signed_distance(points).numpy()
        height = points[:, 2].numpy()
        np.testing.assert_allclose(found[height > 0], radius - 0.55, atol=2e-3)
        np.testing.assert_allclose(found[height < -SEAM], radius - 0.5, atol=1e-6)


def test_in_the_box_the_surface_goes_on_from_the_known_without_a_step():
    field = ObservedField(Ball(), larger_above())
    x = np.full(41, 0.55, np.float32)
    heights = np.linspace(0.02, -0.1, 41, dtype=np.float32)
    found = field.signed_distance(torch.from_numpy(np.stack([x, 0 * x, heights], axis=1))).numpy()
    assert np.abs(np.diff(found)).max() < 0.005
    np.testing.assert_allclose(found[heights > -0.002], 0, atol=2e-3)
    np.testing.assert_allclose(found[heights < -SEAM], 0.05, atol=0.01)


def test_a_painted_mesh_gives_its_colours_where_it_is_known():
    paint = np.where(LARGER.vertices[:, :1] > 0, [[1.0, 0, 0]], [[0, 0, 1.0]])
    field = ObservedField(Ball(), larger_above(painted=Mesh(LARGER.vertices, LARGER.faces, paint)))
    points = at(0.56)
    points = points[points[:, 0].abs() > 0.05]
    colors = field.color(points)
    assert torch.equal(colors[:, 0] > 0.9, points[:, 0] > 0) and (colors[:, 1] == 0).all()
    assert torch.equal(field.color(at(0.7)), torch.zeros(500, 3))


def test_colours_are_the_observed_ones_at_the_surface_only():
    colors = np.tile(np.float32([1, 0.5, 0]), (len(DIRECTIONS), 1))
    field = ObservedField(Ball(), seen(0.5, colors))
    on = torch.from_numpy(seen(0.5).surface[:100])
    np.testing.assert_allclose(field.color(on), colors[:100], atol=1e-3)
    assert torch.equal(field.color(at(0.7)), torch.zeros(500, 3))


def test_a_point_gets_the_same_answer_alone():
    field = ObservedField(Ball(), seen(0.52, np.random.default_rng(1).random(DIRECTIONS.shape)))
    points = at(0.53)
    assert torch.equal(field.signed_distance(points)[7:8], field.signed_distance(points[7:8]))
    assert torch.equal(field.color(points)[7:8], field.color(points[7:8]))
