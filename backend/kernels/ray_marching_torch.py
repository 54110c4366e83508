"""`march_rays` in torch's own operations, for devices without a kernel and, in float64, as the kernel's reference."""

from __future__ import annotations

import torch

from .rows import add_rows, take_rows

LONGEST = 3.5
"""No ray is longer than this within model space: the cube's diagonal."""


def march_rays_torch(
    values: torch.Tensor,
    colors: torch.Tensor,
    occupied: torch.Tensor,
    origins: torch.Tensor,
    directions: torch.Tensor,
    offsets: torch.Tensor,
    step: float,
    sharpness: float | None,
    thinnest: float,
    enough: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As `ray_marching.march_rays`, in the floating-point type of its arguments.

    Only samples in occupied cells are computed with; memory is linear in rays × steps (a few bytes each).
    """
    near, far = _through_cube(origins, directions)
    steps = torch.arange(int(LONGEST / step) + 2, device=values.device, dtype=values.dtype)
    times = near[:, None] + (offsets[:, None] + steps) * step  # (R, K)
    cells = values.shape[0] - 1
    with torch.no_grad():
        points = origins[:, None] + times[..., None] * directions[:, None]
        cell = ((points + 1) * (cells / 2)).floor().clamp(0, cells - 1).long()
        there = (times < far[:, None]) & occupied[cell[..., 0], cell[..., 1], cell[..., 2]]
    ray, sample = there.nonzero(as_tuple=True)
    found = trilinear(values[..., None], points[ray, sample])[:, 0]
    # A section ends at every sample whose predecessor on the ray is looked at as well.
    joined = (ray[1:] == ray[:-1]) & (sample[1:] == sample[:-1] + 1)
    before, value = found[:-1][joined], found[1:][joined]
    if sharpness is None:
        alpha = -torch.expm1(-step * torch.nn.functional.softplus((before + value) / 2))
    else:
        alpha = 1 - torch.exp(
            torch.nn.functional.logsigmoid(sharpness * value) - torch.nn.functional.logsigmoid(sharpness * before)
        )
    alpha = torch.where(alpha < thinnest, 0, alpha)
    ray, sample = ray[1:][joined], sample[1:][joined]
    alphas = torch.zeros_like(times).index_put((ray, sample), alpha)
    # The product of all earlier sections' transparency.
    passing = torch.cumprod(1 - alphas, dim=1).roll(1, dims=1)
    passing = torch.cat([torch.ones_like(passing[:, :1]), passing[:, 1:]], dim=1)
    weight = (alphas * passing * (passing > enough))[ray, sample]
    middle = times[ray, sample] - step / 2
    seen = trilinear(colors, origins[ray] + middle[:, None] * directions[ray])
    parts = torch.cat([weight[:, None] * seen, weight[:, None], (weight * middle).detach()[:, None]], dim=1)
    total = add_rows(parts, ray, len(origins))
    return total[:, :3], total[:, 3], total[:, 4].detach()


def trilinear(grid: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """grid (n + 1, n + 1, n + 1, C), its nodes spanning [−1, 1]³ with [x, y, z], at points (N, 3): (N, C); constant
    beyond the cube."""
    nodes = grid.shape[0]
    rows = grid.reshape(-1, grid.shape[-1])
    place = (points.clamp(-1, 1) + 1) * ((nodes - 1) / 2)
    cell = place.detach().floor().clamp(0, nodes - 2).long()
    share = (place - cell).to(grid.dtype)
    result = torch.zeros(len(points), grid.shape[-1], dtype=grid.dtype, device=grid.device)
    for corner in range(8):
        bits = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1], device=points.device)
        x, y, z = (cell + bits).unbind(dim=-1)
        weight = torch.where(bits == 1, share, 1 - share).prod(dim=-1, keepdim=True)
        result = result + weight * take_rows(rows, (x * nodes + y) * nodes + z)
    return result


def _through_cube(origins: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where rays enter and leave [−1, 1]³, (R,) each; a ray that misses it leaves before it enters."""
    direction = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    one, other = (-1 - origins) / direction, (1 - origins) / direction
    near = torch.minimum(one, other).amax(dim=1).clamp(min=0)
    return near, torch.maximum(one, other).amin(dim=1)
