"""Objects as grids of signed distance: what the auto-encoder sees of a shape.

A grid holds tanh(signed distance / SATURATION) at the centres of RESOLUTION³ cells of model space, so that most of its
range is spent near the surface. Indexed (x, y, z).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..kernels import Grid
from .volume import Volume

RESOLUTION = 64
SATURATION = 0.08
BAND = 6.0
"""Cells from the surface within which distances are computed; farther ones are as good as saturated."""
CERTAIN = 0.999
"""Values beyond this say no more than on which side they are."""


def distance_grid(volume: Volume) -> np.ndarray:
    """The grid (R, R, R) float32 in (−1, 1) of a volume in model space; negative inside."""
    spacing = 2 / RESOLUTION
    nodes = Grid((spacing / 2 - 1,) * 3, spacing, (RESOLUTION,) * 3)
    return np.tanh(volume.on_grid(nodes, band=BAND).numpy() / SATURATION)


def transformed(grids: Tensor, matrices: Tensor) -> Tensor:
    """The grids (B, R, R, R) of shapes moved by matrices (B, 3, 3), by trilinear interpolation.

    Distances grow with the cube root of the volume: exact for turns and even scales, nearly so for mild stretching.
    """
    inverse = functional.pad(torch.linalg.inv(matrices), (0, 1))
    # grid_sample names the last axis first: z, y, x.
    places = functional.affine_grid(inverse.flip(1)[..., [2, 1, 0, 3]], list(grids[:, None].shape), align_corners=False)
    moved = functional.grid_sample(grids[:, None], places, padding_mode="border", align_corners=False)[:, 0]
    return _scaled(moved, torch.linalg.det(matrices))


def stretched(grid: Tensor, factors: Tensor) -> Tensor:
    """The grids (B, R, R, R) of one shape (R, R, R) stretched along its axes by factors (B, 3), a negative one mirrors:
    what `transformed` gives for diagonal matrices, axis by axis and so many times faster."""
    size = len(grid)
    centres = (torch.arange(size, device=grid.device) + 0.5) * (2 / size) - 1
    places = ((centres / factors[..., None] + 1) * (size / 2) - 0.5).clamp(0, size - 1)
    cells = torch.arange(size, device=grid.device)
    x, y, z = (1 - (places[..., None] - cells).abs()).clamp(min=0).unbind(1)  # (B, R, R) each: trilinear weights
    moved = torch.einsum("bai,ijk->bajk", x, grid)
    moved = torch.einsum("bcj,bajk->back", y, moved)
    return _scaled(torch.einsum("bdk,back->bacd", z, moved), factors.prod(dim=1))


def _scaled(grids: Tensor, volume: Tensor) -> Tensor:
    """Distances as they are in shapes (B, R, R, R) whose volume has grown by so much (B,)."""
    scale = volume.abs().pow(1 / 3)[:, None, None, None]
    return torch.tanh(torch.atanh(grids.clamp(-CERTAIN, CERTAIN)) * scale)
