"""Parts with next to nothing between them become one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from backend.meshing.bridging import RADIUS, WIDEST_GAP, bridged
from backend.meshing.sparse_grid import DistanceGrid

CELLS = 96
AXIS = np.linspace(-1, 1, CELLS + 1, dtype=np.float32)
X, Y, Z = np.meshgrid(AXIS, AXIS, AXIS, indexing="ij")


def ball(x: float, radius: float, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return np.sqrt((X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2) - radius


def grid_of(values: np.ndarray, gradient: float = 1.0) -> DistanceGrid:
    return DistanceGrid((values * gradient).astype(np.float32), gradient, 0)


def parts(grid: DistanceGrid) -> int:
    return int(ndimage.label(grid.values < 0)[1])


@pytest.mark.parametrize("gradient", [1.0, 2.5])
def test_two_balls_with_a_hair_between_them_become_one(gradient: float) -> None:
    grid = grid_of(np.minimum(ball(-0.4, 0.39), ball(0.4, 0.39)), gradient)  # 0.02 apart
    made = bridged(grid, 0.01)
    assert parts(grid) == 2 and parts(made) == 1
    changed = np.argwhere(made.values != grid.values) * (2 / CELLS) - 1
    assert np.abs(changed[:, 0]).max() < 0.06 and np.abs(changed[:, 1:]).max() < 0.06
    assert (made.values <= grid.values).all()


def test_a_gap_that_is_wider_stays() -> None:
    gap = WIDEST_GAP + 2 * (2 / CELLS)
    grid = grid_of(np.minimum(ball(-0.4, 0.4 - gap / 2), ball(0.4, 0.4 - gap / 2)))
    assert bridged(grid, 0.01) is grid


def test_one_part_and_none_stay_as_they_are() -> None:
    for values in (ball(0, 0.5), ball(0, -0.1)):
        grid = grid_of(values)
        assert bridged(grid, 0.01) is grid


def test_a_string_of_beads_holds_what_hangs_on_it_and_specks_that_lead_nowhere_go_their_way() -> None:
    """Of the beads alone none has the share that is asked for; the ball at the end of the string has."""
    body, end, beads = ball(-0.5, 0.4), ball(0.6, 0.2), [ball(-0.5 + 0.42 + 0.07 * k, 0.03) for k in range(7)]
    speck = ball(-0.5, 0.03, y=0.45)
    together = np.minimum.reduce([body, end, *beads, speck])
    grid = grid_of(together)
    made = bridged(grid, 0.01)
    labels, _ = ndimage.label(made.values < 0)
    body_label, end_label, speck_label = (
        labels[tuple(np.rint((np.array(place) + 1) * CELLS / 2).astype(int))]
        for place in ((-0.5, 0, 0), (0.6, 0, 0), (-0.5, 0.45, 0))
    )
    assert body_label == end_label != 0
    assert speck_label not in (0, body_label)


def test_bridges_follow_the_least_distance_around_a_corner() -> None:
    """Beside a straight gap of 0.024 the field has a groove around the corner where it is nearly zero."""
    two = np.minimum(ball(-0.35, 0.338), ball(0.35, 0.338))
    groove = np.maximum(np.abs(np.hypot(X, Y - 0.12) - 0.1), np.abs(Z)) + 0.001
    grid = grid_of(np.minimum(two, np.where(two > 0.002, groove, two)))
    made = bridged(grid, 0.01)
    changed = np.argwhere((made.values < 0) & (grid.values >= 0)) * (2 / CELLS) - 1
    assert parts(made) == 1
    assert np.abs(np.hypot(changed[:, 0], changed[:, 1] - 0.12) - 0.1).max() < RADIUS + 2 * (2 / CELLS)
