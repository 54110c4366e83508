"""Grids of distances: read between their cells, and made of clouds of points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.data.distance_grids import SATURATION
from backend.representations.cloud_grid import distance_grid_of_cloud
from backend.representations.distance_grid_field import DistanceGridField


def centres(resolution: int = 64) -> torch.Tensor:
    axis = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def test_a_plane_is_read_back_exactly_at_the_cells_and_nearly_between_them():
    normal = torch.tensor([0.36, 0.48, 0.8])
    field = DistanceGridField(torch.tanh((centres() @ normal - 0.1) / SATURATION))
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2000, 3, generator=generator) * 1.8 - 0.9
    expected = points @ normal - 0.1
    near = expected.abs() < SATURATION
    torch.testing.assert_close(field.signed_distance(points)[near], expected[near], atol=4e-3, rtol=0)
    at = centres()[10, 40, 30][None]
    torch.testing.assert_close(field.signed_distance(at), (at @ normal - 0.1).clamp(-0.3, 0.3), atol=1e-4, rtol=0)
    assert field.color(points).shape == (2000, 3)


@pytest.mark.parametrize("count", [600, 2000, 8000])
def test_points_of_a_ball_are_the_ball(count):
    directions = np.random.default_rng(0).normal(size=(count, 3))
    points = 0.7 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    grid = distance_grid_of_cloud(points)
    radius = np.linalg.norm(centres().numpy(), axis=-1)
    inside = grid < 0
    volume = inside.sum() * (2 / 64) ** 3
    spacing = np.sqrt(4 * np.pi * 0.7**2 / count)
    assert inside[radius < 0.6].all() and not inside[radius > 0.7 + max(spacing, 0.045)].any()
    assert volume == pytest.approx(4 / 3 * np.pi * (0.7 + 0.4 * spacing) ** 3, rel=0.15)


def test_points_of_a_sheet_have_two_sides():
    generator = np.random.default_rng(0)
    points = np.concatenate([generator.uniform(-0.7, 0.7, (3000, 2)), np.zeros((3000, 1))], axis=1)
    grid = distance_grid_of_cloud(points)
    middle = np.abs(centres().numpy()[..., :2]).max(-1) < 0.6
    z = centres().numpy()[..., 2]
    assert (grid[middle & (np.abs(z) < 0.02)] < 0).mean() > 0.95
    assert (grid[middle & (np.abs(z) > 0.12)] > 0).all()
