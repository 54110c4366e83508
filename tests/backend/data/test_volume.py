"""backend.data.volume: what of a mesh is a wall, a sheet, or buried, and the signed distance that follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.data.volume import PIECE, SHEET_HALF_THICKNESS, Volume, connected_parts, cut, normals_and_areas
from backend.errors import InputError
from backend.kernels import Grid

LOW, HIGH = np.array([-0.8, -0.5, -0.3]), np.array([0.8, 0.4, 0.6])
POINTS = np.random.default_rng(0).uniform(-1, 1, (400, 3)).astype(np.float32)


def exact_box_distance(points: np.ndarray, low: np.ndarray = LOW, high: np.ndarray = HIGH) -> np.ndarray:
    """Signed distance to a box, in closed form."""
    beyond = np.maximum(low - points, points - high)
    return np.linalg.norm(beyond.clip(0), axis=1) + beyond.max(1).clip(max=0)


def distances(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray = POINTS) -> np.ndarray:
    return Volume.of(vertices, faces).at_points(torch.from_numpy(points.astype(np.float32))).numpy()


def strip(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A part of a cylinder along x, radius 0.5, without ends: bent quads between the angles."""
    ends = [[x, 0.5 * np.cos(angle), 0.5 * np.sin(angle)] for angle in angles for x in (-0.9, 0.9)]
    first = 2 * np.arange(len(angles) - 1)[:, None]
    return np.array(ends), np.concatenate([first + np.array([0, 2, 1]), first + np.array([1, 2, 3])])


def test_a_closed_solid_is_exact(box) -> None:
    vertices, faces = box(LOW, HIGH)
    volume = Volume.of(vertices, faces)
    assert len(volume.sheets) == 0
    np.testing.assert_allclose(distances(vertices, faces), exact_box_distance(POINTS), atol=1e-6)


def test_a_grid_holds_what_its_nodes_as_points_do(box) -> None:
    vertices, faces = box(LOW, HIGH)
    plate = np.array([[-0.4, -0.3, 0.9], [0.4, -0.3, 0.9], [0.4, 0.3, 0.9]])
    volume = Volume.of(np.concatenate([vertices, plate]), np.concatenate([faces, [[8, 9, 10]]]))
    grid = Grid.cube(16, 0.97)
    nodes = torch.from_numpy(grid.points().astype(np.float32))
    exact = volume.at_points(nodes).reshape(grid.shape)
    torch.testing.assert_close(volume.on_grid(grid, band=None), exact, atol=1e-5, rtol=0)
    banded = volume.on_grid(grid, band=2.0)
    assert torch.equal(banded < 0, exact < 0)
    near = exact.abs() < 1.9 * grid.spacing
    torch.testing.assert_close(banded[near], exact[near], atol=1e-5, rtol=0)


def test_a_solid_wound_inwards_is_the_same_solid(box) -> None:
    vertices, faces = box(LOW, HIGH)
    np.testing.assert_allclose(distances(vertices, faces[:, ::-1]), exact_box_distance(POINTS), atol=1e-6)


def test_faces_given_twice_change_nothing(box) -> None:
    vertices, faces = box(LOW, HIGH)
    doubled = np.concatenate([faces, faces[::2]])
    np.testing.assert_allclose(distances(vertices, doubled), exact_box_distance(POINTS), atol=1e-6)


def test_what_lies_within_another_solid_is_no_surface(box) -> None:
    first, faces = box((-0.8, -0.4, -0.4), (0.3, 0.4, 0.4))
    second, _ = box((-0.3, -0.4, -0.4), (0.8, 0.4, 0.4))
    vertices, both = np.concatenate([first, second]), np.concatenate([faces, faces + 8])
    ours = distances(vertices, both)
    wanted = exact_box_distance(POINTS, np.array([-0.8, -0.4, -0.4]), np.array([0.8, 0.4, 0.4]))
    assert ((ours < 0) == (wanted < 0)).all()
    # Faces are cut into pieces, so a joint is known to the length of a piece.
    np.testing.assert_allclose(ours, wanted, atol=PIECE)
    assert np.abs(ours - wanted).mean() < 0.002
    assert Volume.of(vertices, both).at_points(torch.tensor([[0.29, 0.0, 0.0]])).item() == pytest.approx(-0.4, abs=1e-5)


def test_a_small_hole_does_not_let_the_inside_out(box) -> None:
    vertices, faces = box(LOW, HIGH)
    center = (LOW + HIGH) / 2
    # The top is left open but for a rim: its two faces become eight around a hole of a fifth of its width.
    top = (faces % 2 == 1).all(1)
    outer = np.array([1, 5, 7, 3])  # the corners of the top, counter-clockwise from above
    inner = center + (vertices[outer] - center) * [0.2, 0.2, 1]
    ring = [(outer[i], outer[(i + 1) % 4], 8 + (i + 1) % 4, 8 + i) for i in range(4)]
    rim = [face for a, b, c, d in ring for face in ((a, b, c), (a, c, d))]
    opened = np.concatenate([faces[~top], rim])
    points = POINTS[np.abs(exact_box_distance(POINTS)) > 0.1]
    ours = distances(np.concatenate([vertices, inner]), opened, points)
    assert ((ours < 0) == (exact_box_distance(points) < 0)).mean() > 0.98


def test_a_house_without_a_floor_is_solid(box) -> None:
    vertices, faces = box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    floor = (faces % 2 == 0).all(1)
    points = POINTS[np.abs(POINTS[:, 2]) < 0.4]
    ours = distances(vertices, faces[~floor], points)
    assert ((ours < 0) == (np.abs(points) < 0.5).all(1)).mean() > 0.98


def test_a_sheet_becomes_a_plate() -> None:
    square = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    points = np.array([[0.1, 0.2, 0.005], [0.1, 0.2, -0.005], [0, 0, 0.02], [0.6, 0, 0]])
    ours = distances(square, np.array([[0, 1, 2], [0, 2, 3]]), points)
    np.testing.assert_allclose(ours, np.array([0.005, 0.005, 0.02, 0.1]) - SHEET_HALF_THICKNESS, atol=1e-6)


@pytest.mark.parametrize("turned", [np.pi, 0.7 * np.pi])
def test_a_bent_sheet_is_not_filled(turned: float) -> None:
    """In the hollow of a half-pipe more than half of all directions meet the sheet: winding numbers alone fill it."""
    vertices, faces = strip(np.linspace(0, turned, 17))
    hollow = np.array([[0, 0, 0.3], [0.3, 0, 0.4], [0, 0.1, 0.3]])
    radius = np.linalg.norm(hollow[:, 1:], axis=1)
    ours = distances(vertices, faces, hollow)
    np.testing.assert_allclose(ours, 0.5 - radius - SHEET_HALF_THICKNESS, atol=0.01)


def test_a_tube_s_wall_is_solid_and_its_hollow_is_not() -> None:
    outer, _ = strip(np.linspace(0, 2 * np.pi, 25)[:-1])
    ring = 2 * np.arange(24)[:, None]
    following = (ring + 2) % 48
    around = np.concatenate([np.hstack([ring, following, ring + 1]), np.hstack([ring + 1, following, following + 1])])
    inner = outer * [1, 0.8, 0.8]
    ends = [
        np.hstack(side)
        for start in (0, 1)
        for side in (
            (ring + start, ring + start + 48, following + start),
            (following + start, ring + start + 48, following + start + 48),
        )
    ]
    vertices, closed = np.concatenate([outer, inner]), np.concatenate([around, around + 48, *ends])
    points = np.array([[0, 0, 0], [0.2, 0, 0.45], [0, 0.3, 0]])
    assert (np.sign(distances(vertices, closed, points)) == [1, -1, 1]).all()


def test_nothing_but_degenerate_faces_is_refused() -> None:
    with pytest.raises(InputError):
        Volume.of(np.zeros((3, 3)), np.array([[0, 1, 2]]))


def test_cutting_keeps_the_surface() -> None:
    corners = np.random.default_rng(1).uniform(-1, 1, (20, 3, 3))
    pieces, face = cut(corners, 0.3)
    assert max(np.linalg.norm(pieces - np.roll(pieces, -1, axis=1), axis=2).ravel()) <= 0.3
    normals, areas = normals_and_areas(corners)
    piece_normals, piece_areas = normals_and_areas(pieces)
    np.testing.assert_allclose(np.bincount(face, piece_areas), areas)
    np.testing.assert_allclose(piece_normals, normals[face], atol=1e-9)


def test_parts_are_told_apart_by_their_vertices() -> None:
    part = connected_parts(np.array([[0, 1, 2], [5, 6, 7], [2, 3, 4], [7, 8, 9]]))
    assert part[0] == part[2] and part[1] == part[3] and part[0] != part[1]


def test_the_surface_is_all_that_can_be_seen(box) -> None:
    vertices, faces = box(LOW, HIGH)
    inner, _ = box(LOW / 2, HIGH / 2)
    volume = Volume.of(np.concatenate([vertices, inner]), np.concatenate([faces, faces + 8]))
    corners = volume.surface[0][volume.surface[1]]
    assert normals_and_areas(corners)[1].sum() == pytest.approx(normals_and_areas(vertices[faces])[1].sum(), rel=1e-5)


def test_a_wing_thinner_than_a_plate_is_one_and_the_body_beside_it_stays_exact(box) -> None:
    body_low, body_high = np.array([-0.3, -0.3, -0.3]), np.array([0.3, 0.3, 0.3])
    wing_low, wing_high = np.array([0.4, -0.3, -0.002]), np.array([0.9, 0.3, 0.002])
    (body, faces), (wing, _) = box(body_low, body_high), box(wing_low, wing_high)
    vertices, both = np.concatenate([body, wing]), np.concatenate([faces, faces + 8])
    above = np.array([[0.6, 0.0, 0.0], [0.6, 0.0, 0.005], [0.6, 0.0, 0.012], [0.0, 0.0, 0.1]])
    wanted = [-0.002 - (SHEET_HALF_THICKNESS - 0.004), 0.003 - SHEET_HALF_THICKNESS, 0.01 - SHEET_HALF_THICKNESS, -0.2]
    np.testing.assert_allclose(distances(vertices, both, above), wanted, atol=1e-6)
    thicker, _ = box(wing_low * [1, 1, 5], wing_high * [1, 1, 5])
    assert len(Volume.of(thicker, faces).sheets) == 0
