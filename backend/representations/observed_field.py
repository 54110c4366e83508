"""A field that goes through what was observed."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..color import srgb_to_linear
from ..data.surface import UNKNOWN_SRGB, SurfacePoints, surface_colors
from ..kernels.mesh_distance import NearestFaces
from ..mesh import Mesh
from ..models.observation import Observation
from .field import Field
from .known_shape import SEAM, KnownShape, smooth

REACH = 0.06
"""How far from an observed point it is felt (model units): about a cell of the decoder's finest grid."""
NEIGHBORS = 6
LARGEST_DISTANCE = 0.1
"""Beyond this (model units) the decoder learned no distances, so that there they are not compared."""
LARGEST_CORRECTION = 0.06
"""A decoder that is farther off than this (model units) contradicts the point, which then is left out: pulling the
surface over would tear it."""


class AllKnown:
    """The field within an observation that leaves nothing unknown: far from any surface, and grey."""

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N,) float32."""
        return torch.full((len(points),), LARGEST_DISTANCE, device=points.device)

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        return torch.full_like(points, float(srgb_to_linear(UNKNOWN_SRGB)))


class ObservedField:
    """Another field, held to what was observed.

    Outside of the box in which a mesh is unknown, the mesh's own signed distance takes the field's place, so nothing
    there is off by more than the grid that the surface is read from; in the box the field's error at the box's sides is
    taken off, less and less with the depth. Points and scans do not tell what is inside: around observed places the
    error that is left is taken off, spread with weights that fall to nothing within REACH (Shepard 1968). The colour is
    that of the observed surface where it is known.
    """

    def __init__(self, field: Field, observation: Observation) -> None:
        self.field = field
        self.known = observation.known
        self.errors: _Scattered | None = None
        seen = np.ones(len(observation.surface), bool)
        if self.known is None:
            places = np.concatenate([observation.surface, observation.queries])
            wanted = np.concatenate([np.full(len(observation.surface), observation.level), observation.distances])
            found = field.signed_distance(torch.from_numpy(places)).cpu().numpy()
            errors = _clipped(found) - _clipped(wanted)
            kept = np.abs(errors) < LARGEST_CORRECTION
            self.errors = _Scattered(places[kept], errors[kept, None].astype(np.float32))
            seen = kept[: len(observation.surface)]
        self.colors: _Scattered | _Painted | None = None
        if observation.painted is not None:
            self.colors = _Painted(observation.painted)
        elif observation.colors is not None:
            self.colors = _Scattered(observation.surface[seen], observation.colors[seen])

    def signed_distance(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N,) float32, negative inside, model units."""
        if self.known is not None:
            return self._beside_known(self.known, points)
        distances = self.field.signed_distance(points).clone()
        assert self.errors is not None
        touched, errors, trust = self.errors.around(points)
        distances[touched] -= (errors[:, 0] * trust).to(distances.device)
        return distances

    def color(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3) float32 → (N, 3) float32 linear RGB."""
        if self.colors is None:
            return self.field.color(points)
        touched, seen, trust = self.colors.around(points)
        asked = torch.ones(len(points), dtype=torch.bool)
        asked[touched[trust >= 1]] = False
        colors = torch.zeros_like(points)
        colors[asked] = self.field.color(points[asked])
        share = trust[:, None].to(colors.device)
        colors[touched] = colors[touched] * (1 - share) + seen.to(colors.device) * share
        return colors

    def _beside_known(self, known: KnownShape, points: torch.Tensor) -> torch.Tensor:
        places = points.detach().cpu().numpy().astype(np.float64)
        depth = known.depth(places)
        found = np.empty(len(places), np.float32)
        outside = depth <= 0
        if outside.any():
            found[outside] = known.signed_distance(places[outside])
        if not outside.all():
            found[~outside] = self._asked(places[~outside])
        seam = np.flatnonzero(~outside & (depth < SEAM))
        if len(seam):
            at_side, side_of = np.unique(known.onto_box(places[seam]), axis=0, return_inverse=True)
            errors = _clipped(self._asked(at_side)) - _clipped(known.signed_distance(at_side))
            found[seam] -= (1 - smooth(depth[seam] / SEAM)) * errors[side_of.reshape(-1)]
        return torch.from_numpy(found).to(points.device)

    def _asked(self, places: np.ndarray) -> np.ndarray:
        return self.field.signed_distance(torch.from_numpy(places.astype(np.float32))).cpu().numpy()


def _clipped(distances: np.ndarray) -> np.ndarray:
    return distances.clip(-LARGEST_DISTANCE, LARGEST_DISTANCE)


class _Painted:
    """The colours of a mesh, read at its nearest point."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.corners = mesh, mesh.vertices[mesh.faces].astype(np.float64)
        self.nearest = NearestFaces(self.corners)

    def around(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `_Scattered.around`."""
        asked = points.detach().cpu().numpy().astype(np.float64)
        face, weights = self.nearest.at(asked)
        nearest = (weights[:, :, None] * self.corners[face]).sum(axis=1)
        distances = np.linalg.norm(nearest - asked, axis=1)
        touched = np.flatnonzero(distances < REACH)
        unused = np.zeros((len(touched), 3), np.float32)
        place = SurfacePoints(unused, unused, face[touched], weights[touched].astype(np.float32))
        trust = smooth(2 * (1 - distances[touched] / REACH)).astype(np.float32)
        colors = surface_colors(self.mesh, place).astype(np.float32)
        return torch.from_numpy(touched), torch.from_numpy(colors), torch.from_numpy(trust)


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
        trust = smooth(2 * closeness[:, 0])
        return (
            torch.from_numpy(touched),
            torch.from_numpy(values.astype(np.float32)),
            torch.from_numpy(trust.astype(np.float32)),
        )
