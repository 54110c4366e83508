"""Patches of a mesh that are laid anew where it is folded.

A disc whose inner vertices are in the middle of their neighbours has no folds when its border is flat and convex
(Tutte, "How to draw a graph", 1963). Balls about folds cut out such discs: their borders are nearly circles. So that
all are discs, handles are cut; the faces along a cut stretch from one disc to the other.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from .handles import without_handles
from .topology import half_edges

MARGIN = 0.02
"""A ball around a fold reaches so far beyond it, in model units, onto what lies flat."""
WIDEST = 0.3
"""Larger balls hold more than a fold."""


class Discs:
    """Closed faces (F, 3) at rest at vertices (V, 3). With the copies along cut handles there are V' ≥ V vertices, of
    which the first V are the mesh's."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        cut = without_handles(vertices, faces)
        start, end = half_edges(cut.faces)
        self._faces, self._source, self._count = faces, cut.source, len(cut.source)
        self._links = csr_matrix((np.ones(len(start)), (start, end)), shape=(self._count,) * 2)
        self._component = connected_components(self._links, directed=False)[1]

    def folds(self, turned: np.ndarray) -> list[np.ndarray]:
        """The vertices of those of the faces (F,) bool that hang together, as numbers, the most first."""
        among = np.zeros(self._count, dtype=bool)
        among[self._faces[turned]] = True
        part = self._parts(among)
        order = np.argsort(part, kind="stable")[self._count - among.sum() :]
        split = np.split(order, np.cumsum(np.bincount(part[among]))[:-1])
        return sorted(split, key=len, reverse=True) if among.any() else []

    def ball(self, vertices: np.ndarray, fold: np.ndarray, growth: float) -> np.ndarray:
        """Which of all vertices (V',) hang together with a fold, numbers, in the ball about its middle that is `growth`
        times as wide as it, and what these cut off; none where the ball is wider than WIDEST or holds a whole part."""
        away = np.linalg.norm(vertices - vertices[fold].mean(axis=0), axis=1)[self._source]
        radius = growth * away[fold].max() + MARGIN
        near = self._parts(away <= radius)
        component = self._component == self._component[fold[0]]
        outside = self._parts(component & (near != near[fold[0]]))
        sizes = np.bincount(outside[outside >= 0])
        if radius > WIDEST or not len(sizes):
            return np.zeros(self._count, dtype=bool)
        return component & (outside != sizes.argmax())

    def laid(self, vertices: np.ndarray, inner: np.ndarray) -> np.ndarray:
        """The vertices (V, 3), with the inner ones of all (V',) bool in the middle of their neighbours."""
        rows = self._links[inner]
        matrix = diags(np.asarray(rows.sum(axis=1))[:, 0]) - rows[:, inner]
        everywhere = vertices[self._source]
        everywhere[inner] = splu(matrix.tocsc()).solve(rows[:, ~inner] @ everywhere[~inner].astype(np.float64))
        return everywhere[: len(vertices)]

    def _parts(self, among: np.ndarray) -> np.ndarray:
        """The number (V',) of the part of some vertices (V',) bool that one is of, −1 where it is none of them."""
        part = np.full(self._count, -1)
        part[among] = connected_components(self._links[among][:, among], directed=False)[1]
        return part
