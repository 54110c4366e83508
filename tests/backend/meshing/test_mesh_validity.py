"""The validity questions themselves, on meshes whose answers are known by construction."""

import numpy as np
import pytest
import trimesh

from backend.meshing.validity import (
    enclosed_volume,
    euler_characteristic,
    is_manifold,
    is_watertight,
    triangle_quality,
)

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def test_tetrahedron_is_sound() -> None:
    assert is_watertight(TETRAHEDRON) and is_manifold(TETRAHEDRON)
    assert euler_characteristic(TETRAHEDRON) == 2


def test_missing_face_opens_it() -> None:
    assert not is_watertight(TETRAHEDRON[1:]) and not is_manifold(TETRAHEDRON[1:])


def test_turned_face_opens_it() -> None:
    turned = TETRAHEDRON.copy()
    turned[0] = turned[0, ::-1]
    assert not is_watertight(turned)


def test_nothing_is_not_sound() -> None:
    nothing = np.empty((0, 3), dtype=np.int32)
    assert not is_watertight(nothing) and not is_manifold(nothing)


@pytest.mark.parametrize("shared", [1, 2])
def test_solids_that_share_a_vertex_or_an_edge_are_watertight_but_no_manifold(shared: int) -> None:
    relabel = np.array([0, 1, 4, 5]) if shared == 2 else np.array([0, 4, 5, 6])
    both = np.concatenate([TETRAHEDRON, relabel[TETRAHEDRON]])
    assert is_watertight(both) and not is_manifold(both)


def test_volume_and_characteristic_agree_with_trimesh() -> None:
    for reference in (trimesh.creation.icosphere(2), trimesh.creation.torus(1, 0.3), trimesh.creation.box()):
        assert is_manifold(reference.faces)
        assert enclosed_volume(reference.vertices, reference.faces) == pytest.approx(reference.volume)
        assert enclosed_volume(reference.vertices, reference.faces[:, ::-1]) == pytest.approx(-reference.volume)
        assert euler_characteristic(reference.faces) == reference.euler_number


def test_quality_is_one_for_equilateral_and_zero_for_flat_triangles() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0], [2, 0, 0]])
    np.testing.assert_allclose(triangle_quality(vertices, np.array([[0, 1, 2], [0, 1, 3]])), [1, 0], atol=1e-12)
