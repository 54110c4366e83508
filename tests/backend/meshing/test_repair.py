"""Repair and clean-up on surfaces that touch themselves in every way, judged by trimesh and manifold3d."""

import manifold3d
import numpy as np
import pytest
import trimesh

from backend.meshing.repair import make_manifold
from backend.meshing.solids import keep_solids
from backend.meshing.validity import enclosed_volume, is_manifold

CUBE = trimesh.creation.box()


def merged(*parts: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Parts as one mesh whose equal positions are one vertex, so that they touch by index too."""
    whole = trimesh.util.concatenate(parts)
    vertices, place = np.unique(whole.vertices.round(6), axis=0, return_inverse=True)
    return vertices, place.reshape(-1)[whole.faces]


def cube_at(*center: float) -> trimesh.Trimesh:
    return CUBE.copy().apply_translation(center)


def assert_sound_to_others(vertices: np.ndarray, faces: np.ndarray) -> None:
    assert is_manifold(faces)
    # trimesh merges vertices by position first, as any viewer or slicer may.
    assert trimesh.Trimesh(vertices, faces, process=True).is_watertight
    solid = manifold3d.Manifold(manifold3d.Mesh(vertices.astype(np.float32), faces.astype(np.uint32)))
    assert solid.status() == manifold3d.Error.NoError


@pytest.mark.parametrize("offset", [(1, 1, 0), (1, 1, 1)], ids=["edge", "vertex"])
def test_touching_cubes_come_apart(offset: tuple[int, int, int]) -> None:
    vertices, faces = merged(cube_at(0, 0, 0), cube_at(*offset))
    assert not is_manifold(faces)
    vertices, faces = make_manifold(vertices, faces)
    assert_sound_to_others(vertices, faces)
    assert len(vertices) == 16 and len(faces) == 24
    assert enclosed_volume(vertices, faces) == pytest.approx(2, rel=0.05)
    assert trimesh.Trimesh(vertices, faces).body_count == 2


def test_air_that_touches_air_in_an_edge_stays_air() -> None:
    """Two cavities that meet in an edge inside a block: the mirror image of touching cubes."""
    inner = [cube_at(0, 0, 0), cube_at(1, 1, 0)]
    for cavity in inner:
        cavity.invert()
    vertices, faces = merged(trimesh.creation.box((6, 6, 6)), *inner)
    vertices, faces = make_manifold(vertices, faces)
    assert_sound_to_others(vertices, faces)
    assert enclosed_volume(vertices, faces) == pytest.approx(6**3 - 2, rel=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_random_voxels_become_a_manifold_of_the_same_volume(seed: int) -> None:
    """A third of the cubes of a small lattice, at random: edges and vertices shared in nearly every possible way."""
    filled = np.argwhere(np.random.default_rng(seed).random((6, 6, 6)) < 0.35)
    vertices, faces = merged(*[cube_at(*cell) for cell in filled])
    assert not is_manifold(faces)
    vertices, faces = make_manifold(vertices, faces)
    assert_sound_to_others(vertices, faces)
    assert enclosed_volume(vertices, faces) == pytest.approx(len(filled), rel=0.05)


def test_edge_used_twice_by_one_fan_gets_vertices_of_its_own() -> None:
    """A torus of few faces whose ring is closed over a single edge: pinched along it, with one fan on both ends."""
    ring = 3
    grid = np.arange(ring * ring).reshape(ring, ring)
    quads = [
        (grid[i, j], grid[(i + 1) % ring, j], grid[(i + 1) % ring, (j + 1) % ring], grid[i, (j + 1) % ring])
        for i in range(ring)
        for j in range(ring)
    ]
    faces = np.array([[(a, b, c), (a, c, d)] for a, b, c, d in quads]).reshape(-1, 3)
    angle = np.arange(ring) * 2 * np.pi / ring
    u, v = (part.reshape(-1) for part in np.meshgrid(angle, angle, indexing="ij"))
    vertices = np.stack([(1 + 0.4 * np.cos(v)) * np.cos(u), (1 + 0.4 * np.cos(v)) * np.sin(u), 0.4 * np.sin(v)], axis=1)
    faces = np.where(faces == grid[1, 1], grid[0, 0], faces)  # collapse across the diagonal
    faces = faces[(np.diff(np.sort(faces, axis=1), axis=1) > 0).all(axis=1)]
    vertices, faces = make_manifold(vertices, faces)
    assert is_manifold(faces)


def test_sound_mesh_stays_as_it_is() -> None:
    sphere = trimesh.creation.icosphere(2)
    vertices, faces = make_manifold(sphere.vertices, sphere.faces)
    np.testing.assert_array_equal(vertices, sphere.vertices.astype(np.float32))
    np.testing.assert_array_equal(faces, sphere.faces)


def test_cancelling_and_flat_faces_go() -> None:
    flap = np.array([[0, 1, 2], [2, 1, 0], [3, 3, 4]])
    vertices, faces = make_manifold(CUBE.vertices, np.concatenate([CUBE.faces, flap]))
    np.testing.assert_array_equal(faces, CUBE.faces)
    assert len(vertices) == 8


def test_sheets_folded_onto_one_another_go() -> None:
    """A second box squashed flat onto the first one's side, with vertices of its own: no volume, same places."""
    flap = CUBE.copy()
    flap.vertices[:, 0] = 0.5
    whole = trimesh.util.concatenate([CUBE, flap])
    vertices, faces = make_manifold(whole.vertices, whole.faces)
    assert_sound_to_others(vertices, faces)
    assert enclosed_volume(vertices, faces) == pytest.approx(1, rel=0.05)


def test_nothing_is_left_of_a_surface_that_is_flat_all_over() -> None:
    vertices, faces = make_manifold(CUBE.vertices, np.array([[0, 1, 2], [2, 1, 0]]))
    assert vertices.shape == faces.shape == (0, 3)


def test_open_surface_is_refused() -> None:
    with pytest.raises(ValueError, match="closed"):
        make_manifold(CUBE.vertices, CUBE.faces[1:])


def ball(radius: float, *center: float, inward: bool = False) -> trimesh.Trimesh:
    part = trimesh.creation.icosphere(2, radius).apply_translation(center)
    if inward:
        part.invert()
    return part


def kept(*parts: trimesh.Trimesh) -> float:
    """The volume of what keep_solids leaves of the parts."""
    whole = trimesh.util.concatenate(parts)
    vertices, faces = keep_solids(np.asarray(whole.vertices), np.asarray(whole.faces))
    assert len(vertices) == len(np.unique(faces))
    return enclosed_volume(vertices, faces)


def test_floaters_go_and_parts_of_weight_stay() -> None:
    big, part, speck = ball(1, 0, 0, 0), ball(0.4, 2, 0, 0), ball(0.1, 0, 2, 0)
    assert kept(big, part, speck) == pytest.approx(big.volume + part.volume)


def test_cavities_and_what_lies_in_them_go() -> None:
    shell = [ball(1, 0, 0, 0), ball(0.8, 0, 0, 0, inward=True), ball(0.5, 0, 0, 0)]
    assert kept(*shell) == pytest.approx(shell[0].volume)


def test_part_beside_another_within_its_bounds_stays() -> None:
    ring, inside_its_hole = trimesh.creation.torus(1, 0.2), ball(0.4, 0, 0, 0)
    assert kept(ring, inside_its_hole) == pytest.approx(ring.volume + inside_its_hole.volume)


def test_nothing_is_left_of_a_surface_without_volume() -> None:
    vertices, faces = keep_solids(np.asarray(CUBE.vertices), np.asarray(CUBE.faces)[:, ::-1])
    assert len(vertices) == len(faces) == 0
