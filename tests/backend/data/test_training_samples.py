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
)
from backend.data.volume import SHEET_HALF_THICKNESS


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


def test_a_sheet_has_an_inside_as_thick_as_it_is(archive: Archive) -> None:
    distances = sample_shape(archive[2], np.random.default_rng(0)).query_distances
    assert (distances < 0).any() and distances.min() >= np.float16(-SHEET_HALF_THICKNESS)


def test_the_same_generator_gives_the_same_samples(archive: Archive) -> None:
    first, again, other = (sample_shape(archive[1], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.query_positions == again.query_positions).all()
    assert (first.query_distances == again.query_distances).all()
    assert (first.surface_positions != other.surface_positions).any()
