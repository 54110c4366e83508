"""The picture's volume: a blob put where a point of the object is must be seen where cameras see that point."""

from __future__ import annotations

import math

import pytest
import torch

from backend.kernels.volume_rendering import CHANNELS
from backend.models.view_diffusion import over_white
from backend.models.view_volume import DEPTH, RESOLUTION, EncodedPicture, composite, frustum_places, frustum_points
from backend.representations.cameras import Cameras

ELEVATION = torch.tensor([0.3])
WINDOW = torch.tensor([[0.05, -0.1, math.log(0.7)]])


def encoded_with_blob(point: torch.Tensor) -> EncodedPicture:
    """A dense red blob of radius 0.2 about a point (3,) of model space."""
    axes = (DEPTH, RESOLUTION, RESOLUTION)
    depth, up, across = torch.meshgrid(*((torch.arange(n) + 0.5) * 2 / n - 1 for n in axes), indexing="ij")
    grid = torch.stack([across, up, depth], dim=-1)
    middle = frustum_places(point[None, None], WINDOW, ELEVATION)[0, 0]
    volume = torch.zeros(1, *axes, CHANNELS)
    scale = torch.tensor([1.0, 1.0, 1.4])  # a cell is longer in depth
    volume[0, ..., 0] = 60 * (((grid - middle) / scale).norm(dim=-1) < 0.2)
    volume[0, ..., 1] = 1
    nothing = torch.zeros(1)
    return EncodedPicture(volume, WINDOW, nothing, nothing)


@pytest.mark.parametrize("point", [(0.0, 0.0, 0.0), (0.5, -0.3, 0.2), (-0.4, 0.4, -0.3)])
def test_a_point_is_seen_where_each_camera_sees_it(point: tuple[float, float, float]) -> None:
    place = torch.tensor(point)
    cameras = Cameras.framing(torch.tensor([0.0, 0.9, -2.0, math.pi]), torch.tensor([0.3, 0.0, 0.5, 0.2]))
    seen = composite(encoded_with_blob(place), WINDOW, ELEVATION, cameras)
    assert seen.shape == (4, CHANNELS, RESOLUTION, RESOLUTION)
    steps = (torch.arange(RESOLUTION) + 0.5) * 2 / RESOLUTION - 1
    mass = seen[:, 0].sum(dim=(1, 2))
    assert (mass > 5).all() and (seen[:, 0] <= 1.0001).all()
    found = (
        torch.stack([(seen[:, 0].sum(1) * steps).sum(1), -(seen[:, 0].sum(2) * steps).sum(1)], dim=1) / mass[:, None]
    )
    local = torch.einsum("bij,bj->bi", cameras.rotations, place - cameras.origins)
    wanted = local[:, :2] / (local[:, 2:] * math.tan(cameras.field_of_view / 2))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.04)
    torch.testing.assert_close(seen[:, 1], seen[:, 0])


def test_the_window_is_what_the_frustum_is_cut_to() -> None:
    """The corner of the window, at the origin's depth, is the volume's corner."""
    camera = Cameras.framing(torch.zeros(1), ELEVATION)
    half = math.tan(camera.field_of_view / 2) * camera.radius[0]
    corner = torch.stack([half * (WINDOW[0, 0] + 0.7), half * (WINDOW[0, 1] - 0.7), camera.radius[0]])
    point = camera.origins[0] + corner @ camera.rotations[0]
    places = frustum_places(point[None, None], WINDOW, ELEVATION)
    torch.testing.assert_close(places[0, 0], torch.tensor([1.0, -1.0, 0.0]), rtol=0, atol=1e-5)


def test_places_and_points_are_inverse() -> None:
    places = torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    points = frustum_points(places, WINDOW, ELEVATION)
    torch.testing.assert_close(frustum_places(points, WINDOW, ELEVATION), places, rtol=0, atol=1e-5)


def test_what_nothing_covers_is_white() -> None:
    seen = torch.zeros(1, CHANNELS, 2, 2)
    seen[0, :2, 0, 0] = 1  # opaque red
    image = over_white(seen)
    assert image[0, :, 0, 0].tolist() == [1, -1, -1, 1]
    assert image[0, :, 1, 1].tolist() == [1, 1, 1, -1]
