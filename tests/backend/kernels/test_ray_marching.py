"""Rays through grids: the compiled kernel against float64, compositing against its textbook sums, gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from backend.kernels.ray_marching import ENOUGH, THINNEST, march_rays
from backend.kernels.ray_marching_torch import march_rays_torch, trilinear

CELLS = 12
STEP = 0.11


def nodes() -> torch.Tensor:
    axis = torch.linspace(-1, 1, CELLS + 1)
    return torch.cartesian_prod(axis, axis, axis)


def grids(sharpness: float | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A bumpy ball with a hole in its occupancy, and colours; seeded."""
    generator = torch.Generator().manual_seed(0)
    shape = (CELLS + 1,) * 3
    values = nodes().norm(dim=1).view(shape) - 0.6 + 0.05 * torch.randn(shape, generator=generator)
    occupied = torch.rand((CELLS,) * 3, generator=generator) > 0.05
    return values if sharpness else -6 * values, torch.rand((*shape, 3), generator=generator), occupied


def rays(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From around the cube through it; some miss it, one runs along an axis, one starts inside."""
    generator = torch.Generator().manual_seed(1)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 2.5
    targets = torch.rand(count, 3, generator=generator) * 2.6 - 1.3
    origins[0], targets[0] = torch.tensor([0.1, -3.0, 0.05]), torch.tensor([0.1, 0, 0.05])
    origins[1], targets[1] = torch.tensor([5.0, 0, 0]), torch.tensor([5.0, 1, 0])
    origins[2] = torch.tensor([0.8, 0.8, 0.8])
    directions = torch.nn.functional.normalize(targets - origins, dim=1)
    return origins, directions, torch.rand(count, generator=generator)


def slopes_of(color: torch.Tensor, opacity: torch.Tensor, *grids: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weights = torch.linspace(-1, 1, len(opacity), dtype=color.dtype)
    return torch.autograd.grad(((color - 0.4) ** 2).sum() + (weights * opacity).sum(), grids)


@pytest.mark.parametrize("sharpness", [8.0, None])
def test_kernel_agrees_with_float64(sharpness: float | None) -> None:
    values, colors, occupied = grids(sharpness)
    origins, directions, offsets = rays(300)
    values.requires_grad_(), colors.requires_grad_()
    found = march_rays(values, colors, occupied, origins, directions, offsets, step=STEP, sharpness=sharpness)
    exact = [part.detach().double().requires_grad_(part.requires_grad) for part in (values, colors)]
    wanted = march_rays_torch(
        *exact, occupied, origins.double(), directions.double(), offsets.double(), STEP, sharpness, THINNEST, ENOUGH
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=2e-5)
    assert found[1].max() > 0.9 and found[1][1] == 0
    for one, other in zip(slopes_of(*found[:2], values, colors), slopes_of(*wanted[:2], *exact), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-4 * float(other.abs().max()))


@pytest.mark.parametrize("sharpness", [5.0, None])
def test_float64_gradients_are_those_of_finite_differences(sharpness: float | None) -> None:
    values, colors, occupied = (part[:3, :3, :3] for part in grids(sharpness))
    occupied = occupied[:2, :2, :2]
    origins, directions, offsets = (part[:6].double() for part in rays(6))
    arguments = (values.double().requires_grad_(), colors.double().requires_grad_())

    def seen(values: torch.Tensor, colors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return march_rays_torch(values, colors, occupied, origins, directions, offsets, 0.3, sharpness, 0.0, 0.0)[:2]

    assert torch.autograd.gradcheck(seen, arguments)


def test_light_through_a_fog_falls_off_exponentially() -> None:
    density, gone = 0.7, torch.tensor([1.0])
    before_softplus = float(np.log(np.expm1(density)))
    values, colors = torch.full((5, 5, 5), before_softplus), torch.ones(5, 5, 5, 3) * torch.tensor([1, 0.5, 0.0])
    occupied = torch.ones(4, 4, 4, dtype=torch.bool)
    origins, directions = torch.tensor([[0.0, -3, 0]]), torch.tensor([[0.0, 1, 0]])
    step = 2 / 64.5
    color, opacity, depth = march_rays(
        values, colors, occupied, origins, directions, 0 * gone, step=step, sharpness=None
    )
    thickness = 64 * step
    passed = np.exp(-density * thickness)
    assert float(opacity) == pytest.approx(1 - passed, abs=1e-5)
    np.testing.assert_allclose(color[0].numpy(), np.array([1, 0.5, 0]) * (1 - passed), atol=1e-5)
    mean_depth = 2 * (1 - passed) + (1 - (1 + density * thickness) * passed) / density
    assert float(depth) == pytest.approx(mean_depth, abs=1e-3)


def test_a_distance_is_half_seen_where_the_ray_touches_the_surface() -> None:
    values = nodes()[:, 2].view((CELLS + 1,) * 3).contiguous()  # all below z = 0 is inside
    colors, occupied = torch.ones(*values.shape, 3), torch.ones((CELLS,) * 3, dtype=torch.bool)
    heights = torch.tensor([-0.2, -0.05, 0.0, 0.05, 0.2])
    origins = torch.stack([0 * heights, 0 * heights - 3, heights + 0.8], dim=1)
    # The ray descends to the height and no farther: the cube ends there.
    directions = torch.nn.functional.normalize(torch.tensor([[0.0, 4, -0.8]]).expand(5, 3), dim=1)
    _, opacity, _ = march_rays(
        values, colors, occupied, origins, directions, torch.zeros(5), step=0.001, sharpness=20.0
    )
    wanted = 1 - 1 / (1 + np.exp(-20 * heights.numpy()))
    np.testing.assert_allclose(opacity.numpy(), wanted, atol=5e-3)


def test_trilinear_against_the_sum_over_corners() -> None:
    generator = torch.Generator().manual_seed(2)
    grid = torch.randn(4, 4, 4, 2, generator=generator)
    points = torch.rand(20, 3, generator=generator) * 2 - 1
    wanted = np.zeros((20, 2))
    for corner in itertools.product(range(4), repeat=3):
        distance = np.abs((points.numpy() + 1) * 1.5 - np.array(corner))
        wanted += np.prod(np.maximum(1 - distance, 0), axis=1)[:, None] * grid[corner].numpy()
    np.testing.assert_allclose(trilinear(grid, points).numpy(), wanted, atol=1e-5)


def test_same_gradients_with_any_number_of_threads() -> None:
    values, colors, occupied = grids(8.0)
    found = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            own = [part.clone().requires_grad_() for part in (values, colors)]
            seen = march_rays(*own, occupied, *rays(500), step=STEP, sharpness=8.0)
            found.append(slopes_of(*seen[:2], *own))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "positive"),
        ({"sharpness": -1.0}, "positive"),
        ({"colors": torch.zeros(3, 3, 3)}, "colors must have the shape"),
        ({"occupied": torch.ones(2, 2, 2)}, "occupied must have the shape"),
        ({"offsets": torch.zeros(7)}, "offsets must have the shape"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    values, colors, occupied = grids(8.0)
    origins, directions, offsets = rays(5)
    arguments = {
        "values": values, "colors": colors, "occupied": occupied, "origins": origins, "directions": directions,
        "offsets": offsets, "step": STEP, "sharpness": 8.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        march_rays(**(arguments | change))
