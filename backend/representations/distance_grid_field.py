"""A field that is read from a grid of distances."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..color import srgb_to_linear
from ..data.distance_grids import CERTAIN, SATURATION
from ..data.surface import UNKNOWN_SRGB


class DistanceGridField:
    """A grid (R, R, R) of tanh(distance / SATURATION) at the centres of the cells of model space, as
    `data.distance_grids` makes it, read in between by trilinear interpolation. It has no colours: all is the grey of
    what is not known."""

    def __init__(self, grid: Tensor) -> None:
        self.grid = grid

    def signed_distance(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units; at most three saturations from the surface."""
        # grid_sample names the last axis first: z, y, x.
        places = points.to(self.grid.device).flip(1)[None, None, None]
        found = functional.grid_sample(self.grid[None, None], places, padding_mode="border", align_corners=False)
        return (torch.atanh(found.flatten().clamp(-CERTAIN, CERTAIN)) * SATURATION).to(points.device)

    def color(self, points: Tensor) -> Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        return torch.full_like(points, float(srgb_to_linear(UNKNOWN_SRGB)))
