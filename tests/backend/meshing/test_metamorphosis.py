"""Between shapes: distances of analytic shapes, and a network that says nothing, or nonsense."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.meshing.metamorphosis import BAND, CELLS, REACH, Distances, Metamorphosis, nearest
from backend.meshing.surface import extract_surface
from tests.backend.meshing.exact_fields import ExactField, box, sphere, union

BALL, PLATE = sphere(0.6), box((0.8, 0.5, 0.2))


@pytest.fixture(scope="module")
def shapes():
    return [Distances.of(ExactField(distance)) for distance in (BALL, PLATE)]


def volume(field):
    vertices, faces = extract_surface(field, 64)
    a, b, c = vertices[faces].astype(float).transpose(1, 0, 2)
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def silent():
    return ExactField(lambda points: points[:, 0] * 0)


def test_distances_are_exact_near_the_surface_and_nearly_so_far_off(shapes):
    axis = torch.linspace(-1, 1, CELLS + 1)
    nodes = torch.cartesian_prod(axis, axis, axis)
    exact = ExactField(BALL).signed_distance(nodes).numpy().reshape(shapes[0].values.shape)
    error = np.abs(shapes[0].values - exact)
    assert error[np.abs(exact) < (BAND - 1) * 2 / CELLS].max() < 1e-3
    assert error[np.abs(exact) < 0.5].max() < 0.02
    assert ((shapes[0].values < 0) == (exact < 0)).mean() > 0.999


def test_the_volume_changes_evenly(shapes):
    ends = [volume(ExactField(distance)) for distance in (BALL, PLATE)]
    for weight in (0.25, 0.5, 0.75):
        between = volume(Metamorphosis(silent(), shapes, [1 - weight, weight]))
        assert between == pytest.approx((1 - weight) * ends[0] + weight * ends[1], rel=0.03)


def test_one_shape_alone_is_as_it_is(shapes):
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    exact = ExactField(BALL).signed_distance(points)
    alone = Metamorphosis(ExactField(BALL), shapes, [1, 0]).signed_distance(points)
    near = exact.abs() < REACH
    assert (alone - exact).abs()[near].max() < 2e-3
    assert (alone.sign() == exact.sign())[exact.abs() > 2e-3].all()


def test_what_the_network_imagines_far_from_both_shapes_is_not_there(shapes):
    rag = ExactField(union(BALL, sphere(0.05, (0.85, 0.85, 0.85))))
    vertices, _ = extract_surface(Metamorphosis(rag, shapes, [0.5, 0.5]), 64)
    assert np.linalg.norm(vertices - 0.85, axis=1).min() > 0.5


def test_the_network_shapes_the_surface_within_its_reach(shapes):
    plain, deep = (
        Metamorphosis(network, shapes, [0.5, 0.5]) for network in (silent(), ExactField(lambda p: -9 + 0 * p[:, 0]))
    )
    points = torch.from_numpy(extract_surface(plain, 64)[0])
    torch.testing.assert_close(deep.signed_distance(points), torch.full((len(points),), -REACH / 2), atol=2e-3, rtol=0)


def test_colours_are_those_of_the_nearest_places(shapes):
    point = torch.tensor([[0.9, 0.0, 0.1]])
    torch.testing.assert_close(nearest(shapes[0], point), point / point.norm() * 0.6, atol=5e-3, rtol=0)

    class Painted(ExactField):
        def color(self, points):
            return points.clamp(0, 1)

    painted = [Distances(shape.values, Painted(BALL)) for shape in shapes]
    mixed = Metamorphosis(silent(), painted, [0.25, 0.75]).color(point)
    places = [nearest(shape, point).clamp(0, 1) for shape in shapes]
    torch.testing.assert_close(mixed, 0.25 * places[0] + 0.75 * places[1])
