"""Which cells of a picture's volume its object takes: what teaches the view model depth, which views teach slowly."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..data.distance_grids import SATURATION
from ..models.view_volume import DEPTH, RESOLUTION, frustum_points
from ..representations.cameras import FRAMED

THICKENED = 0.02
"""Model units: cells are much larger than sheets are thick, and a cell that a sheet runs through is taken."""
DEPTHS = 4
"""Places along a cell, which is longer in depth than across, where the shape is looked at."""
CELL_DEPTH = 2 * FRAMED / DEPTH


def taken_cells(grids: Tensor, azimuth: Tensor, elevation: Tensor, windows: Tensor, mirrored: Tensor) -> Tensor:
    """(B, DEPTH, RESOLUTION, RESOLUTION) bool, laid out as `EncodedPicture.volume`.

    grids (B, R, R, R) int8 as `pack_distance_grids` makes them. azimuth, elevation (B,): radians, of the cameras that
    rendered the pictures, which were then mirrored where `mirrored` (B,) says so. windows (B, 3): of the pictures as
    they are now, as EncodedPicture has them.
    """
    depth, up, across = (
        (torch.arange(count) + 0.5) * (2 / count) - 1 for count in (DEPTH * DEPTHS, RESOLUTION, RESOLUTION)
    )
    places = torch.stack(torch.meshgrid(across, up, depth, indexing="ij"), dim=-1).permute(2, 1, 0, 3)
    points = frustum_points(places.reshape(1, -1, 3).expand(len(grids), -1, -1), windows, elevation)
    x = points[..., 0] * torch.where(mirrored, -1.0, 1.0)[:, None]
    y, z = points[..., 1], points[..., 2]
    cosine, sine = azimuth.cos()[:, None], azimuth.sin()[:, None]
    # grid_sample names the last axis first: z, y, x.
    read_at = torch.stack([z, sine * x + cosine * y, cosine * x - sine * y], dim=-1)[:, None, None]
    distances = functional.grid_sample(
        grids[:, None].float(), read_at, mode="nearest", padding_mode="border", align_corners=False
    )
    within = distances.view(len(grids), DEPTH, DEPTHS, RESOLUTION, RESOLUTION)
    return (within < 127 * math.tanh(THICKENED / SATURATION)).any(dim=2)


def occupancy_loss(densities: Tensor, taken: Tensor) -> Tensor:
    """Binary cross entropy of the opacity of cells, densities (B, D, H, W) per model unit, against `taken_cells`."""
    thickness = densities * CELL_DEPTH
    opaque = -torch.log(-torch.expm1(-thickness.clamp(min=1e-4)))
    return torch.where(taken, opaque, thickness).mean()
