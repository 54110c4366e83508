"""Fields as cameras see them, what they start from, and what they are asked by meshing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from backend.color import srgb_to_linear
from backend.meshing.mesh_from_field import mesh_from_field
from backend.meshing.validity import is_manifold, is_watertight
from backend.representations.cameras import RADIUS, Cameras
from backend.representations.initial_fields import (
    ball,
    cloud,
    field_of_density,
    field_of_shape,
    field_of_silhouettes,
    grid_nodes,
    true_distances,
)
from backend.representations.radiance_field import DensityField, SignedDistanceField
from backend.representations.views import Views
from tests.backend.meshing.exact_fields import ExactField, box, sphere

CELLS, SIZE, BALL = 32, 32, 0.6


def around(count: int) -> Cameras:
    steps = torch.arange(count) / count
    return Cameras.framing(2 * math.pi * steps, torch.asin(1.6 * ((steps * 7) % 1) - 0.8))


def exact_alpha(cameras: Cameras, size: int, radius: float) -> torch.Tensor:
    """Where rays meet a ball about the origin, (B, size, size)."""
    origins, directions = cameras.rays(size)
    return (torch.linalg.cross(origins, directions).norm(dim=-1) < radius).float()


def pictures_of_ball(cameras: Cameras, size: int) -> Views:
    """A ball whose colour is that of the place: red along x, green along y, blue along z."""
    origins, directions = cameras.rays(size)
    along = (origins * directions).sum(dim=-1)
    inner = along.square() - origins.square().sum(dim=-1) + BALL**2
    places = origins + (-along - inner.clamp(min=0).sqrt())[..., None] * directions
    color = torch.where(inner[..., None] > 0, (places + 1) / 2, 0)
    return Views.alike(torch.cat([color, (inner[..., None] > 0).float()], dim=-1).contiguous(), cameras)


def test_a_ball_renders_as_a_disc_with_the_depth_of_its_surface() -> None:
    cameras = around(3)
    field = ball(CELLS, radius=BALL).sharpened(200.0)
    render = field.render(cameras, SIZE, supersampling=2)
    alpha = exact_alpha(cameras, 4 * SIZE, BALL).view(3, SIZE, 4, SIZE, 4).mean(dim=(2, 4))
    assert float((render.opacity[:, 0] - alpha).abs().mean()) < 0.01
    middle = render.depth[:, 0, SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1].mean(dim=(1, 2))
    np.testing.assert_allclose(middle.numpy(), RADIUS - BALL, atol=0.02)
    corner = render.over(1.0)[:, :, 0, 0]
    assert torch.equal(corner, torch.ones_like(corner)), "white is what is behind"


def test_depth_color_and_opacity_are_pixels_means_over_their_rays() -> None:
    cameras, field = around(1), ball(CELLS, radius=BALL)
    fine, coarse = field.render(cameras, 2 * SIZE), field.render(cameras, SIZE, supersampling=2)
    for name in ("color", "opacity", "depth"):
        wanted = torch.nn.functional.avg_pool2d(getattr(fine, name), 2)
        np.testing.assert_allclose(getattr(coarse, name).numpy(), wanted.numpy(), atol=1e-6)


def test_normals_are_radial_on_a_ball() -> None:
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    normals = ball(CELLS, radius=BALL).normals(BALL * directions)
    assert float((normals * directions).sum(dim=1).min()) > 0.99


def test_a_cell_without_anything_is_not_occupied_and_the_surface_is() -> None:
    field = ball(CELLS, radius=BALL).sharpened(60.0)
    middles = torch.linspace(-1, 1, CELLS + 1)[:-1] + 1 / CELLS
    far = torch.cartesian_prod(middles, middles, middles).norm(dim=1).view((CELLS,) * 3)
    occupied = field.occupied()
    assert occupied[(far - BALL).abs() < 0.05].all()
    assert not occupied[(far - BALL).abs() > 0.4].any()


def test_color_is_linear_and_distance_is_the_grids() -> None:
    values = grid_nodes(4).sum(dim=1).view(5, 5, 5)
    field = SignedDistanceField(values, torch.full((5, 5, 5, 3), 0.5), 10.0)
    points = torch.tensor([[0.1, 0.2, -0.4], [0.9, -0.9, 0.3]])
    np.testing.assert_allclose(field.signed_distance(points).numpy(), points.sum(dim=1).numpy(), atol=1e-6)
    np.testing.assert_allclose(field.color(points).numpy(), srgb_to_linear(np.full((2, 3), 0.5)), atol=1e-6)


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="colors"):
        DensityField(torch.zeros(4, 4, 4), torch.zeros(5, 5, 5, 3))


def test_true_distances_keep_the_surface_and_undo_any_scale() -> None:
    exact = sphere(BALL)(grid_nodes(CELLS).numpy().astype(np.float64)).reshape((CELLS + 1,) * 3)
    stretched = np.where(exact < 0, 0.3, 0.5) * exact
    found = true_distances(stretched)
    assert np.abs(found - exact).max() < 2 / CELLS
    assert ((found < 0) == (exact < 0)).all()


def test_field_of_a_shape_is_that_shape() -> None:
    exact = ExactField(box((0.6, 0.4, 0.5)))
    field = field_of_shape(exact, CELLS)
    surface = torch.tensor([[0.6, 0.1, 0.2], [-0.2, -0.4, 0.3], [0.1, 0.2, 0.5], [0.3, 0.4, -0.1]])
    assert float(field.signed_distance(surface).abs().max()) < 0.02
    np.testing.assert_allclose(field.color(surface).numpy(), exact.color(surface).numpy(), atol=0.06)


def test_silhouettes_of_a_ball_give_a_painted_ball() -> None:
    field = field_of_silhouettes(pictures_of_ball(around(20), SIZE), CELLS)
    directions = torch.nn.functional.normalize(torch.randn(80, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert float(field.signed_distance(BALL * directions).abs().mean()) < 0.05
    colors = srgb_to_linear(((BALL * directions + 1) / 2).numpy())
    assert np.abs(field.color(BALL * directions).numpy() - colors).mean() < 0.1


def test_one_empty_mask_carves_nothing_away_and_no_mask_at_all_gives_a_ball() -> None:
    views = pictures_of_ball(around(20), SIZE)
    whole = field_of_silhouettes(views, CELLS)
    views.pictures[3] = 0
    assert float((whole.values < 0).float().mean()) > 0.05
    assert torch.equal(field_of_silhouettes(views, CELLS).values < 0, whole.values < 0) or (
        (field_of_silhouettes(views, CELLS).values < 0).float().mean() > 0.9 * (whole.values < 0).float().mean()
    )
    views.pictures[:] = 0
    assert torch.equal(field_of_silhouettes(views, CELLS).values, ball(CELLS).values)


def test_a_hollow_density_becomes_one_watertight_solid() -> None:
    far = grid_nodes(CELLS).norm(dim=1).view((CELLS + 1,) * 3)
    shell = 300 * (0.1 - (far - BALL + 0.1).abs()) * 10
    field = field_of_density(DensityField(shell, torch.full((*shell.shape, 3), 0.5)))
    assert float(field.signed_distance(torch.zeros(1, 3))) < -0.3
    mesh = mesh_from_field(field, detail=CELLS, face_count=2000, texture_size=None)
    assert is_watertight(mesh.faces) and is_manifold(mesh.faces)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), BALL, atol=0.05)


def test_a_cloud_is_densest_in_the_middle_and_ends() -> None:
    field = cloud(CELLS, radius=0.5, density=8.0)
    assert float(field.values.max()) == pytest.approx(8.0)
    far = grid_nodes(CELLS).norm(dim=1).view((CELLS + 1,) * 3)
    assert (field.values[far > 0.51] < 0).all()
