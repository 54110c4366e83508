from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from backend.color import srgb_to_linear
from backend.data.surface import UNKNOWN_SRGB, sample_surface, surface_colors
from backend.errors import InputError
from backend.mesh import Mesh

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_points_are_spread_evenly_over_a_square() -> None:
    points = sample_surface(SQUARE, HALVES, 20_000, generator()).positions
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=10, range=[[0, 1], [0, 1]])
    assert stats.chisquare(counts.ravel()).pvalue > 0.001
    assert counts.sum() == 20_000 and (points[:, 2] == 0).all()


def test_every_face_gets_its_share_of_the_points(box) -> None:
    vertices, faces = box((-0.9, -0.2, -0.1), (0.9, 0.5, 0.3))
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    points = sample_surface(vertices, faces, 1000, generator())
    counts = np.bincount(points.faces, minlength=len(faces))
    # Stratified draws: a face's count is its share to within one point at each end.
    assert (np.abs(counts - 1000 * area / area.sum()) < 2).all()


def test_points_lie_on_their_faces_at_their_barycentric_place(box) -> None:
    vertices, faces = box((-0.9, -0.2, -0.1), (0.9, 0.5, 0.3))
    points = sample_surface(vertices, faces, 500, generator())
    assert points.positions.dtype == points.normals.dtype == points.barycentric.dtype == np.float32
    np.testing.assert_allclose(points.barycentric.sum(1), 1, atol=1e-6)
    assert (points.barycentric >= 0).all()
    placed = (vertices[faces[points.faces]] * points.barycentric[..., None]).sum(1)
    np.testing.assert_allclose(points.positions, placed, atol=1e-6)
    center = (vertices.min(0) + vertices.max(0)) / 2
    half = (vertices.max(0) - vertices.min(0)) / 2
    outward = (points.positions - center) / half
    axis = np.abs(outward).argmax(1)
    wanted = np.zeros((500, 3))
    wanted[np.arange(500), axis] = np.sign(outward[np.arange(500), axis])
    np.testing.assert_allclose(points.normals, wanted, atol=1e-6)


def test_the_same_generator_gives_the_same_points() -> None:
    first, again, other = (sample_surface(SQUARE, HALVES, 50, generator(seed)) for seed in (1, 1, 2))
    assert (first.positions == again.positions).all() and (first.positions != other.positions).any()


def test_faces_without_area_get_no_points() -> None:
    faces = np.array([[0, 0, 1], [0, 1, 2], [1, 1, 1]])
    points = sample_surface(SQUARE, faces, 100, generator())
    assert (points.faces == 1).all()
    np.testing.assert_allclose(np.linalg.norm(points.normals, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("faces", [np.empty((0, 3), int), np.array([[0, 0, 1], [2, 2, 2]])])
def test_a_mesh_without_surface_is_refused(faces: np.ndarray) -> None:
    with pytest.raises(InputError, match="has no surface"):
        sample_surface(SQUARE, faces, 10, generator())


def test_colours_come_from_the_vertices_between_their_values() -> None:
    colors = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]])
    mesh = Mesh(SQUARE, HALVES, colors=colors)
    points = sample_surface(mesh.vertices, mesh.faces, 200, generator())
    x, y = points.positions[:, 0], points.positions[:, 1]
    lower = points.faces == 0  # corners (0, 0), (1, 0), (1, 1): weights 1 - x, x - y, y
    wanted = np.stack([1 - x, x - y, y], axis=1)[lower]
    np.testing.assert_allclose(surface_colors(mesh, points)[lower], wanted, atol=1e-6)


def quarters() -> Mesh:
    """The square with a texture of 2 × 2 texels: red and green above, blue and white below."""
    texture = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    return Mesh(SQUARE, HALVES, colors=np.zeros((4, 3)), uvs=SQUARE[HALVES][..., :2], texture=texture)


def test_colours_come_from_the_texture_with_v_upwards() -> None:
    mesh = quarters()
    points = sample_surface(mesh.vertices, mesh.faces, 300, generator())
    right, top = points.positions[:, 0] > 0.5, points.positions[:, 1] > 0.5
    wanted = np.where(
        top[:, None],
        np.where(right[:, None], [0, 1, 0], [1, 0, 0]),
        np.where(right[:, None], [1, 1, 1], [0, 0, 1]),
    )
    np.testing.assert_allclose(surface_colors(mesh, points), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("place", "color"),
    [((0, 1), (1, 0, 0)), ((1, 1), (0, 1, 0)), ((0, 0), (0, 0, 1)), ((1, 0), (1, 1, 1)), ((2.25, -1.75), (0, 0, 1))],
)
def test_texture_corners_belong_to_the_texture_and_other_squares_repeat_it(
    place: tuple[float, float], color: tuple[int, int, int]
) -> None:
    mesh = quarters()
    flat = Mesh(mesh.vertices, mesh.faces, uvs=np.broadcast_to(place, (2, 3, 2)), texture=mesh.texture)
    points = sample_surface(flat.vertices, flat.faces, 5, generator())
    # Weights of single precision sum to 1 only nearly; the corners must bear that.
    np.testing.assert_allclose(surface_colors(flat, points), np.tile(color, (5, 1)), atol=1e-6)


def test_surfaces_of_unknown_colour_are_the_training_data_s_grey() -> None:
    mesh = Mesh(SQUARE, HALVES)
    colors = surface_colors(mesh, sample_surface(mesh.vertices, mesh.faces, 4, generator()))
    assert colors.shape == (4, 3) and colors.dtype == np.float32
    np.testing.assert_allclose(colors, srgb_to_linear(np.array(180 / 255)), atol=1e-6)
    assert pytest.approx(180 / 255) == UNKNOWN_SRGB
