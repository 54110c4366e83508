"""The signed distance of a mesh outside of a box in which it is not known, right up to the box."""

from __future__ import annotations

import numpy as np

from ..data.volume import SHEET_HALF_THICKNESS
from ..kernels.mesh_distance import nearest_faces_of_arrays
from ..kernels.winding import winding_of_arrays
from ..meshing.clip import outside_of_box
from ..meshing.closing import close_holes

SOLID = 0.02
"""A mesh whose holes, filled, are less than this share of its area has an inside; else it is taken for sheets."""


class KnownShape:
    """A mesh outside of a box, vertices (V, 3) float and faces (F, 3) int in model space, as a signed distance there.

    Where the box cuts the mesh, fans of triangles within the box close it, so inside and outside are told apart by the
    winding number on all of the known side (Jacobson et al., "Robust inside-outside segmentation", 2013). A mesh with
    other holes of some size is made of sheets, and its surface lies on both sides of them, as in training: `level` is
    the value on the faces themselves, 0 for a solid and negative for sheets.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self.vertices, self.faces = outside_of_box(vertices, faces, low, high)
        closed = close_holes(self.vertices, self.faces, low, high)
        self._corners = self.vertices[self.faces]
        self._closed = closed.vertices[np.concatenate([closed.faces, closed.at_box])]
        holes = _area(closed.vertices[closed.elsewhere])
        self.level = 0.0 if holes < SOLID * _area(self._corners) else -SHEET_HALF_THICKNESS

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) float, outside of the box or on it → (N,) float32, negative inside."""
        places = np.asarray(points, np.float64)
        face, weights = nearest_faces_of_arrays(places, self._corners)
        distances = np.linalg.norm((weights[:, :, None] * self._corners[face]).sum(axis=1) - places, axis=1)
        inside = np.abs(winding_of_arrays(places, self._closed)) > 0.5
        return (np.where(inside, -distances, distances) + self.level).astype(np.float32)

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


def _area(corners: np.ndarray) -> float:
    sides = corners[:, 1:] - corners[:, :1]
    return float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum()) / 2
