"""The mesh type: what fits together, what is refused, and moving it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.errors import InputError
from backend.mesh import Mesh

TRIANGLE = {"vertices": np.eye(3), "faces": np.array([[0, 1, 2]])}


def test_arrays_come_out_in_the_promised_types():
    mesh = Mesh(
        np.asfortranarray(np.eye(3)),
        np.array([[0, 1, 2]], dtype=np.uint64),
        colors=np.ones((3, 3), dtype=np.float16),
        normals=np.eye(3),
        uvs=np.zeros((1, 3, 2)),
        texture=np.zeros((8, 4, 3), dtype=np.uint8)[:, ::-1],
    )
    assert mesh.vertices.dtype == mesh.colors.dtype == mesh.normals.dtype == mesh.uvs.dtype == np.float32
    assert mesh.faces.dtype == np.int32
    assert all(
        getattr(mesh, name).flags.c_contiguous for name in ("vertices", "faces", "colors", "normals", "uvs", "texture")
    )


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"vertices": np.zeros((3, 2))}, "vertices must be n × 3"),
        ({"vertices": np.full((3, 3), np.nan)}, "not finite"),
        ({"vertices": np.full((3, 3), 1e300)}, "not finite"),
        ({"vertices": np.full((3, 3), "a")}, "vertices must be"),
        ({"faces": np.array([[0, 1, 3]])}, "not there"),
        ({"faces": np.array([[0, 1, -1]])}, "not there"),
        ({"faces": np.array([[0, 1, 2**32]])}, "not there"),
        ({"faces": np.array([[0.0, 1.0, 2.0]])}, "whole numbers"),
        ({"faces": np.array([0, 1, 2])}, "faces must be"),
        ({"colors": np.zeros((2, 3))}, "colors must be 3 × 3"),
        ({"normals": np.zeros((3, 4))}, "normals must be"),
        ({"uvs": np.zeros((3, 2))}, "uvs must be 1 × 3 × 2"),
        ({"texture": np.zeros((4, 4, 3), dtype=np.uint8)}, "no UVs"),
        ({"uvs": np.zeros((1, 3, 2)), "texture": np.zeros((4, 4, 4), dtype=np.uint8)}, "texture must be"),
        ({"uvs": np.zeros((1, 3, 2)), "texture": np.zeros((4, 4, 3))}, "texture must be"),
        ({"uvs": np.zeros((1, 3, 2)), "texture": np.zeros((0, 4, 3), dtype=np.uint8)}, "texture must be"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_arrays_that_do_not_fit(change, part):
    with pytest.raises(InputError, match=part):
        Mesh(**{**TRIANGLE, **change})


def test_a_transform_moves_points_and_turns_normals():
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = 2.5 * turn
    matrix[:3, 3] = (1, 2, 3)
    moved = Mesh(**TRIANGLE, normals=np.eye(3), colors=np.eye(3)).transformed(matrix)
    np.testing.assert_allclose(moved.vertices, [[1, 4.5, 3], [-1.5, 2, 3], [1, 2, 5.5]], rtol=1e-6)
    np.testing.assert_allclose(moved.normals, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-6)
    np.testing.assert_array_equal(moved.colors, np.eye(3))
