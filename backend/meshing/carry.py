"""A mesh carried along a surface that changes: its topology stays, its vertices follow the field's zero level.

Vertices go to the zero level along the gradient, as in the normal flow of level sets (Osher and Fedkiw 2003), and are
then evened out within the surface (tangential relaxation, as in Botsch and Kobbelt, "A remeshing approach to
multiresolution modeling", 2004), so that a mesh with one topology can be a shape key of every shape on the way. Where
a part of the shape goes, its faces fold: vertices of turned faces leave the surface for the middle of their neighbours
until the fold is gone. What stays folded on arrival is laid anew, as the harmonic surface with uniform weights that its
border spans (flat ones have no folds: Tutte, "How to draw a graph", 1963).
Between two fields the surface goes through blends of their values on a grid, which cost next to nothing; on arrival the
field itself has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import splu

from ..progress import IsCancelled, check_cancelled
from ..representations.field import Field
from .sparse_grid import sample_distance_grid
from .topology import half_edges

CELLS = 64
"""Of the grid, along each side of model space."""
PARTS = 12
"""Blends from one field to the next, the latter included."""
ITERATIONS = 3
"""Times that vertices go to the surface and are evened out, for each blend."""
UNFOLDINGS = 8
"""Further rounds of that where faces are turned over."""
POLISHES = 2
"""Times that vertices go to the surface of the field itself."""
LONGEST_STEP = 0.05
"""No vertex goes farther at once, in model units: the field is no exact distance."""
RELAXATION = 0.5
RINGS = (2, 3, 5, 8)
"""How far around a fold the surface is laid anew, in edges: at first as little as can be."""
STAYS = 1e-4
"""How strongly vertices are held where they are when a patch without a border is laid anew."""


@dataclass(frozen=True)
class Carried:
    """vertices (V, 3) float32 on the new surface; largest_move: of a vertex, in model units; inverted: the share of
    faces, in [0, 1], that look against the gradient of the field's grid, into the shape."""

    vertices: np.ndarray
    largest_move: float
    inverted: float


class SurfaceCarrier:
    """Carries one mesh, vertices (V, 3) float32 in model space and faces (F, 3) int32, from `field`, on whose surface
    it lies, to others."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, field: Field) -> None:
        self._vertices = vertices.astype(np.float32)
        self._faces = faces
        self._values = sample_distance_grid(field, CELLS).values
        start, end = half_edges(faces)
        links = csr_matrix((np.ones(len(start), dtype=np.float32), (start, end)), shape=(len(vertices),) * 2)
        links = ((links + links.T) > 0).astype(np.float32)
        degree = np.maximum(np.asarray(links.sum(axis=1)).reshape(-1), 1)
        self._links = links
        self._mean_of_neighbors = diags(1 / degree).dot(links).tocsr()
        self._edge = float(np.linalg.norm(vertices[start] - vertices[end], axis=1).mean())

    def carry(self, field: Field, *, cancelled: IsCancelled | None = None) -> Carried:
        """Move the mesh on to the surface of `field`. Raises Cancelled."""
        before, values = self._vertices, sample_distance_grid(field, CELLS).values
        change = values - self._values
        if change.any():
            for part in range(1, PARTS + 1):
                check_cancelled(cancelled)
                self._follow(self._values + change * (part / PARTS))
        self._values = values
        channels = [values, *np.gradient(values, 2 / CELLS)]
        for _ in range(UNFOLDINGS):
            if not inverted_faces(self._vertices, self._faces, _read(channels, self._vertices)[1]).any():
                break
            check_cancelled(cancelled)
            self._follow(values)
        self._vertices, inverted = self._polished(field, channels, self._vertices, cancelled)
        for rings in RINGS:
            if not inverted.any():
                break
            vertices, still = self._polished(field, channels, self._laid_anew(inverted, rings), cancelled)
            if still.sum() < inverted.sum():
                self._vertices, inverted = vertices, still
        move = np.linalg.norm(self._vertices - before, axis=1).max(initial=0)
        return Carried(self._vertices, float(move), float(inverted.mean()))

    def _laid_anew(self, folded: np.ndarray, rings: int) -> np.ndarray:
        """The vertices, with those around folded faces (F,) bool in the mean of their neighbours."""
        free = np.zeros(len(self._vertices), dtype=bool)
        free[self._faces[folded]] = True
        for _ in range(rings):
            free |= self._links @ free.astype(np.float32) > 0
        inner = np.flatnonzero(free)
        laplacian = identity(len(inner)) - self._mean_of_neighbors[inner][:, inner]
        border = self._mean_of_neighbors[inner] @ np.where(free[:, None], 0, self._vertices)
        solve = splu((laplacian + STAYS * identity(len(inner))).tocsc())
        vertices = self._vertices.copy()
        vertices[inner] = solve.solve((border + STAYS * self._vertices[inner]).astype(np.float64))
        return vertices

    def _follow(self, values: np.ndarray) -> None:
        """Bring the vertices to the zero level of a grid."""
        channels = [values, *np.gradient(values, 2 / CELLS)]
        moved = np.zeros(len(self._vertices), dtype=np.float32)
        for _ in range(ITERATIONS):
            distance, gradient = _read(channels, self._vertices)
            turned = np.zeros(len(moved), dtype=bool)
            turned[self._faces[inverted_faces(self._vertices, self._faces, gradient)]] = True
            step = np.where(turned[:, None], 0, _to_surface(distance, gradient))
            self._vertices = (self._vertices + step).astype(np.float32)
            moved += np.linalg.norm(step, axis=1)
            self._relax(moved, gradient, turned)

    def _relax(self, moved: np.ndarray, gradient: np.ndarray, turned: np.ndarray) -> None:
        """Move vertices to the middle of their neighbours, within the surface: as much as the surface moved there, or
        turned over, so that what stands still stays as it is. Turned vertices go there straight, which unfolds them."""
        offset = self._mean_of_neighbors @ self._vertices - self._vertices
        normal = gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6)
        tangential = offset - (offset * normal).sum(axis=1, keepdims=True) * normal
        offset = np.where(turned[:, None], offset, tangential)
        need = np.maximum(np.minimum(self._mean_of_neighbors @ moved / self._edge, 1), self._mean_of_neighbors @ turned)
        self._vertices = (self._vertices + RELAXATION * need[:, None] * offset).astype(np.float32)

    def _polished(
        self, field: Field, channels: list[np.ndarray], vertices: np.ndarray, cancelled: IsCancelled | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The vertices (V, 3) on the field's surface, along the gradient of its grid, and which faces (F,) are turned
        over there."""
        for _ in range(POLISHES):
            check_cancelled(cancelled)
            _, gradient = _read(channels, vertices)
            distance = field.signed_distance(torch.from_numpy(vertices)).cpu().numpy()
            vertices = (vertices + _to_surface(distance, gradient)).astype(np.float32)
        return vertices, inverted_faces(vertices, self._faces, _read(channels, vertices)[1])


def _read(channels: list[np.ndarray], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) and gradient (N, 3) of a grid at points (N, 3), trilinearly."""
    place = (points.T + 1) * (CELLS / 2)
    distance, *gradient = (map_coordinates(channel, place, order=1, mode="nearest") for channel in channels)
    return distance, np.stack(gradient, axis=1)


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
