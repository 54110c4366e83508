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
    scale = torch.linalg.det(matrices).abs().pow(1 / 3)[:, None, None, None]
    return torch.tanh(torch.atanh(moved.clamp(-CERTAIN, CERTAIN)) * scale)
