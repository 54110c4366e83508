"""A mesh of springs that follows what pulls at it, and does not fold.

Two energies of registration are minimised at once, over all vertices: the squared distances to given planes (the
point-to-plane term of Chen and Medioni, "Object modelling by registration of multiple range images", 1992), along which
vertices slide freely, and to given points; and that of springs along the edges (Hoppe et al., "Mesh optimization",
1993, §3.1). Here a spring is the stronger the more its edge is stretched or squeezed, so that vertices flow into parts
that grow and out of parts that go, and what keeps its shape is left alone. Displacements of neighbours are held alike
(stiffness, as in Amberg, Romdhani and Vetter, "Optimal step nonrigid ICP algorithms for surface registration", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from .topology import half_edges

SPRING = 0.1
"""Weight of a spring whose edge has twice or half the length that it had at first."""
STIFFNESS = 0.05
"""Weight of the difference between the displacements of two neighbours."""
ANCHOR = 1e-3
"""How strongly vertices that nothing pulls at are held where they are."""
ITERATIONS = 20
"""Of conjugate gradients: what pulls at a vertex reaches so many edges far."""
UNFOLDINGS = 3
"""Rounds in which folded faces are evened out after a step."""
FOLD = 0.1
"""A face folds where the cosine between its normal and the mean normal around it is less."""


@dataclass(frozen=True)
class Pulls:
    """What pulls at V vertices: planes through offsets (V, 3) from the vertices with unit normals (V, 3), and points at
    toward (V, 3) from them; to_plane, to_point (V,) are the weights. float32."""

    normals: np.ndarray
    offsets: np.ndarray
    to_plane: np.ndarray
    toward: np.ndarray
    to_point: np.ndarray


class ElasticSurface:
    """Closed faces (F, 3) int32, at rest at vertices (V, 3) float32."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.faces, self._count = faces, len(vertices)
        start, end = half_edges(faces)
        self._links = csr_matrix((np.ones(len(start), np.float32), (start, end)), shape=(self._count,) * 2)
        self._degree = np.maximum(np.diff(self._links.indptr), 1).astype(np.float32)[:, None]
        self._start, self._end = np.repeat(np.arange(self._count), np.diff(self._links.indptr)), self._links.indices
        self._rest = np.maximum(self._lengths(vertices), 1e-6)
        self.longest_edge = np.zeros(self._count, np.float32)
        np.maximum.at(self.longest_edge, self._start, self._rest)
        corner_of = np.repeat(np.arange(len(faces)), 3)
        self._around = csr_matrix((np.ones(faces.size, np.float32), (faces.reshape(-1), corner_of)))

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals (V, 3) float32: the mean of the faces around a vertex, weighted by area."""
        return _unit(self._around @ face_normals(vertices, self.faces))

    def pulled(self, vertices: np.ndarray, pulls: Pulls) -> np.ndarray:
        """Where vertices (V, 3) go, by conjugate gradients on

            Σ to_plane (n · (u − offset))² + Σ to_point |u − toward|² + Σ s |x + u − (x' + u')|² + STIFFNESS Σ |u − u'|²

        over the displacements u, the latter two along edges."""
        strain = np.abs(np.log2(np.maximum(self._lengths(vertices), 1e-6) / self._rest))
        spring = self._matrix(SPRING * np.minimum(strain, 1))
        both = self._matrix(spring.data + np.float32(STIFFNESS))
        plane, normals = pulls.to_plane[:, None], pulls.normals
        own = pulls.to_point[:, None] + _row_sums(both) + np.float32(ANCHOR)
        tension = spring @ vertices - _row_sums(spring) * vertices
        target = plane * normals * _dot(normals, pulls.offsets) + pulls.to_point[:, None] * pulls.toward + tension
        diagonal = own + plane * normals**2

        moved, rest = np.zeros_like(target), target
        direction = ahead = rest / diagonal
        remaining = np.vdot(rest, ahead)
        for _ in range(ITERATIONS):
            if remaining < 1e-12:
                break
            image = own * direction - both @ direction + plane * normals * _dot(normals, direction)
            step = remaining / np.vdot(direction, image)
            moved, rest = moved + step * direction, rest - step * image
            ahead = rest / diagonal
            before, remaining = remaining, np.vdot(rest, ahead)
            direction = ahead + remaining / before * direction
        return vertices + moved

    def unfolded(self, vertices: np.ndarray) -> np.ndarray:
        """The vertices (V, 3), with those of folded faces in the middle of their neighbours; a few rounds of that."""
        for _ in range(UNFOLDINGS):
            turned = folded(vertices, self.faces)
            if not turned.any():
                break
            free = np.zeros(self._count, dtype=bool)
            free[self.faces[turned]] = True
            vertices = np.where(free[:, None], self._links @ vertices / self._degree, vertices)
        return vertices

    def _lengths(self, vertices: np.ndarray) -> np.ndarray:
        return np.linalg.norm(vertices[self._start] - vertices[self._end], axis=1).astype(np.float32)

    def _matrix(self, weights: np.ndarray) -> csr_matrix:
        """A weight for each edge, both ways."""
        return csr_matrix((weights, self._links.indices, self._links.indptr), shape=self._links.shape)


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals (F, 3), as long as twice the faces' areas."""
    a, b, c = (vertices[corner] for corner in faces.T)
    (x, y, z), (u, v, w) = (b - a).T, (c - a).T
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)


def folded(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Which faces (F,) look against the mean of the faces around their corners."""
    own, corners = face_normals(vertices, faces), faces.reshape(-1)
    around = [np.bincount(corners, np.repeat(axis, 3), len(vertices)) for axis in own.T]
    mean = _unit(np.stack(around, axis=1))[faces].sum(axis=1)
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(mean, axis=1)
    return _dot(own, mean)[:, 0] < FOLD * lengths


def _row_sums(matrix: csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1), dtype=np.float32)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ni->n", one, other)[:, None]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
