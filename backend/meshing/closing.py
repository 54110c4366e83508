"""Filling the holes of a mesh, those at a box apart from all others.

The boundary of any heap of triangles is made of loops; a fan of triangles over each makes a surface in which every edge
is walked as often one way as the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.face_orientation import orient_faces
from ..kernels.sdf_sign import boundary_loops

BRIDGED = 0.03
"""A hole whose border is this near to the box, in sizes of the mesh, is where the mesh was cut."""


@dataclass(frozen=True)
class ClosedSurface:
    """vertices (V, 3) float64: those of the mesh, then the tips of the fans. Triangles (…, 3) int32: faces, the mesh's
    own, each once and neighbours wound alike; at_box, fans over the holes at the box, whose tips lie in the middle of
    it; elsewhere, fans over all other holes."""

    vertices: np.ndarray
    faces: np.ndarray
    at_box: np.ndarray
    elsewhere: np.ndarray


def close_holes(vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, high: np.ndarray) -> ClosedSurface:
    """Fill the holes of a mesh, vertices (V, 3) float and faces (F, 3) int, with the box from `low` to `high`.

    A fan over a hole on the box lies within the box, because that is convex: outside of it nothing changes but that
    inside and outside are told apart right up to the cut.
    """
    surface = orient_faces(np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int32))
    nothing = np.empty((0, 3), np.int32)
    loops = boundary_loops(surface)
    if not len(loops):
        return ClosedSurface(surface.vertices, surface.faces, nothing, nothing)
    loop = loops[:, 2]
    start = surface.vertices[loops[:, 0]]
    near = BRIDGED * np.ptp(surface.vertices[np.unique(surface.faces)], axis=0).max()
    sizes = np.bincount(loop)
    is_near = ((start >= low - near) & (start <= high + near)).all(axis=1)
    at_box = np.bincount(loop, is_near) == sizes
    tips = np.stack([np.bincount(loop, start[:, axis]) for axis in range(3)], axis=1) / np.maximum(sizes, 1)[:, None]
    tips[at_box] = (np.asarray(low, np.float64) + high) / 2
    fans = np.stack([loops[:, 1], loops[:, 0], len(vertices) + loop], axis=1).astype(np.int32)
    positions = np.concatenate([surface.vertices, tips])
    return ClosedSurface(positions, surface.faces, fans[at_box[loop]], fans[~at_box[loop]])
