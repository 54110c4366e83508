"""A field that goes through what was observed."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..models.observation import Observation
from .field import Field

REACH = 0.06
"""How far from an observed point it is felt (model units): about a cell of the decoder's finest grid."""
NEIGHBORS = 8
LARGEST_CORRECTION = 0.03
"""A decoder that is farther off than this (model units) contradicts the point, which then is left out: pulling the
surface over would tear it."""


class ObservedField:
    """Another field, corrected near observed surface points: there its error at those points is taken off, spread with
    weights that fall to nothing within REACH (Shepard 1968), and the colour is the observed one where that is known."""

    def __init__(self, field: Field, observation: Observation) -> None:
        self.field = field
        errors = field.signed_distance(torch.from_numpy(observation.surface)).cpu().numpy() - observation.level
        kept = np.abs(errors) < LARGEST_CORRECTION
        self.errors = errors[kept].astype(np.float32)
        self.colors = None if observation.colors is None else observation.colors[kept].astype(np.float32)
        self.tree = cKDTree(observation.surface[kept]) if kept.any() else None

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units."""
        distances = self.field.signed_distance(points)
        if self.tree is None:
            return distances
        touched, nearest, weights, trust = self._around(points)
        correction = np.zeros(len(points), np.float32)
        correction[touched] = (weights * self.errors[nearest]).sum(1) * trust
        return distances - torch.from_numpy(correction).to(distances.device)

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        colors = self.field.color(points)
        if self.tree is None or self.colors is None:
            return colors
        touched, nearest, weights, trust = self._around(points)
        seen = torch.from_numpy((weights[..., None] * self.colors[nearest]).sum(1)).to(colors)
        share = torch.from_numpy(trust[:, None]).to(colors)
        colors = colors.clone()
        index = torch.from_numpy(touched).to(colors.device)
        colors[index] = colors[index] * (1 - share) + seen * share
        return colors

    def _around(self, points: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """For the points within reach: their indices (T,), their observed neighbours (T, K), each neighbour's weight
        (summing to 1), and how much the observation counts at all (T,), 1 at a point of it and 0 at REACH."""
        assert self.tree is not None
        places = points.detach().cpu().numpy()
        count = min(NEIGHBORS, self.tree.n)
        distances, nearest = self.tree.query(places, k=np.arange(1, count + 1), distance_upper_bound=REACH)
        touched = np.flatnonzero(np.isfinite(distances[:, 0]))
        distances, nearest = distances[touched], nearest[touched]
        missing = ~np.isfinite(distances)
        closeness = np.where(missing, 0.0, 1.0 - np.where(missing, REACH, distances) / REACH)
        weights = (closeness / np.maximum(distances, 1e-6, where=~missing, out=np.ones_like(distances))) ** 2
        weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
        trust = closeness[:, 0] ** 2 * (3 - 2 * closeness[:, 0])
        return touched, np.where(missing, 0, nearest), weights.astype(np.float32), trust.astype(np.float32)
