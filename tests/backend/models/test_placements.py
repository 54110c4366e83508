from __future__ import annotations

import numpy as np
import torch

from backend.models.observation import Observation, UnknownBox
from backend.models.part_completion import part_of
from backend.models.placements import PlacedField, Placement, placements

NOTHING = np.zeros((0, 3), np.float32), np.zeros(0, np.float32)


def cloud(low: tuple[float, ...], high: tuple[float, ...]) -> np.ndarray:
    points = np.random.default_rng(0).uniform(low, high, (500, 3)).astype(np.float32)
    points[0], points[1] = low, high
    return points


def test_a_box_is_taken_to_be_filled_more_or_less() -> None:
    """The right half is missing, and the box is a tenth larger than that half."""
    surface = cloud((-0.9, -0.5, -0.5), (0, 0.5, 0.5))
    box = UnknownBox(np.array([0, -0.5, -0.5]), np.array([1.0, 0.5, 0.5]))
    found = placements(Observation(surface, None, 0.0, *NOTHING, unknown=box))
    ends = [(0.9 - place.offset[0]) / place.scale for place in found]
    assert len(found) == 4 and max(ends) <= 1.0 + 1e-6 and min(ends) > 0.7
    assert min(abs(end - 0.9) for end in ends) < 0.02, "one of them is right"
    for place in found:
        moved = place.apply(surface)
        np.testing.assert_allclose(moved[:, 0].min(), -0.9, atol=1e-6)  # the known end stays at the whole's end
        np.testing.assert_allclose(moved[:, 1:].min(axis=0), -moved[:, 1:].max(axis=0), atol=1e-6)


def test_the_far_side_of_a_scan_lies_behind_what_is_seen() -> None:
    surface = cloud((-0.4, -0.45, -0.4), (0.4, -0.35, 0.4))
    normals = np.tile(np.array([0, -1, 0], np.float32), (500, 1))  # seen from the front
    middles = []
    for place in placements(Observation(surface, None, 0.0, *NOTHING, normals=normals)):
        moved = place.apply(surface)
        assert np.abs(moved).max() <= 0.9 + 1e-6
        middles.append(moved[:, 1].mean())
        np.testing.assert_allclose(moved[:, ::2].min(axis=0), -moved[:, ::2].max(axis=0), atol=1e-6)
    assert all(middle < 0 for middle in middles), "the whole's middle is farther back"
    assert len(set(np.round(middles, 3))) == len(middles)


def test_points_without_normals_are_all_there_is() -> None:
    for place in placements(Observation(cloud((-0.2, -0.3, 0.1), (0.2, 0.3, 0.4)), None, 0.0, *NOTHING)):
        moved = place.apply(cloud((-0.2, -0.3, 0.1), (0.2, 0.3, 0.4)))
        np.testing.assert_allclose(moved.min(axis=0), -moved.max(axis=0), atol=1e-6)
        np.testing.assert_allclose(np.abs(moved).max(), 0.9, atol=1e-6)


def test_a_placed_field_has_the_observation_s_places_and_unit() -> None:
    class Ball:
        def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
            return points.norm(dim=1) - 0.8

        def color(self, points: torch.Tensor) -> torch.Tensor:
            return points

    placed = PlacedField(Ball(), Placement(2.0, np.array([0.2, 0.0, 0.0])))
    points = torch.tensor([[-0.1, 0.0, 0.0], [0.3, 0.0, 0.0], [-0.1, 0.0, 0.6]])
    torch.testing.assert_close(placed.signed_distance(points), torch.tensor([-0.4, 0.0, 0.2]))
    torch.testing.assert_close(placed.color(points)[2], torch.tensor([0.0, 0.0, 1.2]))


def test_the_prior_is_told_what_is_known_and_what_is_not() -> None:
    surface = cloud((-0.9, -0.9, -0.9), (-0.05, 0.9, 0.9))
    colors = np.tile(np.array([1.0, 0.0, 0.0], np.float32), (500, 1))
    box = UnknownBox(np.array([0, -1.0, -1.0]), np.array([1.0, 1.0, 1.0]))
    part = part_of(Observation(surface, colors, 0.0, *NOTHING, unknown=box), Placement(1.0, np.zeros(3)))[0]
    assert part.shape == (11, 16, 16, 16)
    assert (part[0, 8:] == 1).all() and (part[0, :8] == 0).all()
    filled = part[1] > 0
    assert filled[:8].any() and not filled[8:].any()
    torch.testing.assert_close(part[8:, filled].T, torch.tensor([1.0, -1.0, -1.0]).expand(int(filled.sum()), -1))
    assert (part[5:8] == 0).all(), "there were no normals"
    moved = part_of(Observation(surface, colors, 0.0, *NOTHING, unknown=box), Placement(0.5, np.array([0.5, 0, 0])))[0]
    assert (moved[0, 12:, 4:12, 4:12] == 1).all() and (moved[0, :11] == 0).all()
    scan = part_of(Observation(surface, None, 0.0, *NOTHING), Placement(1.0, np.zeros(3)))[0]
    assert ((scan[0] == 1) == (scan[1] == 0)).all()
