"""backend.data.sampling: what the auto-encoder learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.data.archive import Archive
from backend.data.sampling import (
    BAND_POINTS,
    NEAR_DEVIATION,
    NEAR_POINTS,
    QUERY_POINTS,
    SURFACE_POINTS,
    sample_shape,
    signed_distance,
)
from backend.data.surface import SHEET_HALF_THICKNESS

LOW, HIGH = np.array([-0.8, -0.5, -0.3]), np.array([0.8, 0.4, 0.6])
POINTS = np.random.default_rng(0).uniform(-1, 1, (400, 3))


def exact_box_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance to the box, in closed form."""
    beyond = np.maximum(LOW - points, points - HIGH)
    return np.linalg.norm(beyond.clip(0), axis=1) + beyond.max(1).clip(max=0)


def test_distance_to_a_closed_solid_is_exact(box) -> None:
    vertices, faces = box(LOW, HIGH)
    ours = signed_distance(vertices, faces, POINTS)
    assert ours.dtype == np.float64 and (ours < 0).any() and (ours > 0).any()
    np.testing.assert_allclose(ours, exact_box_distance(POINTS), atol=1e-9)


def test_a_solid_wound_inwards_is_the_same_solid(box) -> None:
    vertices, faces = box(LOW, HIGH)
    inverted = np.ascontiguousarray(faces[:, ::-1])
    np.testing.assert_allclose(signed_distance(vertices, inverted, POINTS), exact_box_distance(POINTS), atol=1e-9)


def test_faces_given_twice_change_nothing(box) -> None:
    vertices, faces = box(LOW, HIGH)
    doubled = np.concatenate([faces, faces[::2]])
    np.testing.assert_allclose(signed_distance(vertices, doubled, POINTS), exact_box_distance(POINTS), atol=1e-9)


def test_overlapping_solids_are_their_union_on_the_outside(box) -> None:
    first, faces = box((-0.8, -0.4, -0.4), (0.2, 0.4, 0.4))
    second, _ = box((-0.2, -0.4, -0.4), (0.8, 0.4, 0.4))
    vertices, both = np.concatenate([first, second]), np.concatenate([faces, faces + 8])
    ours = signed_distance(vertices, both, POINTS)
    inside = (np.abs(POINTS) < [0.8, 0.4, 0.4]).all(1)
    assert ((ours < 0) == inside).all()


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
    ours = signed_distance(np.concatenate([vertices, inner]), opened, points)
    assert ((ours < 0) == (exact_box_distance(points) < 0)).mean() > 0.98


def test_a_sheet_becomes_a_slab() -> None:
    square = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    points = np.array([[0.1, 0.2, 0.005], [0.1, 0.2, -0.005], [0, 0, 0.02], [0.6, 0, 0]])
    ours = signed_distance(square, faces, points, half_thickness=0.008)
    np.testing.assert_allclose(ours, [-0.003, -0.003, 0.012, 0.092], atol=1e-9)


@pytest.fixture
def archive(write_archive, tmp_path: Path) -> Archive:
    return Archive(write_archive(tmp_path / "tiny.zip"))


def test_samples_have_their_shapes_types_and_order(archive: Archive) -> None:
    table = archive[0]
    samples = sample_shape(table, np.random.default_rng(0))
    assert samples.surface_positions.shape == (SURFACE_POINTS, 3) and samples.surface_positions.dtype == np.float16
    assert samples.surface_normals.shape == (SURFACE_POINTS, 3) and samples.surface_normals.dtype == np.int8
    assert samples.surface_colors.shape == (SURFACE_POINTS, 3) and samples.surface_colors.dtype == np.uint8
    assert samples.query_positions.shape == (QUERY_POINTS, 3) and samples.query_positions.dtype == np.float16
    assert samples.query_distances.shape == (QUERY_POINTS,) and samples.query_distances.dtype == np.float16
    assert (samples.surface_colors == (110, 70, 30)).all()
    normals = samples.surface_normals.astype(int)
    assert (np.abs(normals).sum(1) == 127).all(), "a box's normals are along the axes"
    distance = np.abs(samples.query_distances.astype(float))
    near, band = distance[:NEAR_POINTS], distance[NEAR_POINTS : NEAR_POINTS + BAND_POINTS]
    uniform = samples.query_positions[NEAR_POINTS + BAND_POINTS :].astype(float)
    assert np.quantile(near, 0.99) < 3 * NEAR_DEVIATION
    assert near.mean() < band.mean() < distance[NEAR_POINTS + BAND_POINTS :].mean()
    np.testing.assert_allclose(uniform.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(uniform.std(0), 1 / np.sqrt(3), atol=0.02)


def test_stored_distances_belong_to_the_stored_positions(archive: Archive) -> None:
    table = archive[0]
    samples = sample_shape(table, np.random.default_rng(0))
    points = samples.query_positions.astype(np.float64)
    half = table.vertices.max(0)
    beyond = np.abs(points) - half
    exact = np.linalg.norm(beyond.clip(0), axis=1) + beyond.max(1).clip(max=0)
    np.testing.assert_allclose(samples.query_distances.astype(float), exact, atol=6e-4)  # half a unit of float16
    assert (np.abs(points) <= 1).all()


def test_only_meshes_that_are_not_watertight_are_thickened(archive: Archive) -> None:
    sheet = sample_shape(archive[2], np.random.default_rng(0))
    at_surface = signed_distance(
        archive[2].vertices,
        archive[2].faces,
        sheet.surface_positions.astype(np.float64),
        half_thickness=SHEET_HALF_THICKNESS,
    )
    np.testing.assert_allclose(at_surface, -SHEET_HALF_THICKNESS, atol=1e-3)
    assert (sheet.query_distances < 0).any() and sheet.query_distances.min() >= np.float16(-SHEET_HALF_THICKNESS)


def test_the_same_generator_gives_the_same_samples(archive: Archive) -> None:
    first, again, other = (sample_shape(archive[1], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.query_positions == again.query_positions).all()
    assert (first.query_distances == again.query_distances).all()
    assert (first.surface_positions != other.surface_positions).any()
