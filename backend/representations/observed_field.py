"""A field that goes through what was observed."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from ..models.observation import KnownRegion, Observation
from .field import Field

REACH = 0.06
"""How far from an observed point it is felt (model units): about a cell of the decoder's finest grid."""
NEIGHBORS = 6
LARGEST_DISTANCE = 0.1
"""Beyond this (model units) the decoder learned no distances, so that there they are not compared."""
SEAM = 0.06
"""Over how much of the known (model units), from the box of the unknown outwards, the two are blended."""
LARGEST_CORRECTION = 0.06
"""A decoder that is farther off than this (model units) contradicts the point, which then is left out: pulling the
surface over would tear it."""


class ObservedField:
    """Another field, held to what was observed.

    Where a mesh is known altogether, its signed distance takes the field's place. Around observed places the error that
    is left is taken off, spread with weights that fall to nothing within REACH (Shepard 1968). The colour is that of
    the observed surface where it is known.
    """

    def __init__(self, field: Field, observation: Observation) -> None:
        self.field: Field = field if observation.region is None else _WithKnownRegion(field, observation.region)
        places = np.concatenate([observation.surface, observation.queries])
        wanted = np.concatenate([np.full(len(observation.surface), observation.level), observation.distances])
        found = self.field.signed_distance(torch.from_numpy(places)).cpu().numpy()
        errors = found.clip(-LARGEST_DISTANCE, LARGEST_DISTANCE) - wanted.clip(-LARGEST_DISTANCE, LARGEST_DISTANCE)
        kept = np.abs(errors) < LARGEST_CORRECTION
        on_surface = kept[: len(observation.surface)]
        self.errors = _Scattered(places[kept], errors[kept, None].astype(np.float32))
        self.colors = None
        if observation.colors is not None:
            self.colors = _Scattered(observation.surface[on_surface], observation.colors[on_surface])

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units."""
        distances = self.field.signed_distance(points).clone()
        touched, errors, trust = self.errors.around(points)
        distances[touched] -= (errors[:, 0] * trust).to(distances.device)
        return distances

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        colors = self.field.color(points)
        if self.colors is None:
            return colors
        touched, seen, trust = self.colors.around(points)
        colors = colors.clone()
        share = trust[:, None].to(colors.device)
        colors[touched] = colors[touched] * (1 - share) + seen.to(colors.device) * share
        return colors


class _WithKnownRegion:
    """A field inside of a box, and what is known outside of it."""

    def __init__(self, field: Field, region: KnownRegion) -> None:
        self.field, self.region = field, region
        self.color = field.color

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        distances = self.field.signed_distance(points)
        places = points.detach().cpu().numpy().astype(np.float64)
        box = self.region.unknown
        apart = np.linalg.norm(np.maximum(np.maximum(box.low - places, places - box.high), 0), axis=1)
        share = np.minimum(apart / SEAM, 1)
        share = torch.from_numpy((share**2 * (3 - 2 * share)).astype(np.float32)).to(distances.device)
        nodes = (places + 1) * ((len(self.region.distances) - 1) / 2)
        known = map_coordinates(self.region.distances, nodes.T, order=1, mode="nearest")
        return distances * (1 - share) + torch.from_numpy(known).to(distances.device) * share


class _Scattered:
    """Values (M, C) float32 at places (M, 3), read in between."""

    def __init__(self, places: np.ndarray, values: np.ndarray) -> None:
        self.values = values.astype(np.float32)
        self.tree = cKDTree(places) if len(places) else None

    def around(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For those of `points` (N, 3) that are within reach of a place: their indices (T,) int64, the values there
        (T, C), and how much these count (T,), 1 up to half of REACH from a place and 0 at REACH."""
        if self.tree is None:
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, self.values.shape[1]), torch.zeros(0)
        asked = points.detach().cpu().numpy()
        ranks = np.arange(1, min(NEIGHBORS, self.tree.n) + 1)
        distances, nearest = self.tree.query(asked, k=ranks, distance_upper_bound=REACH)
        touched = np.flatnonzero(np.isfinite(distances[:, 0]))
        distances, nearest = distances[touched], nearest[touched]
        there = np.isfinite(distances)
        closeness = np.where(there, 1 - distances / REACH, 0.0)
        weights = (closeness / np.maximum(distances, 1e-6)) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        values = (weights[..., None] * self.values[np.where(there, nearest, 0)]).sum(axis=1)
        fade = np.minimum(2 * closeness[:, 0], 1)
        trust = fade**2 * (3 - 2 * fade)
        return (
            torch.from_numpy(touched),
            torch.from_numpy(values.astype(np.float32)),
            torch.from_numpy(trust.astype(np.float32)),
        )
