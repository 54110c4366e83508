"""Cutting meshes along planes and boxes."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from backend.meshing.clip import outside_of_box, split_along_plane
from backend.meshing.topology import edge_groups
from backend.meshing.validity import is_watertight

BALL = trimesh.creation.icosphere(subdivisions=3)
VERTICES, FACES = np.asarray(BALL.vertices), np.asarray(BALL.faces)


@pytest.mark.parametrize("place", [0.0, 0.3137, -0.8])  # 0 goes through vertices
def test_a_plane_parts_the_faces_and_leaves_the_surface_as_it_is(place):
    vertices, faces = split_along_plane(VERTICES, FACES, 2, place)
    heights = vertices[faces][..., 2]
    assert not ((heights < place).any(axis=1) & (heights > place).any(axis=1)).any()
    assert is_watertight(faces) and (edge_groups(faces)[2] == 2).all()
    split = trimesh.Trimesh(vertices, faces, process=False)
    assert split.volume == pytest.approx(BALL.volume) and split.area == pytest.approx(BALL.area)
    np.testing.assert_array_equal(vertices[: len(VERTICES)], VERTICES)


def test_a_plane_beside_the_mesh_changes_nothing():
    vertices, faces = split_along_plane(VERTICES, FACES, 0, 1.5)
    assert vertices is VERTICES and faces is FACES


def test_of_an_octant_the_only_border_is_where_the_box_is():
    low, high = np.array([0.1, 0.05, 0.2]), np.full(3, 2.0)
    vertices, faces = outside_of_box(VERTICES, FACES, low, high)
    order, first, count = edge_groups(faces)
    lonely = order[first[count == 1]]
    ends = vertices[np.stack([faces.reshape(-1)[lonely], np.roll(faces, -1, axis=1).reshape(-1)[lonely]])]
    assert len(lonely) > 10
    assert np.isclose(np.where(np.isclose(ends, low), 0, 1).prod(axis=2), 0).all()
    assert ((ends >= low - 1e-12).all(axis=2)).all()
    inside = (low < VERTICES).all(axis=1)
    assert len(vertices) > (~inside).sum() and not ((vertices > low + 1e-9) & (vertices < high)).all(axis=1).any()
