"""A rough grid of distances → the nearest shape that the shape space knows, with colours."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..color import linear_to_srgb
from ..data.surface import UNKNOWN_SRGB
from .observation import Observation
from .placements import PlacedField, Placement
from .shape_space import ShapeSpace

NEAR_SURFACE = 0.3
"""Values of the grid below which a cell is taken to be at the surface: about two thirds of a cell."""


def projected(space: ShapeSpace, grid: Tensor, observation: Observation, placement: Placement) -> PlacedField:
    """The field of the latent that the shape space's encoder gives a grid (64, 64, 64) as `data.distance_grids` makes
    it, of a placed shape; its colours are those of the nearest observed points, where these have any."""
    cells = (grid.abs() < NEAR_SURFACE).nonzero().float()
    positions = (cells + 0.5) * (2 / len(grid)) - 1
    srgb = torch.full_like(positions, float(UNKNOWN_SRGB))
    if observation.colors is not None and len(positions):
        nearest = cKDTree(placement.apply(observation.surface)).query(positions.cpu().numpy())[1]
        seen = linear_to_srgb(observation.colors[nearest]).astype(np.float32)
        srgb = torch.from_numpy(seen).to(positions)
    with torch.no_grad():
        parts = (part[None].to(space.device) for part in (grid, positions, srgb))
        latent = space.autoencoder.encoder(*parts)[0]
    return PlacedField(space.field(latent), placement)
