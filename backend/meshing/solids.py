"""Which parts of a closed surface are the object: floaters, inner walls and scraps go."""

from __future__ import annotations

import numpy as np

from ..kernels.box_tree import boxes_of_triangles
from .topology import connected_parts, without_unused_vertices

SMALLEST_SHARE = 0.01
"""Parts with less than this share of the largest part's volume are floaters. A chair's leg that the model left
unconnected has more, specks in the air have less."""


def keep_solids(
    vertices: np.ndarray, faces: np.ndarray, smallest_share: float = SMALLEST_SHARE, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The outer surfaces of the object's parts: vertices (V', 3), faces (F', 3).

    Of the closed, outward surface's connected parts these go: cavities (they enclose negative volume; nobody sees
    them, and they trouble printing, simplification and UVs), parts that lie inside another one (islands in such a
    cavity), parts with less than `smallest_share` of the largest part's volume, and all but the `most` largest. Nothing
    is left of a surface that encloses no volume.
    """
    if not len(faces):
        return vertices, faces
    part = connected_parts(faces)
    a, b, c = (vertices[faces] - vertices[faces].mean(axis=(0, 1))).astype(np.float64).transpose(1, 0, 2)
    volume = np.bincount(part, np.einsum("fi,fi->f", a, np.cross(b, c)) / 6)
    largest_first = np.argsort(-volume, kind="stable")
    order = np.argsort(part, kind="stable")
    triangles = vertices[faces[order]]
    start = np.searchsorted(part[order], np.arange(len(volume) + 1))
    lows, highs = boxes_of_triangles(triangles)
    low, high = np.minimum.reduceat(lows, start[:-1]), np.maximum.reduceat(highs, start[:-1])
    is_kept = np.zeros(len(volume), bool)
    for index in largest_first[volume[largest_first] > max(smallest_share * volume.max(initial=0), 0)]:
        if is_kept.sum() == most:
            break
        point = triangles[start[index], 0]
        around = np.flatnonzero(is_kept & (low <= point).all(axis=1) & (point <= high).all(axis=1))
        is_kept[index] = not any(_encloses(triangles[start[other] : start[other + 1]], point) for other in around)
    return without_unused_vertices(vertices, faces[is_kept[part]])


def _encloses(triangles: np.ndarray, point: np.ndarray) -> bool:
    """Whether a closed outward surface (F, 3, 3) winds around a point (solid angles: Van Oosterom & Strackee 1983)."""
    a, b, c = (triangles.astype(np.float64) - point).transpose(1, 0, 2)
    la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
    dots = [np.einsum("fi,fi->f", one, other) for one, other in ((a, b), (b, c), (c, a))]
    above = np.einsum("fi,fi->f", a, np.cross(b, c))
    below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    return bool(np.arctan2(above, below).sum() > np.pi)
