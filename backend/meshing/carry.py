"""A mesh carried along a surface that changes: its topology stays, its vertices follow the field's zero level.

Vertices go to the zero level along the gradient, as in the normal flow of level sets (Osher and Fedkiw 2003), and are
then evened out within the surface (tangential relaxation, as in Botsch and Kobbelt, "A remeshing approach to
multiresolution modeling", 2004), so that a mesh with one topology can be a shape key of every shape on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags

from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field
from .topology import half_edges

SPREAD = 0.004
"""How far from a vertex the field is asked for its gradient, in model units."""
ITERATIONS = 3
LONGEST_STEP = 0.05
"""No vertex goes farther at once, in model units: the field is no exact distance."""
LARGEST_GAP = 0.03
"""A change that moves the surface farther than this is taken in several parts."""
MOST_PARTS = 4
RELAXATION = 0.5
STRANDED = 0.01
"""A vertex still this far from the surface after a step follows its neighbours rather than the field."""
_CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Carried:
    """vertices (V, 3) float32 on the new surface; largest_move: of a vertex, in model units; inverted: the share of
    faces, in [0, 1], that look against the field's gradient, into the shape."""

    vertices: np.ndarray
    largest_move: float
    inverted: float


class SurfaceCarrier:
    """Carries one mesh from field to field. vertices (V, 3) float32, model space; faces (F, 3) int32."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices = vertices.astype(np.float32)
        self._faces = faces
        start, end = half_edges(faces)
        links = csr_matrix((np.ones(len(start), dtype=np.float32), (start, end)), shape=(len(vertices),) * 2)
        links = ((links + links.T) > 0).astype(np.float32)
        degree = np.maximum(np.asarray(links.sum(axis=1)).reshape(-1), 1)
        self._mean_of_neighbors = diags(1 / degree).dot(links).tocsr()
        self._edge = float(np.linalg.norm(vertices[start] - vertices[end], axis=1).mean()) if len(start) else 1.0

    def carry(self, between: Callable[[float], Field], *, cancelled: IsCancelled | None = None) -> Carried:
        """Move the mesh to the surface of `between(1)`; `between(t)` is the field a share t of the way from the one
        that it is on. Raises Cancelled."""
        before = self.vertices
        end = between(1.0)
        distance, gradient = distance_and_gradient(end, before)
        gap = np.quantile(np.abs(distance) / np.maximum(np.linalg.norm(gradient, axis=1), 0.3), 0.98)
        parts = int(np.clip(np.ceil(gap / LARGEST_GAP), 1, MOST_PARTS))
        for part in range(1, parts + 1):
            check_cancelled(cancelled)
            gradient = self._follow(end if part == parts else between(part / parts), cancelled)
        inverted = inverted_faces(self.vertices, self._faces, gradient)
        move = np.linalg.norm(self.vertices - before, axis=1).max(initial=0)
        return Carried(self.vertices, float(move), float(inverted.mean()))

    def _follow(self, field: Field, cancelled: IsCancelled | None) -> np.ndarray:
        """Bring the vertices to the field's surface; returns its gradient (V, 3) there."""
        moved = np.zeros(len(self.vertices), dtype=np.float32)
        for iteration in range(ITERATIONS):
            check_cancelled(cancelled)
            distance, gradient = distance_and_gradient(field, self.vertices)
            step = _to_surface(distance, gradient)
            self.vertices = self.vertices + step
            moved += np.linalg.norm(step, axis=1)
            if iteration < ITERATIONS - 1:
                self.vertices = self.vertices + self._relaxation(moved, distance, gradient, last=iteration > 0)
        return gradient

    def _relaxation(self, moved: np.ndarray, distance: np.ndarray, gradient: np.ndarray, *, last: bool) -> np.ndarray:
        """Towards the middle of the neighbours (V, 3), within the surface: as much as the surface moved there, or
        turned over, so that what stands still stays as it is."""
        offset = self._mean_of_neighbors @ self.vertices - self.vertices
        normal = gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)
        tangential = offset - (offset * normal).sum(axis=1, keepdims=True) * normal
        folded = np.zeros(len(moved), dtype=np.float32)
        folded[self._faces[inverted_faces(self.vertices, self._faces, gradient)]] = 1
        need = np.maximum(np.minimum(self._mean_of_neighbors @ moved / self._edge, 1), folded)
        change = RELAXATION * need[:, None] * tangential
        if last:
            stranded = np.abs(distance) > LONGEST_STEP + STRANDED
            change[stranded] = offset[stranded]
        return change.astype(np.float32)


def distance_and_gradient(field: Field, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The field's value (N,) and gradient (N, 3), float32, at (N, 3) points, from its values at the four corners of a
    small tetrahedron around each (exact for a linear field)."""
    around = (points[:, None] + SPREAD * _CORNERS).reshape(-1, 3).astype(np.float32)
    values = field.signed_distance(torch.from_numpy(around)).cpu().numpy().reshape(-1, 4)
    return values.mean(axis=1), values @ _CORNERS / (4 * SPREAD)


def inverted_faces(vertices: np.ndarray, faces: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Which faces (F,) look against the mean of the field's gradient (V, 3) at their corners."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return (np.cross(b - a, c - a) * gradient[faces].mean(axis=1)).sum(axis=1) < 0


def _to_surface(distance: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Newton's step to the zero level along the gradient (N, 3), no longer than LONGEST_STEP."""
    squared = np.maximum((gradient**2).sum(axis=1), 0.05)
    step = -(distance / squared)[:, None] * gradient
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return step * np.minimum(1, LONGEST_STEP / np.maximum(length, 1e-12))
