"""The signed distance of a mesh outside of a box in which it is not known, right up to the box."""

from __future__ import annotations

import numpy as np

from ..data.volume import PIECE, SHEET_HALF_THICKNESS, cut, normals_and_areas
from ..kernels.mesh_distance import NearestFaces
from ..kernels.winding import winding_of_arrays
from ..kernels.winding_tree import build_winding_tree
from ..meshing.clip import outside_of_box
from ..meshing.closing import close_holes
from .node_memory import NodeMemory

SEAM = 0.08
"""How deep into what is told otherwise (model units) that is brought together with what is known beside it."""
SOLID = 0.02
"""A mesh whose holes, filled, are less than this share of its area has an inside; else it is taken for sheets."""

FAR = 2.0
"""A coarse sum is enough: only whether the winding number is nearer to 0 or to 1 matters."""
TOGETHER, CELLS = 0.05, 40
"""Feet in one cell of so fine a grid (model units; its cells along each side) are close by."""
CLEAR = 0.1
"""How far from a whole number the winding number may be where there is no hole near."""
WITHIN_FACE = 1e-3
"""Barycentric weight below which a foot is on the border of its face, where the face does not tell the side."""


class KnownShape:
    """A mesh outside of a box, vertices (V, 3) float and faces (F, 3) int in model space, as a signed distance there.

    Where the box cuts the mesh, fans of triangles within the box close it, so inside and outside are told apart by the
    winding number on all of the known side (Jacobson et al., "Robust inside-outside segmentation", 2013). A mesh with
    other holes of some size is made of sheets, and its surface lies on both sides of them, as in training: `level` is
    the value on the faces themselves, 0 for a solid and negative for sheets. What is thinner than such a sheet in a
    solid is one too.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self.vertices, self.faces = outside_of_box(vertices, faces, low, high)
        closed = close_holes(self.vertices, self.faces, low, high)
        self._corners = self.vertices[self.faces]
        self._normals = np.cross(*np.diff(self._corners, axis=1).swapaxes(0, 1))
        corners = closed.vertices[np.concatenate([closed.faces, closed.at_box])]
        self._bounds = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        self._nearest, self._winding = NearestFaces(self._corners), build_winding_tree(corners)
        holes = _area(closed.vertices[closed.elsewhere])
        self.level = 0.0 if holes < SOLID * _area(self._corners) else -SHEET_HALF_THICKNESS
        thin = self._thin() if self.level == 0 else corners[:0]
        self._thin_faces = NearestFaces(thin) if len(thin) else None
        self._remembered = NodeMemory(self._measured)

    def _thin(self) -> np.ndarray:
        """Pieces (N, 3, 3) of the faces that have no inside as deep as a sheet is thick."""
        pieces, _ = cut(self._corners, PIECE)
        deep = 2 * SHEET_HALF_THICKNESS * normals_and_areas(pieces)[0]
        middle = pieces.mean(axis=1)
        winding = np.abs([winding_of_arrays(middle + side * deep, self._winding, FAR) for side in (-1, 1)])
        return pieces[(winding <= 0.5).all(axis=0)]

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) float, outside of the box or on it → (N,) float32, negative inside."""
        return self._remembered(np.asarray(points, np.float64))

    def _measured(self, places: np.ndarray) -> np.ndarray:
        face, weights = self._nearest.at(places)
        foot = (weights[:, :, None] * self._corners[face]).sum(axis=1)
        distances = np.linalg.norm(foot - places, axis=1)
        inside = self._inside(places, face, weights, foot)
        distance = np.where(inside, -distances, distances) + self.level
        if self._thin_faces is not None:
            distance = np.minimum(distance, self._thin_faces.distances(places) - SHEET_HALF_THICKNESS)
        return distance.astype(np.float32)

    def _inside(self, places: np.ndarray, face: np.ndarray, weights: np.ndarray, foot: np.ndarray) -> np.ndarray:
        """(N,) bool, by the winding number; what lies beyond all faces is outside without asking.

        On the way to the nearest place of the surface no surface is crossed, so that places whose foot lies within the
        same face, on the same side of it and close by, are asked about together; but not near holes, where winding
        numbers change on the way.
        """
        within = np.flatnonzero(((places >= self._bounds[0]) & (places <= self._bounds[1])).all(axis=1))
        side = np.einsum("ni,ni->n", self._normals[face[within]], places[within] - foot[within]) > 0
        cell = ((foot[within] + 1) / TOGETHER).astype(np.int64).clip(0, CELLS - 1)
        together = (2 * face[within] + side) * CELLS**3 + cell @ [CELLS**2, CELLS, 1]
        at_edge = np.flatnonzero(weights[within].min(axis=1) < WITHIN_FACE)
        together[at_edge] = -1 - at_edge
        _, first, group, members = np.unique(together, return_index=True, return_inverse=True, return_counts=True)
        winding = np.abs(winding_of_arrays(places[within[first]], self._winding, FAR))[group]
        alone = (np.abs(winding - np.rint(winding)) > CLEAR) & (members[group] > 1)
        winding[alone] = np.abs(winding_of_arrays(places[within[alone]], self._winding, FAR))
        inside = np.zeros(len(places), bool)
        inside[within] = winding > 0.5
        return inside

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How deep in the box points (N, 3) lie: (N,) float64, the distance to its nearest side, 0 or less outside."""
        return np.minimum(points - self.low, self.high - points).min(axis=1)

    def onto_box(self, points: np.ndarray) -> np.ndarray:
        """The nearest place on a side of the box for points (N, 3) in it."""
        gaps = np.concatenate([points - self.low, self.high - points], axis=1)
        side = np.argmin(gaps, axis=1)
        moved, rows = points.copy(), np.arange(len(points))
        moved[rows, side % 3] = np.where(side < 3, self.low[side % 3], self.high[side % 3])
        return moved


class MirroredShape(KnownShape):
    """A known shape, and its mirror image across the plane where coordinate `axis` is `at`, where that shows what the
    box hides. The box is what both hide; its low corner is above the high one where nothing is left."""

    def __init__(self, known: KnownShape, axis: int, at: float) -> None:
        self.known, self.axis, self.at, self.level = known, axis, at, known.level
        self._remembered = NodeMemory(self._measured)
        ends = self._reflected(np.stack([known.low, known.high]))
        self.low, self.high = np.maximum(known.low, ends.min(axis=0)), np.minimum(known.high, ends.max(axis=0))

    def _measured(self, places: np.ndarray) -> np.ndarray:
        depth = self.known.depth(places)
        shown = np.where((depth > 0)[:, None], self._reflected(places), places)
        found = self.known.signed_distance(shown)
        seam = np.flatnonzero((depth > 0) & (depth < SEAM))
        at_side, side_of = np.unique(self.known.onto_box(places[seam]), axis=0, return_inverse=True)
        beside, image = (self.known.signed_distance(side) for side in (at_side, self._reflected(at_side)))
        # Only where a surface crosses the box's side: elsewhere the distances are of different surfaces. And where the
        # side is hidden in the mirror, there is nothing to bring together.
        met = (np.abs(beside) < SEAM) & (np.abs(image) < SEAM) & (self.known.depth(self._reflected(at_side)) <= 0)
        gap = np.where(met, image - beside, 0)[side_of.reshape(-1)]
        found[seam] -= (1 - smooth(depth[seam] / SEAM)) * gap
        return found

    def _reflected(self, points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[..., self.axis] = 2 * self.at - moved[..., self.axis]
        return moved


def smooth(share: np.ndarray) -> np.ndarray:
    """From 0 to 1 without a corner at either end."""
    share = np.clip(share, 0, 1)
    return share**2 * (3 - 2 * share)


def _area(corners: np.ndarray) -> float:
    sides = corners[:, 1:] - corners[:, :1]
    return float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum()) / 2
