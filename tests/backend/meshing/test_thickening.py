"""Holes that a hair would close are closed; true ones stay, and so does everything that has none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backend.meshing.mesh_from_field import surface_from_field
from backend.meshing.sparse_grid import DistanceGrid, sample_distance_grid
from backend.meshing.thickening import THICKENINGS, parts_and_tunnels, thickened
from backend.meshing.topology import connected_parts

from .exact_fields import Distance, ExactField, box, sphere, torus, union, without

SHEET = box((0.7, 0.7, 0.03))


def pierced_by_a_hair(points: np.ndarray, above: float = 0.003) -> np.ndarray:
    """A sheet that is `above` the surface in nine discs of it, where a true hole would be far above."""
    x, y = points[:, 0] + 0.6, points[:, 1] + 0.6
    discs = np.hypot((x % 0.4) - 0.2, (y % 0.4) - 0.2) < 0.08
    within = (np.abs(points[:, :2]) < 0.6).all(axis=1)
    return np.where(discs & within, np.maximum(SHEET(points), above), SHEET(points))


def holed(radius: float) -> Distance:
    return without(SHEET, lambda points: np.hypot(points[:, 0], points[:, 1]) - radius)


def genus(vertices: np.ndarray, faces: np.ndarray) -> int:
    parts = int(connected_parts(faces).max()) + 1
    return (2 * parts - (len(vertices) - len(faces) // 2)) // 2


def grid_of(distance: Distance, detail: int = 64) -> DistanceGrid:
    return sample_distance_grid(ExactField(distance), detail)


def test_a_pierced_sheet_is_whole_again_at_the_least_thickening_that_does_it() -> None:
    grid = grid_of(pierced_by_a_hair)
    assert parts_and_tunnels(grid.values < 0) == 10
    made = thickened(grid)
    assert parts_and_tunnels(made.values < 0) == 1
    np.testing.assert_allclose((grid.values - made.values) / grid.gradient, THICKENINGS[1], atol=1e-6)


def test_only_a_mesh_that_is_to_be_sound_is_thickened() -> None:
    field = ExactField(pierced_by_a_hair)
    assert genus(*surface_from_field(field, detail=64, face_count=4000)) == 9
    closed = surface_from_field(field, detail=64, face_count=4000, close_holes=True)
    assert genus(*closed) == 0
    assert np.ptp(closed[0][:, 2]) == pytest.approx(0.06 + 2 * THICKENINGS[1], abs=2e-3)


@pytest.mark.parametrize(
    "distance", [sphere(0.5), torus(), holed(0.1), union(sphere(0.3, (-0.5, 0, 0)), sphere(0.3, (0.5, 0, 0)))]
)
def test_true_holes_and_parts_stay_to_the_last_bit(distance: Callable[[np.ndarray], np.ndarray]) -> None:
    grid = grid_of(distance)
    assert thickened(grid) is grid


def test_betti_numbers_of_known_solids() -> None:
    solid = np.zeros((12, 12, 12), bool)
    assert parts_and_tunnels(solid) == 0
    solid[1:8, 1:8, 1:8] = True
    assert parts_and_tunnels(solid) == 1
    solid[3:5, 3:5, 3:5] = False  # a cavity is neither
    assert parts_and_tunnels(solid) == 1
    solid[6, 6, :] = False
    assert parts_and_tunnels(solid) == 2
    solid[2, :, 6] = False
    assert parts_and_tunnels(solid) == 3
    solid[10, 10, 10] = True
    assert parts_and_tunnels(solid) == 4
    solid[9, 9, 10] = True  # an edge in common does not join
    assert parts_and_tunnels(solid) == 5
