"""A field that is bent through observed points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.kernels import Grid
from backend.models.observation import GRID_NODES, KnownRegion, Observation, UnknownBox
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


def test_where_all_is_known_the_known_takes_the_fields_place():
    larger = np.linalg.norm(Grid.cube(GRID_NODES).points(), axis=1).reshape([GRID_NODES] * 3) - 0.7
    below = UnknownBox(np.array([-1.0, -1, -1]), np.array([1.0, 1, 0]))
    nothing = np.zeros((0, 3), np.float32)
    region = KnownRegion(below, larger.astype(np.float32))
    field = ObservedField(Ball(), Observation(nothing, None, 0.0, nothing, nothing[:, 0], region))
    points = at(0.6)
    found = field.signed_distance(points)
    np.testing.assert_allclose(found[points[:, 2] < 0], 0.1, atol=1e-5)
    np.testing.assert_allclose(found[points[:, 2] > SEAM], -0.1, atol=1e-3)
    between = found[(points[:, 2] > 0) & (points[:, 2] < SEAM)]
    assert (between < 0.1).all() and (between > -0.1).all()


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
