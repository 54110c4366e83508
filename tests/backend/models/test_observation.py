"""What is taken to be known of a partial shape."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from backend.errors import InputError
from backend.mesh import Mesh
from backend.models.observation import UnknownBox, observe, outside_of

RADIUS = 0.6
BALL = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
LOWER_HALF = UnknownBox(np.array([-1.0, -1, -1]), np.array([1.0, 1, 0]))


def ball(**options) -> Mesh:
    return Mesh(BALL.vertices, BALL.faces, **options)


def cloud(count: int = 20_000) -> Mesh:
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Mesh(RADIUS * directions, np.zeros((0, 3), np.int32))


def exact(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points, axis=1) - RADIUS


def test_what_a_box_leaves_of_a_mesh():
    box = UnknownBox(np.array([0.0, 0, 0]), np.array([1.0, 1, 1]))
    vertices, faces = outside_of(box, *(np.asarray(part) for part in (BALL.vertices, BALL.faces)))
    area = trimesh.Trimesh(vertices, faces, process=False).area
    assert area == pytest.approx(BALL.area * 7 / 8, rel=1e-3)
    assert not (box.contains(vertices - 1e-4) & box.contains(vertices + 1e-4)).any()


def test_a_box_beside_the_mesh_leaves_it_whole():
    box = UnknownBox(np.array([0.7, -1, -1]), np.array([1.0, 1, 1]))
    vertices, faces = outside_of(box, *(np.asarray(part) for part in (BALL.vertices, BALL.faces)))
    assert trimesh.Trimesh(vertices, faces, process=False).area == pytest.approx(BALL.area)


def test_of_a_cut_mesh_inside_and_outside_are_known_up_to_the_cut():
    upper = Mesh(*outside_of(LOWER_HALF, ball().vertices, ball().faces))
    for shape in (ball(), upper):  # what is in the box does not matter
        seen = observe(shape, LOWER_HALF)
        assert seen.level == 0 and (seen.surface[:, 2] > 0).all() and (seen.queries[:, 2] > 0).all()
        np.testing.assert_allclose(exact(seen.surface), 0, atol=2e-3)
        deep = np.abs(exact(seen.queries)) > 0.01
        assert ((seen.distances < 0) == (exact(seen.queries) < 0))[deep].mean() > 0.99
        assert (seen.distances < 0).mean() > 0.1


def test_an_open_mesh_is_a_slab_as_in_training():
    sheet = Mesh([[-0.5, -0.5, 0.2], [0.5, -0.5, 0.2], [0.5, 0.5, 0.2], [-0.5, 0.5, 0.2]], [[0, 1, 2], [0, 2, 3]])
    seen = observe(sheet, LOWER_HALF)
    assert seen.level < 0 and seen.distances.min() < 0
    np.testing.assert_allclose(seen.distances.min(), seen.level, atol=0.004)


def test_of_points_only_what_the_outside_reaches_is_empty():
    seen = observe(cloud(), LOWER_HALF)
    assert len(seen.queries) > 1000
    assert (exact(seen.queries) > 0).all() and (seen.distances > 0).all() and (seen.queries[:, 2] > 0).all()
    np.testing.assert_allclose(seen.distances, np.hypot(exact(seen.queries), 0), atol=0.03)


def test_of_a_scan_only_the_surface_is_known():
    seen = observe(ball(), None)
    np.testing.assert_allclose(exact(seen.queries), seen.distances, atol=3e-3)
    assert np.abs(seen.distances).max() == pytest.approx(0.02)
    assert len(observe(cloud(), None).queries) == 0


def test_colours_come_along_where_there_are_any():
    assert observe(ball(), None).colors is None
    colors = np.tile(np.float32([1, 0, 0.5]), (len(BALL.vertices), 1))
    seen = observe(ball(colors=colors), LOWER_HALF)
    np.testing.assert_allclose(seen.colors, np.tile([1, 0, 0.5], (len(seen.surface), 1)), atol=1e-6)


def test_it_is_the_same_each_time():
    first, second = observe(ball(), LOWER_HALF), observe(ball(), LOWER_HALF)
    np.testing.assert_array_equal(first.queries, second.queries)
    np.testing.assert_array_equal(first.distances, second.distances)


def test_nothing_known_is_refused():
    with pytest.raises(InputError, match="contains the whole shape"):
        observe(ball(), UnknownBox(np.full(3, -1.0), np.full(3, 1.0)))
