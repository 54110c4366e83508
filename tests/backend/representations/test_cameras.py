"""Cameras on orbits: against the renderer's own frames, by hand, and back through the pinhole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from backend.data.rendering import frame
from backend.representations.cameras import FRAMED, RADIUS, Cameras, relative


def some() -> Cameras:
    return Cameras.framing(torch.tensor([0.0, 0.7, -2.5, 3.0]), torch.tensor([0.0, 0.4, -0.2, 1.2]))


def test_rotations_are_those_of_the_renderer() -> None:
    corners = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    cameras = some()
    for index in range(len(cameras)):
        framed = frame(
            corners,
            azimuth=float(cameras.azimuth[index]),
            elevation=float(cameras.elevation[index]),
            field_of_view=cameras.field_of_view,
        )
        np.testing.assert_allclose(cameras.rotations[index].numpy(), framed.rotation, atol=1e-6)


def test_from_the_front_right_is_x_and_up_is_z() -> None:
    front = some()[:1]
    np.testing.assert_allclose(front.origins.numpy(), [[0, -RADIUS, 0]], atol=1e-6)
    np.testing.assert_allclose(front.rotations[0].numpy(), [[1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-6)


def test_rays_pass_through_the_middles_of_their_pixels() -> None:
    size, cameras = 8, some()
    origins, directions = cameras.rays(size)
    assert origins.shape == directions.shape == (4, size, size, 3)
    np.testing.assert_allclose(directions.norm(dim=-1).numpy(), 1, atol=1e-6)
    points = origins + 2.5 * directions
    seen = torch.einsum("bhwj,bij->bhwi", points - cameras.origins[:, None, None], cameras.rotations)
    scale = size / 2 / math.tan(cameras.field_of_view / 2)
    column = size / 2 + scale * seen[..., 0] / seen[..., 2]
    row = size / 2 - scale * seen[..., 1] / seen[..., 2]
    middles = np.arange(size) + 0.5
    np.testing.assert_allclose(column.numpy(), np.broadcast_to(middles[None, None, :], column.shape), atol=1e-4)
    np.testing.assert_allclose(row.numpy(), np.broadcast_to(middles[None, :, None], row.shape), atol=1e-4)


def test_the_framed_sphere_touches_the_edge_of_the_picture() -> None:
    cameras = some()
    right, _, forward = cameras.rotations.unbind(dim=1)
    half = cameras.field_of_view / 2
    edge = math.sin(half) * right + math.cos(half) * forward
    nearest = torch.linalg.cross(cameras.origins, edge).norm(dim=1)
    np.testing.assert_allclose(nearest.numpy(), FRAMED, rtol=1e-5)


def test_relative_takes_the_short_way_round() -> None:
    start = Cameras.framing(torch.tensor([3.0]), torch.tensor([0.1]))
    end = Cameras(torch.tensor([-3.0]), torch.tensor([0.4]), torch.tensor([RADIUS + 1]))
    elevation, azimuth, radius = relative(start, end)
    assert float(elevation) == pytest.approx(0.3)
    assert float(azimuth) == pytest.approx(2 * math.pi - 6)
    assert float(radius) == pytest.approx(1, abs=1e-5)


def test_differing_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="must share one shape"):
        Cameras(torch.zeros(2), torch.zeros(3), torch.zeros(2))
