"""Fewer faces for the same shape."""

from __future__ import annotations

import numpy as np

from ..kernels.edge_collapse import collapse_edges
from .repair import make_manifold
from .topology import half_edge_mates


def simplify(vertices: np.ndarray, faces: np.ndarray, face_count: int) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface of at most about `face_count` faces near the given one, by quadric error (Garland & Heckbert
    1997); the same surface when it has no more faces than that.

    vertices (V, 3) float32 and faces (F, 3) int32 must be a manifold that faces outwards, and so is the result, in as
    many parts and with as many handles; so it cannot go below some number of faces at all. (Libraries that collapse
    edges without a look at the topology pinch thin rods and sheets.)
    """
    if len(faces) <= face_count:
        return vertices, faces
    return make_manifold(*collapse_edges(vertices, faces, half_edge_mates(vertices, faces), face_count))
