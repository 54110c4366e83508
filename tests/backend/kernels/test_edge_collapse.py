"""Edge collapse: what it keeps exactly, how near it stays, and that the topology is as it was."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from backend.kernels.edge_collapse import collapse_edges
from backend.meshing.topology import connected_parts, half_edge_mates


def collapsed(mesh: trimesh.Trimesh, face_count: int) -> trimesh.Trimesh:
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    points, left = collapse_edges(vertices, faces, half_edge_mates(vertices, faces), face_count)
    used, numbered = np.unique(left, return_inverse=True)
    made = trimesh.Trimesh(points[used], numbered.reshape(-1, 3), process=False)
    assert made.is_watertight and made.is_winding_consistent
    return made


def test_a_cube_of_many_faces_is_a_cube_of_twelve() -> None:
    cube = trimesh.creation.box((1, 2, 3)).subdivide().subdivide().subdivide()
    made = collapsed(cube, 12)
    assert len(made.faces) == 12
    assert made.volume == pytest.approx(6, rel=1e-9)
    wanted = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-1, 1) for z in (-1.5, 1.5)])
    apart = np.linalg.norm(wanted[:, None] - np.asarray(made.vertices), axis=2).min(axis=1)
    assert apart.max() < 1e-9


def test_a_ball_stays_as_near_to_the_ball_as_so_few_faces_can() -> None:
    """A sphere's best approximation by F triangles misses it by about 2π / (√3 F) of its radius."""
    ball = trimesh.creation.icosphere(subdivisions=5)
    made = collapsed(ball, 500)
    assert len(made.faces) == 500
    off = np.abs(np.linalg.norm(made.sample(20_000, seed=0), axis=1) - 1)
    assert off.mean() < 2 * np.pi / (np.sqrt(3) * 500)
    assert (np.einsum("fi,fi->f", made.face_normals, made.triangles_center) > 0).all()


@pytest.mark.parametrize("face_count", [2000, 300, 0])
def test_topology_is_kept_however_few_faces_are_asked_for(face_count: int) -> None:
    """A thin torus and a ball beside it: two parts, one handle, even at the fewest faces that these can have."""
    torus = trimesh.creation.torus(1.0, 0.03, major_sections=120, minor_sections=12)
    ball = trimesh.creation.icosphere(subdivisions=3)
    ball.apply_translation((3, 0, 0))
    made = collapsed(trimesh.util.concatenate([torus, ball]), face_count)
    parts = sorted(made.split(only_watertight=False), key=lambda part: part.euler_number)
    assert [part.euler_number for part in parts] == [0, 2]
    assert connected_parts(np.asarray(made.faces)).max() == 1
    if face_count == 0:
        assert len(parts[0].faces) >= 14 and len(parts[1].faces) == 4  # Möbius's torus; a tetrahedron
    else:
        assert len(made.faces) in (face_count, face_count + 1)


def test_the_input_is_left_alone_and_the_same_every_time() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    vertices, faces = np.array(ball.vertices), np.array(ball.faces)
    mates = half_edge_mates(vertices, faces)
    kept = vertices.copy(), faces.copy(), mates.copy()
    one, other = (collapse_edges(vertices, faces, mates, 200) for _ in range(2))
    assert all((a == b).all() for a, b in zip(kept, (vertices, faces, mates), strict=True))
    assert (one[0] == other[0]).all() and (one[1] == other[1]).all()
