"""A partial shape as a grid that a network reads: in each cell, whether anything is known, and the surface in it.

Channels of a cell: 1 where it is unknown; 1 where surface was seen; the mean place of that surface in the cell, from
−1 to 1 along each axis; its mean normal; its mean colour, sRGB from −1 to 1. All but the first are 0 where no surface
was seen, normals and colours also where the source has none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .shape_autoencoder import pool_points

RESOLUTION = 16
CHANNELS = 11


def cell_centres() -> Tensor:
    """(16, 16, 16, 3) float32, in model space."""
    axis = (torch.arange(RESOLUTION, dtype=torch.float32) + 0.5) * (2 / RESOLUTION) - 1
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def partial_grid(points: Tensor, normals: Tensor, colors: Tensor, seen: Tensor, unknown: Tensor | None) -> Tensor:
    """(B, 11, 16, 16, 16) float32 of B partial shapes.

    points (B, N, 3) on the surface, in model space; normals (B, N, 3) of unit length, or 0 where there are none; colors
    (B, N, 3), sRGB from −1 to 1, or 0 where there are none; seen (B, N) bool: which of the points are known. unknown
    (B, 16, 16, 16) bool: cells of which nothing is known; None: all in which no surface is seen, as in a scan.
    """
    within = torch.remainder((points + 1) * (RESOLUTION / 2), 1) * 2 - 1
    values = torch.cat([torch.ones_like(points[..., :1]), within, normals, colors], dim=-1)
    # Points that are not seen weigh nothing: the mean is that of sums, not of all points in a cell.
    summed = pool_points(torch.cat([values * seen[..., None], seen[..., None].to(values)], dim=-1), points, RESOLUTION)
    share = summed[:, -1:]
    mean = summed[:, :-1] / share.clamp(min=1e-6)
    known = share[:, 0] > 0
    unknown = ~known if unknown is None else unknown & ~known
    return torch.cat([unknown[:, None].to(mean), mean], dim=1)
