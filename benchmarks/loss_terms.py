"""What each term of the auto-encoder's loss is worth, and where its samples lie: one thing changed at a time.

    python3 build.py bench loss_terms --data train_lite.zip --dev dev.zip [--minutes 4]

The network is the grid of `latent_kinds`; `autoencoder_trials` defines every figure. A term that is left out still
costs its forward pass, so that all take about as many steps.

- eikonal: (‖∇f‖ − 1)² (Gropp et al., "Implicit Geometric Regularization", 2020, eq. 4) with the gradient by central
  differences (Li et al., "Neuralangelo", 2023, eq. 4), because interpolation of grids is not differentiated twice.
- edges and thin parts: half of the queries near the surface are drawn in proportion to 1 − ‖mean normal‖ of the surface
  in a cell, which is 0 on what is flat, about 0.3 at a right edge and 1 where both sides of a sheet share a cell (the
  purpose of sharp edge sampling in Chen et al., "Dora", 2024, which finds edges by dihedral angles instead).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backend.data.sampling import NEAR_POINTS
from backend.models.shape_autoencoder import FeatureGrids
from backend.training.shape_autoencoder import ShapeBatch, ShapeSampler
from benchmarks import autoencoder_trials
from benchmarks.autoencoder_trials import Decoding, Terms, Trial, all_terms
from benchmarks.latent_networks.grid import GridNetwork

EIKONAL_WEIGHT = 0.1
EIKONAL_POINTS = 128
STEP = 0.005
"""Model units between a point and those that its gradient is taken from."""
SHARP_CELLS = 32
LEAST_SHARPNESS = 0.01
"""So that every query can be drawn, also where the surface has no samples."""


def without(*names: str) -> Terms:
    """The product's terms but for these."""

    def terms(network: GridNetwork, batch: ShapeBatch) -> dict[str, Tensor]:
        return {name: term for name, term in all_terms(network, batch).items() if name not in names}

    return terms


def gradient_norms(network: GridNetwork, grids: FeatureGrids, points: Tensor) -> Tensor:
    """‖∇f‖ (B, N) at points (B, N, 3), by central differences."""
    steps = STEP * torch.eye(3, device=points.device)
    around = torch.stack([points[:, :, None] + steps, points[:, :, None] - steps], dim=2)  # (B, N, 2, 3, 3)
    values = network.signed_distance(grids, around.flatten(1, 3)).unflatten(1, around.shape[1:4])
    return ((values[:, :, 0] - values[:, :, 1]) / (2 * STEP)).norm(dim=-1)


def with_eikonal(network: GridNetwork, batch: ShapeBatch) -> dict[str, Tensor]:
    """The product's terms, and the eikonal term at points near the surface, in full precision: it is a difference."""
    decoding = Decoding.of(network, batch)
    grids = FeatureGrids(decoding.expanded.coarse.float(), decoding.expanded.fine.float())
    with torch.autocast("cpu", enabled=False):
        norms = gradient_norms(network, grids, batch.queries[:, :EIKONAL_POINTS])
    return {**decoding.terms(network, batch), "eikonal": EIKONAL_WEIGHT * (norms - 1).square().mean()}


def sharpness(positions: np.ndarray, normals: np.ndarray, places: np.ndarray) -> np.ndarray:
    """1 − ‖mean normal‖ of the surface points (S, 3) that share a cell with each of `places` (Q, 3): (Q,) float, at
    least LEAST_SHARPNESS."""

    def cells(points: np.ndarray) -> np.ndarray:
        index = ((points.astype(np.float32) + 1) * (SHARP_CELLS / 2)).astype(np.int64).clip(0, SHARP_CELLS - 1)
        return (index[:, 0] * SHARP_CELLS + index[:, 1]) * SHARP_CELLS + index[:, 2]

    own = cells(positions)
    count = np.bincount(own, minlength=SHARP_CELLS**3)
    summed = np.stack([np.bincount(own, normals[:, axis], SHARP_CELLS**3) for axis in range(3)])
    mean = np.linalg.norm(summed, axis=0) / count.clip(min=1)
    return np.where(count > 0, 1 - mean, 0)[cells(places)].clip(min=LEAST_SHARPNESS)


class SharpSampler(ShapeSampler):
    """Draws half of the queries near the surface where it is sharp or thin."""

    def near_queries(self, generator: np.random.Generator, shapes: np.ndarray) -> np.ndarray:
        chosen = super().near_queries(generator, shapes)
        data, half = self.data, self.near // 2
        for queries, shape in zip(chosen, shapes, strict=True):
            normals = data.surface_normals[shape].astype(np.float32) / 127
            weight = sharpness(data.surface_positions[shape], normals, data.query_positions[shape, :NEAR_POINTS])
            queries[:half] = generator.choice(NEAR_POINTS, half, p=weight / weight.sum())
        return chosen


TRIALS = (
    Trial("as bundled", GridNetwork),
    Trial("without sign", GridNetwork, without("sign")),
    Trial("without colour", GridNetwork, without("color")),
    Trial("with eikonal", GridNetwork, with_eikonal),
    Trial("half at edges and thin parts", GridNetwork, sampler=SharpSampler),
    Trial("without distance", GridNetwork, without("distance")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    return autoencoder_trials.main("loss_terms", "Leave out or add one term of the loss.", TRIALS, arguments)


if __name__ == "__main__":
    sys.exit(main())
