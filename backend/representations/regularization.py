"""What a good field looks like where no picture says so."""

from __future__ import annotations

import torch
from torch import Tensor

from ..kernels.rows import take_rows


def draw_nodes(near: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """count inner nodes of a grid, (count, 3) int64, drawn from those marked in near (n, n, n) bool; from all of them
    where none is marked."""
    inner = near[1:-1, 1:-1, 1:-1].nonzero() + 1
    if not len(inner):
        return draw_anywhere(near, count, generator)
    return inner[torch.randint(len(inner), (count,), generator=generator).to(near.device)]


def draw_anywhere(grid: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """count inner nodes of a grid (n, n, n, …), (count, 3) int64, all of them as likely."""
    return torch.randint(1, len(grid) - 1, (count, 3), generator=generator).to(grid.device)


def neighbors(grid: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A grid (n, n, n, C) at inner nodes (N, 3), (N, C), and at their neighbours down and up each axis, (N, 3, C)."""
    strides = torch.tensor([grid.shape[1] * grid.shape[2], grid.shape[2], 1], device=grid.device)
    around = torch.cat([torch.zeros_like(strides[:1]), -strides, strides])
    index = (nodes * strides).sum(dim=1, keepdim=True) + around
    rows = take_rows(grid.reshape(-1, grid.shape[-1]), index.reshape(-1)).view(len(nodes), 7, -1)
    return rows[:, 0], rows[:, 1:4], rows[:, 4:]


def eikonal(values: Tensor, nodes: Tensor) -> Tensor:
    """Mean of (|∇f| − 1)² over nodes of a signed distance on model space (Gropp et al. 2020), central differences."""
    _, down, up = neighbors(values[..., None], nodes)
    slope = (up - down)[..., 0] * ((len(values) - 1) / 4)
    return (slope.norm(dim=1) - 1).square().mean()


def curvature(values: Tensor, nodes: Tensor) -> Tensor:
    """Mean square over nodes of how much the slope along each axis changes from one cell to the next."""
    here, down, up = neighbors(values[..., None], nodes)
    return ((up + down - 2 * here[:, None]) * ((len(values) - 1) / 2)).square().sum(dim=1).mean()


def roughness(grid: Tensor, nodes: Tensor) -> Tensor:
    """Mean absolute difference between nodes of a grid (n, n, n, C) and the mean of their neighbours."""
    here, down, up = neighbors(grid, nodes)
    return (here - (down + up).mean(dim=1) / 2).abs().mean()
